"""Settings: where each comes from, what is refused, and how that is said."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings_home import home, read, refusal

from mdata.config import load
from mdata.config.listed import listing
from mdata.config.table import ADDRESSES, SETTINGS, Settings
from mdata.domain.timeframe import TIMEFRAMES
from mdata.errors import ConfigurationError

__all__ = ["home"]

SECRET = "hunter2"


# --- values


def test_without_a_file_everything_has_its_default(home: Path) -> None:
    loaded = load(environ={"HOME": str(home)})
    found = loaded.settings
    assert loaded.env_file is None
    assert set(loaded.origins.values()) == {"default"}
    assert found.symbols == ("tBTCUSD", "tETHUSD")
    assert found.timeframes == (TIMEFRAMES["1m"],)
    assert (found.backfill_days, found.backfill_on_startup) == (365, True)
    assert (found.rate_limit_delay, found.rate_limit_max_retries) == (6.0, 10)
    assert found.rate_limit_min_backoff_seconds == 60.0
    assert found.database_path == home / ".local/share/mdata/mdata.db"
    assert found.rate_limit_state_path.name == "rate-limit.json"
    assert (found.prometheus_textfile, found.ping_url, found.notify_command, found.rehearsal) == (None,) * 4
    assert found.retention_days_by_timeframe == {}


def test_an_env_file_of_the_original_system_works_unchanged(home: Path) -> None:
    loaded = read(
        home,
        """## Backfill
BACKFILL_ON_STARTUP=true
BACKFILL_DAYS=365

## Gap Repair
GAP_REPAIR_INTERVAL_MINUTES=60
GAP_DETECTION_INTERVAL_MINUTES=60
GAP_REPAIR_MAX_REPAIRS_PER_RUN=10
GAP_DETECTION_MAX_OPEN_GAPS=0

## REST Updates (optional)
REST_UPDATE_ENABLED=false
UPDATE_INTERVAL_SECONDS=60

## WebSocket
WS_INGESTION_ENABLED=true
WS_CATCHUP_LOOKBACK_MINUTES=180

## Rate Limiting
RATE_LIMIT_DELAY=6.0
RATE_LIMIT_MAX_RETRIES=10
RATE_LIMIT_MIN_BACKOFF_SECONDS=60.0
""",
    )
    assert loaded.warnings == ()
    assert loaded.settings == load(environ={"HOME": str(home)}).settings


def test_options_win_over_the_environment_and_that_over_the_file(home: Path) -> None:
    (home / ".env").write_text("# here\n\nSYMBOLS=LTCUSD\nTIMEFRAMES=1h\nSETTLE_SECONDS=30\n")
    environ = {"HOME": str(home), "SYMBOLS": "ETHUSD", "TIMEFRAMES": "5m"}
    loaded = load(None, {"SYMBOLS": "btcusd"}, environ)
    assert loaded.settings.symbols == ("tBTCUSD",)
    assert loaded.settings.timeframes == (TIMEFRAMES["5m"],)
    assert loaded.settings.settle_seconds == 30
    origins = {name: loaded.origins[name] for name in ("SYMBOLS", "TIMEFRAMES", "SETTLE_SECONDS", "LOG_LEVEL")}
    assert origins == {
        "SYMBOLS": "option",
        "TIMEFRAMES": "environment",
        "SETTLE_SECONDS": f"{home / '.env'}:5",
        "LOG_LEVEL": "default",
    }


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("SYMBOLS=BTC/USD, tBTCUSD  AVAX:USD,", "symbols", ("tBTCUSD", "tAVAX:USD")),
        ("TIMEFRAMES='1m 1M,1m'", "timeframes", (TIMEFRAMES["1m"], TIMEFRAMES["1M"])),
        ("BACKFILL_DAYS=0", "backfill_days", 0),
        ("BACKFILL_DAYS = 7 # a week", "backfill_days", 7),
        ("export BACKFILL_DAYS=7", "backfill_days", 7),
        ("BACKFILL_ON_STARTUP=Off", "backfill_on_startup", False),
        ("REST_UPDATE_ENABLED=YES", "rest_update_enabled", True),
        ("WS_INGESTION_ENABLED=0", "ws_ingestion_enabled", False),
        ("RATE_LIMIT_DELAY=2.", "rate_limit_delay", 2.0),
        ("RATE_LIMIT_DELAY=0\nBITFINEX_REST_URL=http://[::1]:8080/v2", "rate_limit_delay", 0.0),
        ("RATE_LIMIT_DELAY=.5\nBITFINEX_REST_URL=http://localhost:8080/v2", "rate_limit_delay", 0.5),
        ("RATE_LIMIT_BURST=1", "rate_limit_burst", 1),
        ("RATE_LIMIT_DELAY=3600", "rate_limit_delay", 3600.0),
        ("RETENTION_DAYS_BY_TIMEFRAME=1m=365,5m=730", "retention_days_by_timeframe", {"1m": 365, "5m": 730}),
        ("BITFINEX_REST_URL=http://127.0.0.1:8080/v2/", "BITFINEX_REST_URL", "http://127.0.0.1:8080/v2"),
        ("BITFINEX_REST_URL=http://[::1]:8080/v2", "BITFINEX_REST_URL", "http://[::1]:8080/v2"),
        ("BITFINEX_WS_URL=ws://localhost:8080/ws/2", "BITFINEX_WS_URL", "ws://localhost:8080/ws/2"),
        ("BITFINEX_REST_URL=https://example.org/v2", "BITFINEX_REST_URL", "https://example.org/v2"),
        ("PING_URL=https://example.org/a?b=c", "ping_url", "https://example.org/a?b=c"),
        ("PING_URL=", "ping_url", None),
        ("NOTIFY_COMMAND='mail -s \"$MDATA\" me'", "notify_command", 'mail -s "$MDATA" me'),
        ("PROMETHEUS_TEXTFILE=", "prometheus_textfile", None),
        ("LOG_LEVEL=debug", "log_level", "DEBUG"),
    ],
)
def test_what_a_line_means(home: Path, line: str, field: str, value: object) -> None:
    found = read(home, line + "\n").settings
    assert (found.addresses[field] if field in found.addresses else getattr(found, field)) == value


def test_the_clock_of_a_rehearsal_needs_both_addresses_on_this_machine(home: Path) -> None:
    clock = "MDATA_REHEARSAL=1717243443000,12.5,600\n"
    rest, stream = "BITFINEX_REST_URL=http://127.0.0.1:1/v2\n", "BITFINEX_WS_URL=ws://127.0.0.1:1/ws/2\n"
    assert read(home, clock + rest + stream).settings.rehearsal == (1_717_243_443_000, 12.5, 600.0)
    for content in (clock, clock + rest, clock + stream):
        said = refusal(home, content)
        assert f"{home / 'my.env'}:1: MDATA_REHEARSAL" in said


def test_paths_are_absolute_and_follow_home_and_xdg(home: Path) -> None:
    loaded = read(home, "DATABASE_PATH=~/a/mdata.db\nRATE_LIMIT_STATE_PATH=b/../c.json\n")
    assert loaded.settings.database_path == home / "a/mdata.db"
    assert loaded.settings.rate_limit_state_path == home / "c.json"
    environ = {"HOME": str(home), "XDG_DATA_HOME": "/srv/data"}
    assert load(environ=environ).settings.database_path == Path("/srv/data/mdata/mdata.db")
    environ["XDG_DATA_HOME"] = "relative/is/ignored"
    assert load(environ=environ).settings.database_path == home / ".local/share/mdata/mdata.db"


def test_no_home_in_the_environment(home: Path) -> None:
    # As under systemd's system manager and in some containers.
    own = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert read(home, "", HOME="").settings.database_path == own / ".local/share/mdata/mdata.db"


@pytest.mark.parametrize(
    ("delay", "said"), [("0.5", "60 s ÷ 0.5 s = 120 requests per minute"), ("0", "no limit at all")]
)
def test_a_delay_below_what_the_exchange_documents_is_raised(home: Path, delay: str, said: str) -> None:
    loaded = read(home, f"SYMBOLS=BTCUSD\nRATE_LIMIT_DELAY={delay}\n")
    (warning,) = loaded.warnings
    assert loaded.settings.rate_limit_delay == 2.0
    for part in ("my.env:2", f"RATE_LIMIT_DELAY={delay}", said, "60 s ÷ 30 = 2 s"):
        assert part in warning
    assert read(home, "RATE_LIMIT_DELAY=2\n").warnings == ()
    local = f"RATE_LIMIT_DELAY={delay}\nBITFINEX_REST_URL=http://127.0.0.1:1/v2\n"
    assert read(home, local).warnings == ()


def test_each_setting_is_parsed_to_the_type_that_the_settings_promise() -> None:
    promised = get_type_hints(Settings)
    assert promised.pop("addresses") == Mapping[str, str]
    for one in SETTINGS:
        parsed = get_type_hints(one.parse)["return"]
        assert parsed == (str if one in ADDRESSES else promised[one.name.removeprefix("MDATA_").lower()]), one.name
    assert len(promised) == len(SETTINGS) - len(ADDRESSES)


# --- what is refused

BAD_LINES = [
    ("SYMBOLS", ""), ("SYMBOLS", ","), ("SYMBOLS", "../../x"), ("SYMBOLS", "t/BTC"), ("SYMBOLS", "tBTC%2F"),
    ("SYMBOLS", "BTCUSD;ETHUSD"), ("SYMBOLS", "fUSD"), ("SYMBOLS", "BTCUSD,"+"A" * 10_000), ("SYMBOLS", "BTCÜSD"),
    ("SYMBOLS", "AVAXUSD"), ("TIMEFRAMES", ""), ("TIMEFRAMES", "4h"),
    ("TIMEFRAMES", "1m,7D"), ("TIMEFRAMES", "14D"), ("TIMEFRAMES", "1d"), ("TIMEFRAMES", "1H"),
    ("TIMEFRAMES", "60"), ("TIMEFRAMES", "1m;5m"), ("BACKFILL_DAYS", ""), ("BACKFILL_DAYS", "six"),
    ("BACKFILL_DAYS", "-1"), ("BACKFILL_DAYS", "+1"), ("BACKFILL_DAYS", "1e9"), ("BACKFILL_DAYS", "1.0"),
    ("BACKFILL_DAYS", "36526"), ("BACKFILL_DAYS", "9" * 5000), ("BACKFILL_DAYS", "1_000"),
    ("BACKFILL_DAYS", "٣"), ("BACKFILL_DAYS", "365 days"), ("BACKFILL_DAYS", "0x10"),
    ("BACKFILL_ON_STARTUP", ""), ("BACKFILL_ON_STARTUP", "maybe"), ("BACKFILL_ON_STARTUP", "2"),
    ("BACKFILL_INTERVAL_MINUTES", "0"), ("GAP_DETECTION_INTERVAL_MINUTES", "-60"),
    ("GAP_DETECTION_MAX_OPEN_GAPS", "none"), ("GAP_REPAIR_INTERVAL_MINUTES", "1h"),
    ("GAP_REPAIR_MAX_REPAIRS_PER_RUN", "0"), ("REST_UPDATE_ENABLED", "enabled"), ("UPDATE_INTERVAL_SECONDS", "0"),
    ("WS_INGESTION_ENABLED", "tru"), ("WS_CATCHUP_LOOKBACK_MINUTES", "-1"), ("STREAM_DURATION_MINUTES", "0"),
    ("RATE_LIMIT_BURST", "0"), ("RATE_LIMIT_BURST", "28"), ("RATE_LIMIT_BURST", "1.5"),
    ("RATE_LIMIT_DELAY", ""), ("RATE_LIMIT_DELAY", "-0.1"), ("RATE_LIMIT_DELAY", "nan"),
    ("RATE_LIMIT_DELAY", "inf"), ("RATE_LIMIT_DELAY", "6,0"), ("RATE_LIMIT_DELAY", "1e9"),
    ("RATE_LIMIT_DELAY", "1_0"), ("RATE_LIMIT_DELAY", "."), ("RATE_LIMIT_MAX_RETRIES", "1.5"),
    ("RATE_LIMIT_MIN_BACKOFF_SECONDS", "-1"), ("RATE_LIMIT_STATE_PATH", "~nobody-of-this-name/x"),
    ("PROMETHEUS_TEXTFILE", "/run/${HOME}/mdata.prom"), ("RATE_LIMIT_STATE_PATH", "$STATE/rate.json"),
    ("DATABASE_PATH", "postgres://host/mdata"),
    ("DATABASE_PATH", '"/a\\tb"'), ("RETENTION_DAYS", "-3"), ("RETENTION_DAYS_BY_TIMEFRAME", "1m"),
    ("RETENTION_DAYS_BY_TIMEFRAME", "1m="), ("RETENTION_DAYS_BY_TIMEFRAME", "2m=4"),
    ("RETENTION_DAYS_BY_TIMEFRAME", "1m=4,1m=5"), ("RETENTION_DAYS_BY_TIMEFRAME", "365"),
    ("JOBS_RETENTION_DAYS", "0"), ("SETTLE_SECONDS", "-5"), ("STATUS_MAX_LAG_MINUTES", "0"),
    ("BITFINEX_REST_URL", ""), ("BITFINEX_REST_URL", "nowhere"), ("BITFINEX_REST_URL", "http://example.org/v2"),
    ("BITFINEX_REST_URL", "http://127.0.0.1.example.org/v2"), ("BITFINEX_REST_URL", "http://128.0.0.1/v2"),
    ("BITFINEX_REST_URL", "https://user:pw@example.org/v2"), ("BITFINEX_REST_URL", "http://127.0.0.1@example.org"),
    ("BITFINEX_REST_URL", "http://127.0.0.1\\@example.org"), ("BITFINEX_REST_URL", "file:///etc/passwd"),
    ("BITFINEX_REST_URL", "https://"), ("BITFINEX_REST_URL", "https:///v2"), ("BITFINEX_REST_URL", "https://[::1"),
    ("BITFINEX_REST_URL", "https://example.org:0/"), ("BITFINEX_REST_URL", "https://example.org:99999/"),
    ("BITFINEX_REST_URL", "https://example.org:x/"), ("BITFINEX_REST_URL", "https://example.org/v2#a"),
    ("BITFINEX_REST_URL", "https://example.org/v2?a=b"), ("BITFINEX_REST_URL", "wss://example.org/v2"),
    ("BITFINEX_REST_URL", "https://exa mple.org"), ("BITFINEX_WS_URL", "ws://example.org/ws/2"),
    ("BITFINEX_WS_URL", "ws://[2001:db8::1]/ws/2"), ("BITFINEX_WS_URL", "https://example.org/ws/2"),
    ("LOG_LEVEL", "LOUD"), ("LOG_LEVEL", ""), ("MDATA_REHEARSAL", "1,2"), ("MDATA_REHEARSAL", "1,2,nan"),
    ("MDATA_REHEARSAL", "0,0,1"), ("MDATA_REHEARSAL", "1,inf,1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_LINES, ids=[f"{name}={value:.20}" for name, value in BAD_LINES])
def test_a_bad_value_is_refused_by_name_and_place(home: Path, name: str, value: str) -> None:
    said = refusal(home, f"# mine\n\n\n{name}={value}\n")
    assert f"{home / 'my.env'}:4: {name} is invalid" in said
    assert len(said) < 500


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('SYMBOLS="BTCUSD\nTIMEFRAMES=1m\n', 1),
        ("# one\n\nSYMBOLS='BTCUSD\nTIMEFRAMES=1m\n", 3),
        ('LOG_LEVEL=INFO\nSYMBOLS="BTCUSD\nTIMEFRAMES=1m"\n', 2),
        ("SYMBOLS=BTCUSD\nSYMBOLS=BTCUSD\n", 2),
        ('SYMBOLS="BTC\\nUSD"\n', 1),
        ("SYMBOLS\n", 1),
        ("SYMBOLS: BTCUSD\n", 1),
        ("SYMBOLS BTCUSD\n", 1),
        ('SYMBOLS="BTCUSD" and more\n', 1),
        ("\r\n\r\nSYMBOLS\r\n", 3),
    ],
)
def test_a_line_without_a_meaning_is_refused_by_name_and_place(home: Path, content: str, line: int) -> None:
    said = refusal(home, content)
    assert f"{home / 'my.env'}:{line}: " in said
    assert "SYMBOLS" in said


@pytest.mark.parametrize(
    ("content", "line"), [(b"=5\n", 1), (b"LOG_LEVEL=INFO\n# caf\xe9\n", 2), (b"\xff\xfeS\0", 1), (b"\n''=\n", 2)]
)
def test_a_file_that_is_no_env_file_is_refused_by_line(home: Path, content: bytes, line: int) -> None:
    assert f"{home / 'my.env'}:{line}: " in refusal(home, content)


@pytest.mark.parametrize(
    "line",
    [
        f"PING_URL=ftp://example.org/{SECRET}",
        f"PING_URL=https://me:{SECRET}@example.org/",
        f"PING_URL=https://example.org:{SECRET}/",
        f"PING_URL=https://[{SECRET}",
        f"PING_URL=http://example.org/{SECRET}",
        f"PING_URL={SECRET}",
        f'PING_URL="https://example.org/{SECRET}',
        f'PING_URL="https://example.org/{SECRET}\nA="',
        f"PING_URL https://example.org/{SECRET}",
        f"PING_URL=https://example.org/{SECRET}\nPING_URL=https://example.org/{SECRET}",
        f'NOTIFY_COMMAND="mail {SECRET}\\a"',
        f"NOTIFY_COMMAND='mail {SECRET}",
        f"NOTIFY_COMMAND: mail {SECRET}",
    ],
)
def test_a_refusal_never_repeats_a_secret(home: Path, line: str) -> None:
    said = refusal(home, line + "\n")
    assert line.partition("=")[0].split()[0].rstrip(":") in said
    assert SECRET not in said


def test_every_fault_is_told_at_once(home: Path) -> None:
    said = refusal(home, "BACKFILL_DAYS=six\nnonsense line\nTIMEFRAMES=4h\n")
    for place in (":1: BACKFILL_DAYS", ":2: ", ":3: TIMEFRAMES"):
        assert f"{home / 'my.env'}{place}" in said


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("TIMEFRAMES=4h", "Bitfinex has no 4h candles: use 1h, 3h or 6h"),
        ("TIMEFRAMES=4H", "Bitfinex has no 4h candles: use 1h, 3h or 6h"),
        ("TIMEFRAMES=7D", "use 1W"),
        ("TIMEFRAMES=1d", "did you mean 1D?"),
        ("TIMEFRAMES=1H", "did you mean 1h?"),
        ("TIMEFRAMES=15M", "did you mean 15m?"),
        ("SYMBOLS=AVAXUSD", "did you mean AVAX/USD?"),
        ("BACKFILL_DAYS=", "remove the line to use the default"),
        ("BITFINEX_REST_URL=http://example.org/v2", "use https://"),
    ],
)
def test_a_refusal_says_what_to_do(home: Path, line: str, advice: str) -> None:
    assert advice in refusal(home, line)


def test_bad_options_and_environment_are_named_as_such(home: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"on the command line: '../x' is not.*environment: BACKFILL_DAYS is invalid"
    ):
        load(None, {"SYMBOLS": "../x"}, {"HOME": str(home), "BACKFILL_DAYS": "six"})


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=60)


@given(name=st.sampled_from([setting.name for setting in SETTINGS]), text=TEXT)
def test_no_text_breaks_a_setting(name: str, text: str) -> None:
    try:
        loaded = load(Path("/dev/null"), environ={"HOME": "/home/me", name: text})
    except ConfigurationError as error:
        told = str(error)
    else:
        told = {row.origin: row.name for row in listing(loaded)}["environment"]
    assert name in told


LINES = st.lists(st.one_of(st.sampled_from(SETTINGS).map(lambda one: one.name), st.sampled_from("=\"'#\n \\$é\r1m")))


@given(content=st.one_of(st.binary(max_size=80), LINES.map(lambda parts: "".join(parts).encode())))
def test_no_content_breaks_the_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    env_file = tmp_path_factory.getbasetemp() / "random.env"
    env_file.write_bytes(content)
    try:
        loaded = load(env_file, environ={"HOME": "/home/me"})
    except ConfigurationError as error:
        told = str(error)
    else:
        told = str(loaded.env_file)
    assert str(env_file) in told
