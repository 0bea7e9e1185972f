DROP VIEW ohlcv
;;
DROP TRIGGER IF EXISTS candle_deleted
;;
DROP TRIGGER IF EXISTS candle_moved
;;
CREATE TABLE new_series (
    -- One row per (exchange, symbol, timeframe) that any job has seen. Times are ms UTC. No id is given twice.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    exchange TEXT NOT NULL,
    symbol TEXT NOT NULL,             -- as the exchange writes it: tBTCUSD, tAVAX:USD
    timeframe TEXT NOT NULL,          -- 1m ... 1D, 1W, 1M
    first_candle INTEGER,             -- open time of the exchange's first candle, by two answers; NULL: unknown
    first_asked_at INTEGER NOT NULL,  -- when that was asked; 0: never
    wanted_start INTEGER NOT NULL,    -- the earliest start ever asked for
    cleaned_to INTEGER,               -- what is older was removed by cleanup and is not wanted again
    frontier INTEGER,                 -- everything wanted and older was asked of REST after it had settled
    asked_to INTEGER,                 -- REST has answered for everything up to here, settled or not
    answered_at INTEGER,              -- the newest instant for which the exchange has answered
    compared_to INTEGER,              -- how far `verify --exchange` has come in its present round
    compared_since INTEGER,           -- when that round began
    hinted_to INTEGER,                -- how far coarser candles have been looked at for what may be missing
    compared_at INTEGER,              -- when the last round that came to its end had begun; NULL: there was none
    UNIQUE (exchange, symbol, timeframe)
) STRICT
;;
INSERT INTO new_series (id, exchange, symbol, timeframe, first_candle, first_asked_at, wanted_start, cleaned_to,
                        frontier, asked_to, answered_at)
-- The first candle rested on one answer: it is asked for again.
SELECT id, exchange, symbol, timeframe, first_candle, 0, wanted_start, cleaned_to, frontier, asked_to, asked_to
FROM series
;;
DROP TABLE series
;;
ALTER TABLE new_series RENAME TO series
;;
CREATE TABLE doubts (
    -- What one answer has said and no second, independent one yet.
    series_id INTEGER NOT NULL REFERENCES series (id),
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL CHECK (end_time > start_time),
    kind TEXT NOT NULL CHECK (kind IN ('silence', 'absent', 'changed', 'first', 'unconfirmed', 'unwitnessed',
                                       'withdrawn')),
    form TEXT NOT NULL,               -- from which end and bound the rows of the last answer were counted
    since INTEGER NOT NULL,           -- when an answer first said so
    asked_at INTEGER NOT NULL,        -- when the last one did
    answers INTEGER NOT NULL,         -- how many did
    open REAL,                        -- the candle that was told, where one was
    high REAL,
    low REAL,
    close REAL,
    volume REAL,
    PRIMARY KEY (series_id, kind, start_time)
) STRICT, WITHOUT ROWID
;;
CREATE TABLE unobtainable (
    -- Ranges that the exchange does not serve any more: what is stored there stays, nothing else can be had.
    series_id INTEGER NOT NULL REFERENCES series (id),
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL CHECK (end_time > start_time),
    since INTEGER NOT NULL,           -- when the exchange was found not to serve it
    PRIMARY KEY (series_id, start_time)
) STRICT, WITHOUT ROWID
;;
CREATE TABLE digests (
    -- What `verify` has read of a month that is wholly final; a job that changes a candle of it drops the row.
    series_id INTEGER NOT NULL REFERENCES series (id),
    month INTEGER NOT NULL,           -- when the UTC month begins
    candles INTEGER NOT NULL,
    digest BLOB,                      -- SHA-256 over the rows; NULL: being computed
    computed_at INTEGER NOT NULL,
    PRIMARY KEY (series_id, month)
) STRICT, WITHOUT ROWID
;;
ALTER TABLE empty_runs RENAME TO old_empty_runs
;;
CREATE TABLE empty_runs (
    -- Remarkable final silences: when they were believed, and when the exchange was last asked about them.
    series_id INTEGER NOT NULL REFERENCES series (id),
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL CHECK (end_time > start_time),
    believed_at INTEGER NOT NULL,
    asked_at INTEGER NOT NULL,
    PRIMARY KEY (series_id, start_time)
) STRICT, WITHOUT ROWID
;;
INSERT INTO empty_runs SELECT series_id, start_time, end_time, asked_at, asked_at FROM old_empty_runs
;;
DROP TABLE old_empty_runs
;;
CREATE TABLE new_candle_revisions (
    -- What a candle was before the exchange changed it, withdrew it, or (missing: in old stores) left it out.
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    open_time INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('changed', 'withdrawn', 'missing')),
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    seen_at INTEGER NOT NULL,
    source TEXT NOT NULL,             -- the command whose answer it was
    UNIQUE (series_id, open_time, kind, open, high, low, close, volume)
) STRICT
;;
INSERT INTO new_candle_revisions SELECT * FROM candle_revisions
;;
DROP TABLE candle_revisions
;;
ALTER TABLE new_candle_revisions RENAME TO candle_revisions
;;
CREATE TRIGGER candle_deleted AFTER DELETE ON candles
WHEN (SELECT end_time FROM coverage WHERE series_id = OLD.series_id AND start_time <= OLD.open_time
      ORDER BY start_time DESC LIMIT 1) > OLD.open_time
BEGIN
    UPDATE coverage SET candles = candles - 1
    WHERE series_id = OLD.series_id
      AND start_time = (SELECT max(start_time) FROM coverage
                        WHERE series_id = OLD.series_id AND start_time <= OLD.open_time)
      -- One that was lost and put back by hand is not counted until the next look at it.
      AND NOT EXISTS (SELECT 1 FROM lost_candles WHERE series_id = OLD.series_id AND open_time = OLD.open_time);
    INSERT OR IGNORE INTO lost_candles VALUES (OLD.series_id, OLD.open_time);
END
;;
CREATE TRIGGER candle_moved AFTER UPDATE OF series_id, open_time ON candles
WHEN (OLD.series_id <> NEW.series_id OR OLD.open_time <> NEW.open_time)
 AND (SELECT end_time FROM coverage WHERE series_id = OLD.series_id AND start_time <= OLD.open_time
      ORDER BY start_time DESC LIMIT 1) > OLD.open_time
BEGIN
    UPDATE coverage SET candles = candles - 1
    WHERE series_id = OLD.series_id
      AND start_time = (SELECT max(start_time) FROM coverage
                        WHERE series_id = OLD.series_id AND start_time <= OLD.open_time)
      -- One that was lost and put back by hand is not counted until the next look at it.
      AND NOT EXISTS (SELECT 1 FROM lost_candles WHERE series_id = OLD.series_id AND open_time = OLD.open_time);
    INSERT OR IGNORE INTO lost_candles VALUES (OLD.series_id, OLD.open_time);
END
;;
CREATE VIEW ohlcv AS
SELECT exchange, symbol, timeframe, open_time,
       strftime('%Y-%m-%dT%H:%M:%SZ', open_time / 1000, 'unixepoch') AS time,
       open, high, low, close, volume
FROM candles JOIN series ON series.id = candles.series_id
