"""Named queries with links: common questions as fast SQL.

An empty parameter selects the first series, so that every link shows something. The queries use `candles` and the
number of a series, so they read one slice of its key, however large the store is.
"""

from dataclasses import dataclass

from mdata.domain.candle import VALUES


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """One query: its title, the question that it answers, and its SQL."""

    title: str
    meaning: str
    sql: str


_SERIES = """(
    SELECT id FROM series
    WHERE (:symbol = '' OR symbol = :symbol) AND (:timeframe = '' OR timeframe = :timeframe)
    ORDER BY id LIMIT 1
)"""

QUERIES: dict[str, SampleQuery] = {
    "latest": SampleQuery(
        "Latest candles",
        "The newest 100 candles of a series: symbol like tBTCUSD, timeframe like 1m; empty for the first series.",
        f"""SELECT symbol, timeframe, strftime('%Y-%m-%d %H:%M', open_time / 1000, 'unixepoch') AS time,
    {", ".join(VALUES)}
FROM candles JOIN series ON series.id = series_id
WHERE series_id = {_SERIES}
ORDER BY open_time DESC LIMIT 100""",
    ),
    "daily": SampleQuery(
        "Daily summary",
        "Open, high, low, close and volume of each of the newest 30 UTC days of a series, from its own candles.",
        f"""WITH chosen AS (
    SELECT candles.* FROM candles
    WHERE series_id = {_SERIES}
      AND open_time >= 86400000 * (
        SELECT max(open_time) / 86400000 - 29 FROM candles WHERE series_id = {_SERIES}
      )
), days AS (
    SELECT series_id, open_time / 86400000 AS day, min(open_time) AS first, max(open_time) AS last,
        max(high) AS high, min(low) AS low, sum(volume) AS volume, count(*) AS candles
    FROM chosen GROUP BY series_id, day
)
SELECT symbol, timeframe, date(day * 86400, 'unixepoch') AS day,
    (SELECT open FROM candles WHERE series_id = series.id AND open_time = first) AS open, high, low,
    (SELECT close FROM candles WHERE series_id = series.id AND open_time = last) AS close, volume, candles
FROM days JOIN series ON series.id = series_id ORDER BY days.day DESC""",
    ),
    "gaps_now": SampleQuery(
        "Gaps that are open or were given up",
        "What `mdata repair` still has to do, newest first.",
        """SELECT symbol, timeframe, strftime('%Y-%m-%d %H:%M', start_time / 1000, 'unixepoch') AS start,
    strftime('%Y-%m-%d %H:%M', end_time / 1000, 'unixepoch') AS "end", intervals, status, attempts, reason,
    strftime('%Y-%m-%d %H:%M', next_attempt_at / 1000, 'unixepoch') AS next_attempt
FROM data_gaps JOIN series ON series.id = series_id
WHERE status IN ('open', 'failed') ORDER BY start_time DESC""",
    ),
    "gaps_by_day": SampleQuery(
        "Gaps by day",
        "How many gaps were found on each UTC day, and their status now.",
        """SELECT date(detected_at / 1000, 'unixepoch') AS day, count(*) AS found, sum(status = 'open') AS open,
    sum(status = 'repaired') AS repaired, sum(status = 'empty') AS empty, sum(status = 'failed') AS failed,
    sum(intervals) AS intervals
FROM data_gaps GROUP BY day ORDER BY day DESC""",
    ),
    "ledger": SampleQuery(
        "The ledger",
        "Ranges that the exchange has answered for; whatever is between them is unknown.",
        """SELECT symbol, timeframe, kind, strftime('%Y-%m-%d %H:%M', start_time / 1000, 'unixepoch') AS start,
    strftime('%Y-%m-%d %H:%M', end_time / 1000, 'unixepoch') AS "end", candles
FROM coverage JOIN series ON series.id = series_id ORDER BY symbol, timeframe, start_time DESC""",
    ),
    "runs_by_day": SampleQuery(
        "Runs by day",
        "How often each command ran on each UTC day, how it went, and what it did.",
        """SELECT date(started_at / 1000, 'unixepoch') AS day, command, count(*) AS runs, sum(outcome = 'ok') AS ok,
    sum(outcome NOT IN ('ok', 'running')) AS not_ok, sum(requests) AS requests,
    sum(candles_written) AS candles_written, max(finished_at - started_at) / 1000 AS longest_seconds
FROM ingestion_jobs GROUP BY day, command ORDER BY day DESC, command""",
    ),
}
