CREATE TABLE series (
    -- One row per (exchange, symbol, timeframe) that any job has seen. All times are ms UTC.
    id INTEGER PRIMARY KEY,
    exchange TEXT NOT NULL,
    symbol TEXT NOT NULL,             -- as the exchange writes it: tBTCUSD, tAVAX:USD
    timeframe TEXT NOT NULL,          -- 1m ... 1D, 1W, 1M
    first_candle INTEGER,             -- open time of the exchange's first candle; NULL: it has none yet
    first_asked_at INTEGER NOT NULL,  -- when that was asked
    wanted_start INTEGER NOT NULL,    -- the earliest start ever asked for
    cleaned_to INTEGER,               -- what is older was removed by cleanup and is not wanted again
    frontier INTEGER,                 -- everything wanted and older was asked of REST after it had settled
    asked_to INTEGER,                 -- REST has answered for everything up to here, settled or not
    UNIQUE (exchange, symbol, timeframe)
) STRICT
;;
CREATE TABLE candles (
    -- Closed candles only; an interval without trades has no row.
    series_id INTEGER NOT NULL REFERENCES series (id),
    open_time INTEGER NOT NULL,
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    PRIMARY KEY (series_id, open_time)
) STRICT, WITHOUT ROWID
;;
CREATE TABLE coverage (
    -- The ledger: half-open ranges [start_time, end_time) that the exchange has answered for.
    series_id INTEGER NOT NULL REFERENCES series (id),
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL CHECK (end_time > start_time),
    kind TEXT NOT NULL CHECK (kind IN ('final', 'provisional')),
    candles INTEGER NOT NULL,         -- how many candles are stored in the range
    PRIMARY KEY (series_id, start_time)
) STRICT, WITHOUT ROWID
;;
CREATE TABLE lost_candles (
    -- Candles deleted from under their coverage, by whatever tool; written by the triggers below.
    series_id INTEGER NOT NULL REFERENCES series (id),
    open_time INTEGER NOT NULL,
    PRIMARY KEY (series_id, open_time)
) STRICT, WITHOUT ROWID
;;
CREATE TABLE empty_runs (
    -- Final ranges of 60 and more intervals without a candle, and when the exchange last said so.
    series_id INTEGER NOT NULL REFERENCES series (id),
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL CHECK (end_time > start_time),
    asked_at INTEGER NOT NULL,
    PRIMARY KEY (series_id, start_time)
) STRICT, WITHOUT ROWID
;;
CREATE TABLE data_gaps (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    start_time INTEGER NOT NULL,
    end_time INTEGER NOT NULL CHECK (end_time > start_time),
    intervals INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'repaired', 'empty', 'failed')),
    candles INTEGER NOT NULL DEFAULT 0,  -- how many candles the repair brought
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    detected_at INTEGER NOT NULL,
    next_attempt_at INTEGER,
    resolved_at INTEGER
) STRICT
;;
CREATE INDEX data_gaps_unresolved ON data_gaps (series_id, start_time) WHERE status IN ('open', 'failed')
;;
CREATE INDEX data_gaps_resolved ON data_gaps (resolved_at) WHERE resolved_at IS NOT NULL
;;
CREATE TABLE ingestion_jobs (
    id INTEGER PRIMARY KEY,
    command TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    outcome TEXT NOT NULL,            -- running, ok, partial, skipped, failed, interrupted
    exit INTEGER,
    error TEXT,
    requests INTEGER NOT NULL DEFAULT 0,
    candles_written INTEGER NOT NULL DEFAULT 0,
    candles_changed INTEGER NOT NULL DEFAULT 0,
    gaps_opened INTEGER NOT NULL DEFAULT 0,
    gaps_repaired INTEGER NOT NULL DEFAULT 0,
    gaps_empty INTEGER NOT NULL DEFAULT 0,
    gaps_failed INTEGER NOT NULL DEFAULT 0,
    remaining INTEGER NOT NULL DEFAULT 0,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    invocation_id TEXT,               -- systemd's id of the run: journalctl _SYSTEMD_INVOCATION_ID=...
    version TEXT NOT NULL
) STRICT
;;
CREATE INDEX ingestion_jobs_by_command ON ingestion_jobs (command, started_at)
;;
CREATE TABLE candle_revisions (
    -- What a final candle was before a later final answer changed it, or left it out.
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    open_time INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('changed', 'missing')),
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
CREATE TABLE rejected_rows (
    -- Rows of an answer that cannot be candles; their intervals stay unknown.
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    open_time INTEGER,
    row TEXT NOT NULL,
    reason TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    UNIQUE (series_id, row)
) STRICT
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
