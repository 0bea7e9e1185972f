CREATE VIEW candle_times AS
SELECT series_id, open_time, strftime('%Y-%m-%dT%H:%M:%SZ', open_time / 1000, 'unixepoch') AS time
FROM candles
;;
DROP VIEW ohlcv
;;
CREATE VIEW ohlcv AS
SELECT exchange, symbol, timeframe, open_time,
       (SELECT time FROM candle_times
        WHERE candle_times.series_id = candles.series_id AND candle_times.open_time = candles.open_time) AS time,
       open, high, low, close, volume
FROM candles JOIN series ON series.id = candles.series_id
