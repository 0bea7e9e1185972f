"""What every table and column of the store means, in words for people; a test holds it against the schema."""

from dataclasses import dataclass

# The unit of every instant in the store; a column in it can be shown as a date.
INSTANT = "ms since 1970, UTC"
_PRICE = "quote currency"
_VOLUME = "base currency"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it holds, and in which unit (empty where there is none)."""

    meaning: str
    unit: str = ""

    @property
    def text(self) -> str:
        """Return meaning and unit as one line."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view: a title, a sentence or two, and its columns in order."""

    title: str
    meaning: str
    columns: dict[str, Column]


_SERIES_ID = Column("The series it belongs to.")
_OPEN_TIME = Column("When the interval begins; it names the interval.", INSTANT)
_START = Column("Where the range begins.", INSTANT)
_END = Column("Where the range ends; the first instant that is no longer part of it.", INSTANT)
_PRICES = {
    "open": Column("The first price.", _PRICE),
    "high": Column("The highest price.", _PRICE),
    "low": Column("The lowest price.", _PRICE),
    "close": Column("The last price.", _PRICE),
    "volume": Column("How much was traded.", _VOLUME),
}

TABLES: dict[str, Table] = {
    "ohlcv": Table(
        "Candles",
        "Every candle with the names of its series: the view to read candles by. An interval without trades has no "
        "row. Filters on exchange, symbol and timeframe together are fast, however large the store is.",
        {
            "exchange": Column("Where it was traded."),
            "symbol": Column("The pair, as the exchange writes it: tBTCUSD."),
            "timeframe": Column("The length of an interval: 1m to 1M; 1m is a minute, 1M is a month."),
            "open_time": _OPEN_TIME,
            "time": Column("The same instant as ISO 8601 text, UTC."),
            **_PRICES,
        },
    ),
    "series": Table(
        "Series",
        "One row for each exchange, symbol and timeframe that any run has seen.",
        {
            "id": Column("The number by which other tables name the series."),
            "exchange": Column("Where it is traded."),
            "symbol": Column("The pair, as the exchange writes it."),
            "timeframe": Column("The length of an interval: 1m to 1M."),
            "first_candle": Column(
                "The exchange's first candle, as two answers agree; empty while that is not known.", INSTANT
            ),
            "first_asked_at": Column("When the exchange was asked for its first candle; 0: never.", INSTANT),
            "wanted_start": Column("The earliest start ever asked for.", INSTANT),
            "cleaned_to": Column("What is older was removed by `mdata cleanup` and is not wanted again.", INSTANT),
            "frontier": Column("Everything wanted and older was asked for after it had settled.", INSTANT),
            "asked_to": Column("REST has answered for everything up to here, settled or not.", INSTANT),
            "answered_at": Column("The newest instant for which the exchange has answered.", INSTANT),
            "compared_to": Column("How far `mdata verify --exchange` has come in its present round.", INSTANT),
            "compared_since": Column("When that round began.", INSTANT),
            "hinted_to": Column("How far coarser candles were looked at for what may be missing.", INSTANT),
            "compared_at": Column("When the last round that came to its end had begun.", INSTANT),
        },
    ),
    "candles": Table(
        "Candles, as they are stored",
        "Closed candles only, by the number of their series; the view ohlcv shows the names.",
        {"series_id": _SERIES_ID, "open_time": _OPEN_TIME, **_PRICES},
    ),
    "coverage": Table(
        "The ledger: what the exchange has answered for",
        "Half-open ranges. What lies in a final range and has no candle is proven to be empty; what lies in no range "
        "is unknown.",
        {
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "kind": Column("final: asked after it had settled; provisional: from the stream, or asked early."),
            "candles": Column("How many candles are stored in the range."),
        },
    ),
    "candle_times": Table(
        "Times of candles, as text",
        "What the view ohlcv shows as time, in a view by itself: DuckDB reads the rest of that as its own SQL.",
        {
            "series_id": _SERIES_ID,
            "open_time": _OPEN_TIME,
            "time": Column("The same instant as ISO 8601 text, UTC."),
        },
    ),
    "data_gaps": Table(
        "Gaps",
        "What was found missing inside what was fetched: the work list of `mdata repair`, and its history.",
        {
            "id": Column("The gap's number."),
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "intervals": Column("How many intervals it spans.", "intervals"),
            "status": Column("open; repaired: candles came; empty: proven to have none; failed: given up."),
            "candles": Column("How many candles the repair brought."),
            "attempts": Column("How many answers left it unproven."),
            "reason": Column("Why it is still open, or was given up."),
            "detected_at": Column("When it was found.", INSTANT),
            "next_attempt_at": Column("Not asked about before this.", INSTANT),
            "resolved_at": Column("When it was closed.", INSTANT),
        },
    ),
    "ingestion_jobs": Table(
        "Runs",
        "One row for each run of a command that had something to do.",
        {
            "id": Column("The run's number."),
            "command": Column("The subcommand that ran."),
            "started_at": Column("When it began.", INSTANT),
            "finished_at": Column("When it ended; empty while it runs.", INSTANT),
            "outcome": Column("running, ok, partial, skipped, failed or interrupted."),
            "exit": Column("The exit code."),
            "error": Column("Why it ended as it did, where that needs saying."),
            "requests": Column("Requests sent to the exchange."),
            "candles_written": Column("Candles that were new."),
            "candles_changed": Column("Final candles that came back different."),
            "gaps_opened": Column("Gaps found."),
            "gaps_repaired": Column("Gaps closed with candles."),
            "gaps_empty": Column("Gaps closed as proven empty."),
            "gaps_failed": Column("Gaps given up."),
            "remaining": Column("What was still unknown in its scope when it ended.", "intervals"),
            "pid": Column("The process."),
            "host": Column("The machine."),
            "boot_id": Column("The boot of the machine during which it ran."),
            "invocation_id": Column("systemd's number of the run: journalctl _SYSTEMD_INVOCATION_ID=…"),
            "version": Column("The mdata that ran."),
        },
    ),
    "candle_revisions": Table(
        "Revisions",
        "What a candle was before two answers of the exchange changed or withdrew it.",
        {
            "id": Column("The revision's number."),
            "series_id": _SERIES_ID,
            "open_time": _OPEN_TIME,
            "kind": Column(
                "changed: it has other values; withdrawn: it came back no more; missing: left out once (old stores)."
            ),
            **_PRICES,
            "seen_at": Column("When the later answer came.", INSTANT),
            "source": Column("The command whose answer it was."),
        },
    ),
    "rejected_rows": Table(
        "Rejected rows",
        "Rows of an answer that cannot be candles. Their intervals stay unknown.",
        {
            "id": Column("The row's number."),
            "series_id": _SERIES_ID,
            "open_time": _OPEN_TIME,
            "row": Column("The row as it came, as JSON."),
            "reason": Column("What is wrong with it."),
            "seen_at": Column("When it came.", INSTANT),
            "source": Column("The command whose answer it was."),
        },
    ),
    "lost_candles": Table(
        "Lost candles",
        "Candles that some SQLite tool deleted although the ledger vouches for them; `mdata detect-gaps` makes them "
        "gaps.",
        {"series_id": _SERIES_ID, "open_time": _OPEN_TIME},
    ),
    "empty_runs": Table(
        "Remarkable silences",
        "Final ranges without a candle that are improbably long for the market around them; `mdata repair` asks "
        "about them again later.",
        {
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "believed_at": Column("Since when it is believed.", INSTANT),
            "asked_at": Column("When the exchange last said so.", INSTANT),
        },
    ),
    "doubts": Table(
        "Doubts",
        "What one answer has said and no second, independent one yet.",
        {
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "kind": Column(
                "silence: no rows at an end of the answer; absent, changed: a stored candle did not come back, or "
                "with other values; first: the exchange's first candle; unconfirmed: a first page; unwitnessed: an "
                "answer without any stored candle; withdrawn: by `mdata verify`."
            ),
            "form": Column("From which end, and from which bound, the rows of the last answer were counted."),
            "since": Column("When an answer first said so.", INSTANT),
            "asked_at": Column("When the last one did.", INSTANT),
            "answers": Column("How many did."),
            **_PRICES,
        },
    ),
    "unobtainable": Table(
        "Unobtainable",
        "Ranges that the exchange does not serve any more: what is stored there stays, the rest cannot be had.",
        {
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "since": Column("When the exchange was found not to serve it.", INSTANT),
        },
    ),
    "digests": Table(
        "Digests",
        "What `mdata verify` has read of each month that is wholly final.",
        {
            "series_id": _SERIES_ID,
            "month": Column("When the month begins, UTC.", INSTANT),
            "candles": Column("How many candles it holds."),
            "digest": Column("SHA-256 over them; empty while it is being computed."),
            "computed_at": Column("When it was read.", INSTANT),
        },
    ),
    "store": Table(
        "Store",
        "Which store this is, and how often it was written to: one row, which every write of mdata renews.",
        {
            "one": Column("Always 1."),
            "id": Column("Drawn when the store was made; its backups have it too."),
            "generation": Column("How many transactions there have been."),
            "mark": Column("Drawn by the newest of them, to tell it from all others."),
            "previous": Column("The mark of the one before; 0 for none."),
            "cookie": Column("SQLite's number of the schema at that time."),
        },
    ),
}
