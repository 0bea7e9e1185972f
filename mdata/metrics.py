"""Metrics of the store for node_exporter's textfile collector; only this module uses prometheus_client."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mdata import __version__, extras
from mdata.domain.gaps import STATUSES
from mdata.errors import ConfigurationError
from mdata.fetching.wanted import Target
from mdata.files import replace_whole
from mdata.jobs.status import SeriesState, Status
from mdata.logs import harmless
from mdata.ratelimit import BudgetView
from mdata.store.sqlite import SQLITE_VERSION

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily, Metric

_SERIES = ("symbol", "timeframe", "exchange")
_AMONG_UNKNOWN = {
    "doubted": "Unknown intervals for which one answer had no candles, not yet confirmed by a second answer",
    "unobtainable": "Unknown intervals that the exchange no longer serves",
    "backlog": "Unknown intervals outside the fetched range, which backfill fetches",
}
_VERDICTS = ("present", "empty", "provisional", "unknown")


def write(path: Path, families: "list[Metric]") -> None:
    """Write metrics to the file at `path`, atomically, and readable by all: node_exporter is another user."""
    from prometheus_client.exposition import generate_latest

    if not path.parent.is_dir():
        raise ConfigurationError(
            f"the folder {path.parent} for the metrics does not exist; use the folder of node_exporter's "
            "--collector.textfile.directory"
        )
    replace_whole(path, generate_latest(_Collected(families)).decode(), 0o644)


class _Collected:
    """Looks like a registry to prometheus_client."""

    def __init__(self, families: "list[Metric]") -> None:
        self._families = families

    def collect(self) -> "list[Metric]":
        """Return the families, as a registry does."""
        return self._families


def of_a_store(state: Status, rate: BudgetView, max_lag: int, exit_code: int) -> "list[Metric]":
    """Return all metrics; `max_lag` (s) and `exit_code` are the limit and the result of the health check.

    Series that are no longer in the settings are left out, so that they cause no alarm.
    """
    _require()
    judged = [one for one in state.series if not one.is_retired]
    return [
        *of_a_check(state.now, exit_code),
        *_of_series(judged, max_lag, state.absent),
        *_of_gaps(judged),
        *_of_jobs(state),
        _one(
            "mdata_rate_limit_blocked",
            "1 while the exchange's rate limit blocks all requests",
            bool(rate.blocked_until),
        ),
        _one("mdata_rate_limit_refusals", "Consecutive rate-limit refusals by the exchange", rate.refusals),
        _one("mdata_rate_limit_waiting", "Processes that wait to send a request", len(rate.waiting)),
        _one("mdata_database_bytes", "Size of the database", state.bytes),
        _one("mdata_database_wal_bytes", "Size of the database's write-ahead log", state.wal_bytes),
    ]


def of_a_check(now: int, exit_code: int) -> "list[Metric]":
    """Return the metrics that do not need a readable store: the result and the time (ms UTC) of the health check."""
    _require()
    versions = {"version": __version__, "sqlite": SQLITE_VERSION, "python": ".".join(map(str, sys.version_info[:3]))}
    build = _family("mdata_build_info", "Versions, as labels", tuple(versions))
    build.add_metric([*versions.values()], 1)
    return [
        build,
        _one("mdata_healthy", "1 if `mdata status --check` finds no problem", exit_code == 0),
        _one("mdata_check_exit_code", "Exit code of `mdata status --check`", exit_code),
        _one("mdata_scrape_timestamp_seconds", "When these metrics were collected", now / 1000),
    ]


def _of_series(judged: list[SeriesState], max_lag: int, absent: list[Target]) -> "Iterator[Metric]":
    candles = _family("mdata_candles", "Stored candles", _SERIES)
    intervals = _family("mdata_intervals", "Wanted intervals by verdict", (*_SERIES, "verdict"))
    lost = _family("mdata_lost_candles", "Wanted candles that another program deleted; included in unknown", _SERIES)
    others = [_family(f"mdata_{name}_intervals", meaning, _SERIES) for name, meaning in _AMONG_UNKNOWN.items()]
    complete = _family(
        "mdata_series_complete",
        "1 if no wanted interval is unknown, no gap is open or given up, and a second answer has confirmed the first",
        _SERIES,
    )
    early = _family("mdata_early_candles", "Candles that have been provisional for more than a day", _SERIES)
    compared = _family(
        "mdata_compared_timestamp_seconds",
        "When the last comparison of the whole series with the exchange began",
        _SERIES,
    )
    lag = _family("mdata_lag_seconds", "For how long newer data have been ready to fetch; 0 if none are", _SERIES)
    fresh = _family("mdata_series_fresh", "0 if a series has no data or lags beyond the limit", _SERIES)
    last = _family("mdata_last_candle_timestamp_seconds", "Open time of the newest candle", _SERIES)
    for one in judged:
        labels = _labels(one)
        candles.add_metric(labels, one.counts.candles)
        for verdict in _VERDICTS:
            intervals.add_metric([*labels, verdict], getattr(one.counts, verdict))
        lost.add_metric(labels, one.counts.lost)
        for name, family in zip(_AMONG_UNKNOWN, others, strict=True):
            family.add_metric(labels, getattr(one.counts, name))
        complete.add_metric(labels, one.is_complete)
        early.add_metric(labels, one.counts.early)
        if one.series.compared_at is not None:
            compared.add_metric(labels, one.series.compared_at / 1000)
        lag.add_metric(labels, one.lag_seconds)
        has_nothing = one.has_no_data and not one.is_quiet
        fresh.add_metric(labels, not (has_nothing or one.is_stale(max_lag)))
        if one.counts.last is not None:
            last.add_metric(labels, one.counts.last / 1000)
    for target in absent:
        fresh.add_metric([target.symbol, target.timeframe.name, target.venue.name], 0)
    yield from (candles, intervals, lost, *others, complete, early, compared, lag, fresh, last)


def _of_gaps(judged: list[SeriesState]) -> "Iterator[Metric]":
    gaps = _family("mdata_gaps", "Gaps by status", (*_SERIES, "status"))
    oldest = _family("mdata_oldest_gap_timestamp_seconds", "When the oldest open or failed gap was found", _SERIES)
    for one in judged:
        for status in STATUSES:
            gaps.add_metric([*_labels(one), status], getattr(one.gaps, status))
        if one.gaps.oldest_at is not None:
            oldest.add_metric(_labels(one), one.gaps.oldest_at / 1000)
    yield from (gaps, oldest)


def _of_jobs(state: Status) -> "Iterator[Metric]":
    command = ("command",)
    started = _family("mdata_last_run_timestamp_seconds", "When the newest run started", command)
    success = _family("mdata_last_success_timestamp_seconds", "When the newest successful run ended", command)
    exit_code = _family("mdata_last_exit_code", "Exit code of the newest run that has ended", command)
    requests = _family("mdata_last_run_requests", "Requests of the newest run", command)
    running = _family("mdata_running", "1 while the command is running", command)
    for name, last in state.jobs.items():
        started.add_metric([name], last.started_at / 1000)
        if last.success_at is not None:
            success.add_metric([name], last.success_at / 1000)
        if last.exit is not None:
            exit_code.add_metric([name], last.exit)
        requests.add_metric([name], last.requests)
        running.add_metric([name], name in state.running)
    yield from (started, success, exit_code, requests, running)


def _one(name: str, meaning: str, value: float) -> "GaugeMetricFamily":
    family = _family(name, meaning, ())
    family.add_metric([], value)
    return family


def _family(name: str, meaning: str, labels: tuple[str, ...]) -> "GaugeMetricFamily":
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, meaning, labels=labels)


def _labels(one: SeriesState) -> list[str]:
    return [harmless(one.series.symbol), one.series.timeframe.name, one.series.exchange]


def _require() -> None:
    try:
        import prometheus_client  # noqa: F401 - only to see whether it is installed
    except ImportError:
        raise ConfigurationError(
            "metrics need the package prometheus-client, which is not installed: "
            f"run `{extras.install(extras.PROMETHEUS)}`"
        ) from None
