"""The table of settings: each one's name, default, parser, and the sentence that explains it, once."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mdata.config import values
from mdata.domain.pace import Pace
from mdata.domain.timeframe import MINUTE, TIMEFRAMES, Timeframe
from mdata.domain.venue import Venue
from mdata.exchange import registry
from mdata.exchange.registry import HOME


class Settings(NamedTuple):
    """The effective settings; the names are those of the environment, in lower case."""

    symbols: tuple[str, ...]
    timeframes: tuple[Timeframe, ...]
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
    prometheus_textfile: Path | None
    ping_url: str | None
    notify_command: str | None
    log_level: str
    rehearsal: tuple[int, float, float] | None

    @property
    def pace(self) -> Pace:
        """How fast the home exchange may be asked."""
        return self.pace_of(HOME)

    def pace_of(self, venue: Venue) -> Pace:
        """Return how fast an exchange may be asked."""
        return Pace(self.rate_limit_delay, self.rate_limit_burst, venue.window)

    def rest_url(self, venue: Venue) -> str:
        """Return where an exchange is asked."""
        return self.addresses.get(rest_setting(venue), venue.rest_url)

    def stream_url(self, venue: Venue) -> str:
        """Return where an exchange's stream is."""
        return self.addresses.get(stream_setting(venue), venue.ws_url)

    def rate_state(self, venue: Venue) -> Path:
        """Return the file of an exchange's rate budget: each has its own, as each counts by itself."""
        path = self.rate_limit_state_path
        return path if venue == HOME else path.with_name(f"{path.stem}-{venue.name}{path.suffix}")

    @property
    def settle(self) -> int:
        """For how long an interval must have been closed to be final, ms."""
        return self.settle_seconds * 1000

    @property
    def ws_catchup_lookback(self) -> int:
        """How far back a stream asks for what it missed, ms."""
        return self.ws_catchup_lookback_minutes * MINUTE


class Setting(NamedTuple):
    """One setting: `default` is text, as it would stand in a file; a secret's value is never shown."""

    name: str
    default: str
    parse: Callable[[str], object]
    help: str
    is_secret: bool = False


def rest_setting(venue: Venue) -> str:
    """Return the name of the setting that holds the address at which an exchange is asked."""
    return f"{venue.name.upper()}_REST_URL"


def stream_setting(venue: Venue) -> str:
    """Return the name of the setting that holds the address of an exchange's stream."""
    return f"{venue.name.upper()}_WS_URL"


def _addresses(venue: Venue) -> Iterator[Setting]:
    plain = "Plain http only to this machine, as for `mdata sandbox`."
    yield Setting(rest_setting(venue), venue.rest_url, values.url("https", "http"), plain)
    if venue.stream is not None:
        yield Setting(stream_setting(venue), venue.ws_url, values.url("wss", "ws"), "Likewise, wss and ws.")


_MINUTES = values.whole(1, 44_640)
_DAYS = values.whole(0, 36_525)
_BURST = values.whole(1, HOME.window.most)
_SETTLE = str(max(venue.settle_seconds for venue in registry.venues()))

ADDRESSES: tuple[Setting, ...] = tuple(one for venue in registry.venues() for one in _addresses(venue))

CATEGORIES: dict[str, tuple[Setting, ...]] = {
    "What to keep": (
        Setting("SYMBOLS", "BTCUSD,ETHUSD", values.symbols, "Trading pairs, separated by commas."),
        Setting("TIMEFRAMES", "1m", values.timeframes, f"Any of {' '.join(TIMEFRAMES)} (1m is not 1M)."),
        Setting("DATABASE_PATH", "", values.real_path, "The store; empty: ~/.local/share/mdata/mdata.db."),
    ),
    "Backfill": (
        Setting("BACKFILL_DAYS", "365", values.whole(0, 36_525), "How far back candles are wanted, in days."),
        Setting("BACKFILL_ON_STARTUP", "true", values.truth, "Timers: backfill once at each boot too."),
        Setting("BACKFILL_INTERVAL_MINUTES", "60", _MINUTES, "Timers: minutes between two runs."),
        Setting("SETTLE_SECONDS", _SETTLE, values.whole(0, 86_400), "For how long closed candles may still change."),
        Setting("REVISIT_HOURS", "24", values.whole(0, 168), "Compare so many hours again at every run of backfill."),
        Setting("RECHECK_DAYS", "90", values.whole(0, 3650), "Compare everything again in so many days; 0: never."),
    ),
    "Gaps": (
        Setting("GAP_DETECTION_INTERVAL_MINUTES", "60", _MINUTES, "Timers: minutes between two runs."),
        Setting(
            "GAP_DETECTION_MAX_OPEN_GAPS",
            "0",
            values.whole(0, 10**9),
            "Open no new gap while so many are open; 0: no limit.",
        ),
        Setting("GAP_REPAIR_INTERVAL_MINUTES", "60", _MINUTES, "Timers: minutes between two runs."),
        Setting("GAP_REPAIR_MAX_REPAIRS_PER_RUN", "10", values.whole(1, 10**6), "Requests of one repair at most."),
    ),
    "Updates by REST (rarely needed beside the stream)": (
        Setting("REST_UPDATE_ENABLED", "false", values.truth, "Timers: run `mdata update` too."),
        Setting("UPDATE_INTERVAL_SECONDS", "60", values.whole(5, 86_400), "Timers: seconds between two runs."),
    ),
    "Stream (WebSocket)": (
        Setting("WS_INGESTION_ENABLED", "true", values.truth, "Timers: keep `mdata stream` running."),
        Setting("WS_CATCHUP_LOOKBACK_MINUTES", "180", values.whole(0, 44_640), "How far back a stream catches up."),
        Setting("STREAM_DURATION_MINUTES", "60", _MINUTES, "How long one run of the stream lasts."),
    ),
    "Rate limit (per IP, shared by all processes)": (
        Setting("RATE_LIMIT_DELAY", "6.0", values.decimal(0, 3600), "Seconds per request on average, all together."),
        Setting(
            "RATE_LIMIT_BURST",
            "15",
            values.whole(1, HOME.window.most),
            "Requests at once after a pause; 1: evenly spaced.",
        ),
        Setting("RATE_LIMIT_MAX_RETRIES", "10", values.whole(0, 1000), "Further tries of a request that failed."),
        Setting(
            "RATE_LIMIT_MIN_BACKOFF_SECONDS", "60.0", values.decimal(0, 86_400), "Silence after a refusal, at least."
        ),
        Setting(
            "RATE_LIMIT_STATE_PATH", "", values.path, "One per IP; empty: /var/lib/mdata or ~/.local/state/mdata."
        ),
    ),
    "Retention": (
        Setting("RETENTION_DAYS", "0", _DAYS, "Days that candles are kept; 0: for ever."),
        Setting("RETENTION_DAYS_BY_TIMEFRAME", "", values.days_by_timeframe, "For single timeframes: 1m=365,5m=730."),
        Setting("JOBS_RETENTION_DAYS", "30", values.whole(1, 36_525), "Days that finished jobs and gaps are kept."),
    ),
    "Watching": (
        Setting("STATUS_MAX_LAG_MINUTES", "90", values.whole(1, 525_600), "`status --check` fails beyond this."),
        Setting("PROMETHEUS_TEXTFILE", "", values.optional_path, "A file for node_exporter's textfile collector."),
        Setting(
            "PING_URL", "", values.optional_url, "Called by `status --check`, healthchecks style.", is_secret=True
        ),
        Setting("NOTIFY_COMMAND", "", values.optional_command, "Run when a timed job fails.", is_secret=True),
        Setting("LOG_LEVEL", "INFO", values.level, "DEBUG, INFO, WARNING or ERROR."),
    ),
    "Exchange": ADDRESSES,
    "Rehearsal (against `mdata sandbox`, never in daily use)": (
        Setting(
            "MDATA_REHEARSAL",
            "",
            values.rehearsal,
            "Its clock, as the sandbox prints it; refused unless both addresses above are this machine's.",
        ),
    ),
}

SETTINGS: tuple[Setting, ...] = tuple(one for group in CATEGORIES.values() for one in group)
