"""The schema, as an ordered list of migrations; imported only when a database needs one.

A migration that has been released is never edited: a change of the schema is a new one at the end, and a
higher `SCHEMA_VERSION` in `engine`. SQL and triggers keep to SQLite 3.37 without functions of ours, so that
any SQLite tool may write to the file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from mdata.store import identity
from mdata.store.engine import APPLICATION_ID, SCHEMA_VERSION, Connection
from mdata.store.sqlite import sqlite3, storage_errors

if TYPE_CHECKING:
    from sqlite_utils.db import Database as Target

migrations = Migrations("mdata")


@migrations()
def m001_first_schema(database: "Target") -> None:
    """Create every table, index, trigger and view of the first release."""
    for statement in _FIRST_SCHEMA.split(";;"):
        database.execute(statement)


@migrations()
def m002_evidence(database: "Target") -> None:
    """Keep what is in doubt and what cannot be had, never give a series' number again, renew the triggers."""
    _recount(database)
    for statement in _EVIDENCE.split(";;"):
        database.execute(statement)


def _recount(database: "Target") -> None:
    """Count the candles of every segment anew in a store of the first triggers, which counted some of them twice."""
    (text,) = database.execute(
        "SELECT coalesce(max(sql), '') FROM sqlite_master WHERE name = 'candle_deleted'"
    ).fetchone()
    if "NOT EXISTS" not in text:
        database.execute(
            """UPDATE coverage SET candles = (
                   SELECT count(*) FROM candles AS held
                   WHERE held.series_id = coverage.series_id AND open_time >= start_time AND open_time < end_time
                     AND NOT EXISTS (SELECT 1 FROM lost_candles AS lost
                                     WHERE lost.series_id = held.series_id AND lost.open_time = held.open_time))"""
        )


@migrations()
def m003_store_identity(database: "Target") -> None:
    """Give the store an identity, and a count of its write transactions (see `domain.lineage`)."""
    for statement in _STORE_IDENTITY.split(";;"):
        database.execute(statement)


@migrations()
def m004_typed_view(database: "Target") -> None:
    """Give the columns of the view `ohlcv` their types in DuckDB."""
    for statement in _TYPED_VIEW.split(";;"):
        database.execute(statement)


@migrations()
def m005_answered_months(database: "Target") -> None:
    """Keep when the exchange has last answered about each month."""
    for statement in _ANSWERED_MONTHS.split(";;"):
        database.execute(statement)


def migrate(path: Path, connection: Connection) -> None:
    """Bring the database up to `SCHEMA_VERSION`, in one transaction; the caller holds the write lock."""
    with storage_errors(path):
        # Both are written into the file's header and take effect only before the first table exists.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < SCHEMA_VERSION:
                had_identity = identity.is_known(connection)
                migrations.apply(Database(connection, recursive_triggers=False))
                if not had_identity:
                    identity.settle(connection)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def triggers() -> dict[str, str]:
    """Return the text of every trigger of a new store, by name."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrations.apply(Database(connection, recursive_triggers=False))
        return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    finally:
        connection.close()


_FIRST_SCHEMA = """
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
"""

_EVIDENCE = """
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
"""

_STORE_IDENTITY = """
CREATE TABLE store (
    -- Which store this is, and how often it was written to: one row, written by every transaction of mdata.
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,                 -- drawn when the store was made; a backup has it too
    generation INTEGER NOT NULL,      -- how many transactions there have been
    mark INTEGER NOT NULL,            -- drawn by the newest one
    previous INTEGER NOT NULL,        -- the mark before that, 0 for none
    cookie INTEGER NOT NULL           -- SQLite's number of the schema at that time
) STRICT
;;
INSERT INTO store
SELECT 1, lower(hex(randomblob(16))), 1, random(), 0, schema_version FROM pragma_schema_version
"""

# DuckDB reads a view's SQL as its own and takes the types of the tables; where it cannot, every column is text. The
# one function that it does not share with SQLite therefore stands in a view by itself, of which each row is looked up
# by its key, and only where somebody asks for the time as text.
_TYPED_VIEW = """
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
"""

_ANSWERED_MONTHS = """
CREATE TABLE answered_months (
    -- When REST has last answered for something of a month, to tell which of two stores knows it by the later answer.
    series_id INTEGER NOT NULL REFERENCES series (id),
    month INTEGER NOT NULL,           -- when the UTC month begins
    answered_at INTEGER NOT NULL,
    PRIMARY KEY (series_id, month)
) STRICT, WITHOUT ROWID
"""
