"""The table of settings: name, default, parser, and the sentence that explains each."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mdata.config import values
from mdata.domain.pace import Pace
from mdata.domain.share import Share
from mdata.domain.timeframe import MINUTE, TIMEFRAMES, Timeframe
from mdata.domain.venue import Venue
from mdata.exchange import registry
from mdata.exchange.registry import HOME


class Settings(NamedTuple):
    """The effective settings; the names are those of the environment, in lower case."""

    symbols: tuple[str, ...]
    timeframes: tuple[Timeframe, ...]
    share: Share | None
    backfill_days: int
    backfill_on_startup: bool
    backfill_interval_minutes: int
    gap_detection_interval_minutes: int
    gap_detection_max_open_gaps: int
    gap_repair_interval_minutes: int
    gap_repair_max_repairs_per_run: int
    rest_update_enabled: bool
    update_interval_seconds: int
    ws_ingestion_enabled: bool
    ws_catchup_lookback_minutes: int
    stream_duration_minutes: int
    rate_limit_delay: float
    rate_limit_burst: int
    rate_limit_max_retries: int
    rate_limit_min_backoff_seconds: float
    rate_limit_state_path: Path
    database_path: Path
    retention_days: int
    retention_days_by_timeframe: Mapping[str, int]
    jobs_retention_days: int
    settle_seconds: int
    revisit_hours: int
    recheck_days: int
    status_max_lag_minutes: int
    addresses: Mapping[str, str]
    lake_url: str | None
    publish_after_days: int
    prometheus_textfile: Path | None
    ping_url: str | None
    notify_command: str | None
    log_level: str
    rehearsal: tuple[int, float, float] | None

    @property
    def pace(self) -> Pace:
        """How fast requests to the home exchange may be sent."""
        return self.pace_of(HOME)

    def pace_of(self, venue: Venue) -> Pace:
        """Return how fast requests to an exchange may be sent."""
        return Pace(self.rate_limit_delay, self.rate_limit_burst, venue.window)

    def rest_url(self, venue: Venue) -> str:
        """Return the address of an exchange's REST API."""
        return self.addresses.get(rest_setting(venue), venue.rest_url)

    def stream_url(self, venue: Venue) -> str:
        """Return the address of an exchange's WebSocket API."""
        return self.addresses.get(stream_setting(venue), venue.ws_url)

    def rate_state(self, venue: Venue) -> Path:
        """Return the file of an exchange's rate budget.

        Each exchange has a file of its own, because exchanges count requests separately.
        """
        path = self.rate_limit_state_path
        return path if venue == HOME else path.with_name(f"{path.stem}-{venue.name}{path.suffix}")

    @property
    def settle(self) -> int:
        """How long (ms) after its close an interval is settled."""
        return self.settle_seconds * 1000

    @property
    def ws_catchup_lookback(self) -> int:
        """How far back (ms) a stream fetches what it missed."""
        return self.ws_catchup_lookback_minutes * MINUTE


class Setting(NamedTuple):
    """One setting: `default` is text, as in an env file; the value of a secret is never shown."""

    name: str
    default: str
    parse: Callable[[str], object]
    help: str
    is_secret: bool = False


def rest_setting(venue: Venue) -> str:
    """Return the name of the setting with the address of an exchange's REST API."""
    return f"{venue.name.upper()}_REST_URL"


def stream_setting(venue: Venue) -> str:
    """Return the name of the setting with the address of an exchange's stream."""
    return f"{venue.name.upper()}_WS_URL"


def _addresses(venue: Venue) -> Iterator[Setting]:
    plain = "REST API; http:// only for this machine, as with `mdata sandbox`."
    yield Setting(rest_setting(venue), venue.rest_url, values.url("https", "http"), plain)
    if venue.stream is not None:
        yield Setting(
            stream_setting(venue),
            venue.ws_url,
            values.url("wss", "ws"),
            "WebSocket API; ws:// only for this machine.",
        )


_MINUTES = values.whole(1, 44_640)
_ALL = " ".join(TIMEFRAMES)
_DAYS = values.whole(0, 36_525)
_BURST = values.whole(1, HOME.window.most)
_SETTLE = str(max(venue.settle_seconds for venue in registry.venues()))

ADDRESSES: tuple[Setting, ...] = tuple(one for venue in registry.venues() for one in _addresses(venue))

CATEGORIES: dict[str, tuple[Setting, ...]] = {
    "What to store": (
        Setting("SYMBOLS", "BTCUSD,ETHUSD", values.symbols, "Trading pairs, separated by commas."),
        Setting("TIMEFRAMES", "1m", values.timeframes, f"One or more of {_ALL} (1m: minute, 1M: month)."),
        Setting(
            "SHARE", "", values.optional_share, "This host's share of SYMBOLS: 2/5 is the second of five; empty: all."
        ),
        Setting("DATABASE_PATH", "", values.real_path, "The database file; empty: ~/.local/share/mdata/mdata.db."),
    ),
    "Backfill": (
        Setting("BACKFILL_DAYS", "365", values.whole(0, 36_525), "How far back to fetch candles, in days."),
        Setting("BACKFILL_ON_STARTUP", "true", values.truth, "Timers: also backfill after each boot."),
        Setting("BACKFILL_INTERVAL_MINUTES", "60", _MINUTES, "Timers: minutes between two runs."),
        Setting(
            "SETTLE_SECONDS",
            _SETTLE,
            values.whole(0, 86_400),
            "Seconds during which closed candles may still change.",
        ),
        Setting(
            "REVISIT_HOURS",
            "24",
            values.whole(0, 168),
            "A backfill also compares the last N hours again, if that costs no further request.",
        ),
        Setting(
            "RECHECK_DAYS",
            "90",
            values.whole(0, 3650),
            "Compare everything with the exchange again within N days; 0: never.",
        ),
    ),
    "Gaps": (
        Setting("GAP_DETECTION_INTERVAL_MINUTES", "60", _MINUTES, "Timers: minutes between two runs."),
        Setting(
            "GAP_DETECTION_MAX_OPEN_GAPS",
            "0",
            values.whole(0, 10**9),
            "Open no new gap while N are open; 0: no limit.",
        ),
        Setting("GAP_REPAIR_INTERVAL_MINUTES", "60", _MINUTES, "Timers: minutes between two runs."),
        Setting(
            "GAP_REPAIR_MAX_REPAIRS_PER_RUN", "10", values.whole(1, 10**6), "Maximum requests per run of repair."
        ),
    ),
    "Updates by REST (rarely needed if the stream runs)": (
        Setting("REST_UPDATE_ENABLED", "false", values.truth, "Timers: also run `mdata update`."),
        Setting("UPDATE_INTERVAL_SECONDS", "60", values.whole(5, 86_400), "Timers: seconds between two runs."),
    ),
    "Stream (WebSocket)": (
        Setting("WS_INGESTION_ENABLED", "true", values.truth, "Timers: keep `mdata stream` running."),
        Setting(
            "WS_CATCHUP_LOOKBACK_MINUTES",
            "180",
            values.whole(0, 44_640),
            "How far back the stream catches up by REST, in minutes.",
        ),
        Setting("STREAM_DURATION_MINUTES", "60", _MINUTES, "How long one run of the stream lasts, in minutes."),
    ),
    "Rate limit (per IP, shared by all processes)": (
        Setting(
            "RATE_LIMIT_DELAY", "6.0", values.decimal(0, 3600), "Average seconds per request, over all processes."
        ),
        Setting(
            "RATE_LIMIT_BURST",
            "15",
            _BURST,
            "Requests that may be sent at once after a pause; 1: evenly spaced.",
        ),
        Setting("RATE_LIMIT_MAX_RETRIES", "10", values.whole(0, 1000), "Retries of a failed request."),
        Setting(
            "RATE_LIMIT_MIN_BACKOFF_SECONDS",
            "60.0",
            values.decimal(0, 86_400),
            "Minimum pause after a rate-limit refusal, in seconds.",
        ),
        Setting(
            "RATE_LIMIT_STATE_PATH",
            "",
            values.path,
            "File for the shared budget, one per IP address; empty: in /var/lib/mdata or ~/.local/state/mdata.",
        ),
    ),
    "Retention": (
        Setting("RETENTION_DAYS", "0", _DAYS, "Days to keep candles; 0: for ever."),
        Setting(
            "RETENTION_DAYS_BY_TIMEFRAME",
            "",
            values.days_by_timeframe,
            "The same for single timeframes: 1m=365,5m=730.",
        ),
        Setting("JOBS_RETENTION_DAYS", "30", values.whole(1, 36_525), "Days to keep finished jobs and closed gaps."),
    ),
    "Lake (to publish to; see docs/lake.md)": (
        Setting(
            "LAKE_URL", "", values.optional_lake, "A folder, or s3://bucket/folder, gs:// or az://; empty: none."
        ),
        Setting("PUBLISH_AFTER_DAYS", "7", values.whole(0, 3650), "Publish a month this many days after its end."),
    ),
    "Watching": (
        Setting(
            "STATUS_MAX_LAG_MINUTES",
            "90",
            values.whole(1, 525_600),
            "`status --check` fails if a series lags more than this.",
        ),
        Setting(
            "PROMETHEUS_TEXTFILE",
            "",
            values.optional_path,
            "Write metrics to this file for node_exporter's textfile collector.",
        ),
        Setting(
            "PING_URL",
            "",
            values.optional_url,
            "URL that `status --check` requests, as healthchecks.io expects.",
            is_secret=True,
        ),
        Setting(
            "NOTIFY_COMMAND",
            "",
            values.optional_command,
            "Command to run when a scheduled job fails.",
            is_secret=True,
        ),
        Setting("LOG_LEVEL", "INFO", values.level, "DEBUG, INFO, WARNING or ERROR."),
    ),
    "Exchange": ADDRESSES,
    "Rehearsal (only with `mdata sandbox`, never in daily use)": (
        Setting(
            "MDATA_REHEARSAL",
            "",
            values.rehearsal,
            "The sandbox's clock, as the sandbox prints it; rejected unless both URLs above are on this machine.",
        ),
    ),
}

SETTINGS: tuple[Setting, ...] = tuple(one for group in CATEGORIES.values() for one in group)
