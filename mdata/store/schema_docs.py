"""The meaning of every table and column, in plain words; a test compares it with the schema."""

from dataclasses import dataclass

# The unit of every instant in the store; a column in it can be shown as a date.
INSTANT = "ms since 1970, UTC"
_PRICE = "quote currency"
_VOLUME = "base currency"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it contains, and in which unit (empty if there is none)."""

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
_OPEN_TIME = Column("When the interval begins; this identifies the interval.", INSTANT)
_START = Column("Where the range begins.", INSTANT)
_END = Column("Where the range ends (exclusive).", INSTANT)
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
        "Every candle with the names of its series. Read candles through this view. An interval without trades has "
        "no row. Filter on exchange, symbol and timeframe together: this is fast however large the store is.",
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
        "One row for each exchange, symbol and timeframe that a run has used.",
        {
            "id": Column("The id of the series in the other tables."),
            "exchange": Column("Where it is traded."),
            "symbol": Column("The pair, as the exchange writes it."),
            "timeframe": Column("The length of an interval: 1m to 1M."),
            "first_candle": Column(
                "The exchange's first candle, confirmed by two answers; empty if not known yet.", INSTANT
            ),
            "first_asked_at": Column("When the exchange was asked for its first candle; 0: never.", INSTANT),
            "wanted_start": Column("The earliest start that was ever configured or given.", INSTANT),
            "cleaned_to": Column("Older candles were removed by `mdata cleanup` and are not fetched again.", INSTANT),
            "frontier": Column(
                "Everything from the oldest coverage to here, except gaps, was fetched after it had settled.", INSTANT
            ),
            "asked_to": Column("REST has answered for everything up to here, settled or not.", INSTANT),
            "answered_at": Column("When the newest of the answered REST requests was sent.", INSTANT),
            "compared_to": Column("How far the current round of `mdata verify --exchange` has got.", INSTANT),
            "compared_since": Column("When that round began.", INSTANT),
            "hinted_to": Column(
                "Up to where this series was compared with the stored coarser candles of its pair, to find volume "
                "and prices that they have and this series lacks.",
                INSTANT,
            ),
            "compared_at": Column("When the last completed round began.", INSTANT),
        },
    ),
    "candles": Table(
        "Candles, as they are stored",
        "Closed candles only, by the id of their series; the view ohlcv shows the names.",
        {"series_id": _SERIES_ID, "open_time": _OPEN_TIME, **_PRICES},
    ),
    "coverage": Table(
        "The ledger: ranges that the exchange has answered for",
        "Half-open ranges. An interval in a final range without a candle is proven empty; an interval in no range "
        "is unknown.",
        {
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "kind": Column(
                "final: fetched after it had settled; provisional: from the stream, or fetched too early."
            ),
            "candles": Column("How many candles are stored in the range."),
        },
    ),
    "candle_times": Table(
        "Times of candles, as text",
        "The column `time` of the view ohlcv, as a separate view, so that DuckDB can read ohlcv.",
        {
            "series_id": _SERIES_ID,
            "open_time": _OPEN_TIME,
            "time": Column("The same instant as ISO 8601 text, UTC."),
        },
    ),
    "data_gaps": Table(
        "Gaps",
        "What was found missing inside the fetched range: the work list of `mdata repair`, and its history.",
        {
            "id": Column("The id of the gap."),
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "intervals": Column("How many intervals it spans.", "intervals"),
            "status": Column(
                "open; repaired: its candles were fetched; empty: proven to have none; failed: given up."
            ),
            "candles": Column("How many candles the repair fetched."),
            "attempts": Column("How many answers left it unproven."),
            "reason": Column("Why it is still open, or was given up."),
            "detected_at": Column("When it was found.", INSTANT),
            "next_attempt_at": Column("Not tried again before this.", INSTANT),
            "resolved_at": Column("When it was closed.", INSTANT),
        },
    ),
    "ingestion_jobs": Table(
        "Runs",
        "One row for each run of a command that writes to the store.",
        {
            "id": Column("The run's number."),
            "command": Column("The subcommand that ran."),
            "started_at": Column("When it began.", INSTANT),
            "finished_at": Column("When it ended; empty while it runs.", INSTANT),
            "outcome": Column("running, ok, partial, skipped, failed or interrupted."),
            "exit": Column("The exit code."),
            "error": Column("Why it ended this way, if there is a reason."),
            "requests": Column("Requests sent to the exchange."),
            "candles_written": Column("Candles that were new, or whose values changed."),
            "candles_changed": Column("Final candles that the exchange changed or withdrew later."),
            "gaps_opened": Column("Gaps found."),
            "gaps_repaired": Column("Gaps closed with candles."),
            "gaps_empty": Column("Gaps closed as proven empty."),
            "gaps_failed": Column("Gaps given up."),
            "remaining": Column("Intervals in its scope that were still unknown when it ended.", "intervals"),
            "pid": Column("The process."),
            "host": Column("The machine."),
            "boot_id": Column("The boot of the machine during which it ran."),
            "invocation_id": Column("systemd's id of the run: journalctl _SYSTEMD_INVOCATION_ID=…"),
            "version": Column("The version of mdata."),
        },
    ),
    "candle_revisions": Table(
        "Revisions",
        "The old values of candles that the exchange changed or withdrew, confirmed by two answers.",
        {
            "id": Column("The revision's number."),
            "series_id": _SERIES_ID,
            "open_time": _OPEN_TIME,
            "kind": Column(
                "changed: the exchange sent other values; withdrawn: the exchange no longer sends it; missing "
                "(only in old stores): one answer did not contain it."
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
            "row": Column("The row as received, as JSON."),
            "reason": Column("What is wrong with it."),
            "seen_at": Column("When it was received.", INSTANT),
            "source": Column("The command whose answer it was."),
        },
    ),
    "lost_candles": Table(
        "Lost candles",
        "Candles that another program deleted from a covered range; `mdata detect-gaps` turns them into gaps.",
        {"series_id": _SERIES_ID, "open_time": _OPEN_TIME},
    ),
    "empty_runs": Table(
        "Unusually long silences",
        "Final ranges without a candle that are improbably long for this market at this time; `mdata repair` "
        "checks them again later.",
        {
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "believed_at": Column("When it was accepted.", INSTANT),
            "asked_at": Column("When the exchange last said so.", INSTANT),
        },
    ),
    "doubts": Table(
        "Doubts",
        "What one answer said, and no second, independent answer has confirmed yet.",
        {
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "kind": Column(
                "silence: no rows came at an end of the requested range; absent: a stored candle did not come "
                "back; changed: it came back with other values; first: the exchange's first candle, as one answer "
                "named it; unconfirmed: the first page of a series, while no other answer has contained a row of "
                "that page; unwitnessed: the answer contained no stored candle unchanged, or too few; withdrawn: "
                "`mdata verify` found candles that differ from the ledger, so the range is requested again."
            ),
            "form": Column(
                "What the last request asked for: asc and the start of its range (oldest rows first), or desc and "
                "the end of its range (newest rows first)."
            ),
            "since": Column("When an answer first said so.", INSTANT),
            "asked_at": Column("When the latest answer said so.", INSTANT),
            "answers": Column("How many answers said so."),
            **_PRICES,
        },
    ),
    "unobtainable": Table(
        "Unobtainable",
        "Ranges that the exchange no longer serves: stored candles are kept, the rest cannot be fetched.",
        {
            "series_id": _SERIES_ID,
            "start_time": _START,
            "end_time": _END,
            "since": Column("When the exchange was found not to serve it.", INSTANT),
        },
    ),
    "digests": Table(
        "Digests",
        "A digest of each completely final month, as `mdata verify` read it.",
        {
            "series_id": _SERIES_ID,
            "month": Column("When the month begins, UTC.", INSTANT),
            "candles": Column("How many candles it holds."),
            "digest": Column("SHA-256 over them; empty while it is being computed."),
            "computed_at": Column("When it was read.", INSTANT),
        },
    ),
    "answered_months": Table(
        "Answered months",
        "When the exchange has last answered for a part of each month.",
        {
            "series_id": _SERIES_ID,
            "month": Column("When the month begins, UTC.", INSTANT),
            "answered_at": Column("When the newest answer about it came.", INSTANT),
        },
    ),
    "store": Table(
        "Store",
        "The identity of the store and the number of writes: one row, updated by every write of mdata.",
        {
            "one": Column("Always 1."),
            "id": Column("Random, chosen when the store was created; its backups have the same."),
            "generation": Column("How many transactions there have been."),
            "mark": Column("Random, chosen by the newest transaction to distinguish it from all others."),
            "previous": Column("The mark of the transaction before; 0 if there was none."),
            "cookie": Column("SQLite's schema cookie after the newest transaction."),
        },
    ),
}
