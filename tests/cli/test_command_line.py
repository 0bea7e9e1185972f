"""The manners of the command line: exit codes, the JSON envelope, settings, and what a bad one gets."""

import socket
import subprocess
from pathlib import Path

import pytest
from conftest import MDATA, Folder

from mdata.config import env_file_text
from mdata.sandbox.faults import Fault
from mdata.store.sqlite import sqlite3


def test_from_nothing_to_a_complete_store(folder: Folder) -> None:
    ended = folder.run("backfill", "--json")
    assert ended.exit == 0, ended.err
    status = folder.run("status", "--json")
    (series,) = status.json["series"]
    assert (series["unknown"], series["complete"]) == (0, True)
    assert series["first"].endswith("Z")
    assert folder.run("status", "--check").exit == 0


def test_check_fails_on_no_data_and_on_stale_data(folder: Folder) -> None:
    ended = folder.run("status", "--check", "--json")
    assert (ended.exit, ended.json["outcome"]) == (3, "partial")
    assert "no data" in ended.json["reason"]
    folder.run("backfill", BACKFILL_DAYS="1")
    assert folder.run("status", "--check").exit == 0
    folder.run("backfill", SYMBOLS="SPAUSD", BACKFILL_DAYS="1")
    assert folder.run("status", "--check", SYMBOLS="BTCUSD,SPAUSD,NEWUSD").exit == 3


def test_check_of_a_pair_that_the_exchange_does_not_know_says_to_correct_symbols(folder: Folder) -> None:
    assert folder.run("backfill", SYMBOLS="BTCUSX").exit == 78
    ended = folder.run("status", "--check", "--json", SYMBOLS="BTCUSX")
    assert ended.exit == 3
    assert "tBTCUSX 1m has no data" in ended.json["reason"]
    assert "correct SYMBOLS" in ended.json["reason"]
    assert "correct SYMBOLS" in " ".join(folder.run("status", SYMBOLS="BTCUSX").err.split())
    assert "`mdata backfill`" not in ended.json["reason"]


def test_dry_run_asks_and_writes_nothing(folder: Folder) -> None:
    ended = folder.run("backfill", "--dry-run", "--json", RATE_LIMIT_DELAY="6")
    assert ended.exit == 0
    (series,) = ended.json["series"]
    assert series["requests"] == 6
    assert series["seconds"] == 30, "the first one may leave at once"
    assert series["intervals"] >= 43_200
    assert folder.sandbox.requests == []
    assert not folder.database.exists()


BAD_SETTINGS = [
    ("SYMBOLS", "../../x"), ("SYMBOLS", ""), ("SYMBOLS", "fUSD"), ("TIMEFRAMES", "4h"), ("TIMEFRAMES", "7D"),
    ("TIMEFRAMES", "1d"), ("TIMEFRAMES", ""), ("BACKFILL_DAYS", "six"), ("BACKFILL_DAYS", "-1"),
    ("BACKFILL_DAYS", "1e9"), ("BACKFILL_DAYS", "999999"), ("BACKFILL_DAYS", ""), ("BACKFILL_ON_STARTUP", "maybe"),
    ("RATE_LIMIT_DELAY", "-1"), ("RATE_LIMIT_DELAY", "nan"), ("RATE_LIMIT_DELAY", "inf"),
    ("RATE_LIMIT_DELAY", "fast"), ("RATE_LIMIT_MAX_RETRIES", "1.5"), ("SETTLE_SECONDS", "-5"),
    ("UPDATE_INTERVAL_SECONDS", "0"), ("RETENTION_DAYS", "-3"), ("RETENTION_DAYS_BY_TIMEFRAME", "1m"),
    ("RETENTION_DAYS_BY_TIMEFRAME", "2m=4"), ("BITFINEX_REST_URL", "http://example.org/v2"),
    ("BITFINEX_REST_URL", "https://user:pw@example.org"), ("BITFINEX_REST_URL", "file:///etc/passwd"),
    ("BITFINEX_REST_URL", "nowhere"), ("BITFINEX_WS_URL", "ws://example.org/ws/2"), ("LOG_LEVEL", "LOUD"),
    ("MDATA_REHEARSAL", "1,2"), ("GAP_REPAIR_MAX_REPAIRS_PER_RUN", "0"), ("STATUS_MAX_LAG_MINUTES", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS)
def test_a_bad_setting_is_named_and_nothing_is_done(folder: Folder, name: str, value: str) -> None:
    env_file = folder.path / "my.env"
    env_file.write_text(f"# settings\n{name}={value}\n")
    folder.settings.pop(name, None)
    ended = folder.run("backfill", "--json", "--env-file", str(env_file))
    assert (ended.exit, ended.json["outcome"]) == (78, "failed")
    for said in (ended.err, ended.json["reason"]):
        assert f"{env_file}:2" in said
        assert name in said
    assert "Traceback" not in ended.err
    assert folder.sandbox.requests == []
    assert not folder.database.exists()


BAD_FILES = [
    (b'SYMBOLS="BTCUSD\nBACKFILL_DAYS=3\n', 1), (b"SYMBOLS=BTCUSD\nnonsense line\n", 2),
    (b"SYMBOLS=BTCUSD\nSYMBOLS=ETHUSD\n", 2), (b"SYMBOLS=BTCUSD\n# caf\xe9\n", 2), (b"SYMBOLS\n", 1),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line"), BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused_with_its_line(folder: Folder, content: bytes, line: int) -> None:
    env_file = folder.path / ".env"
    env_file.write_bytes(content)
    ended = folder.run("backfill")
    assert ended.exit == 78
    assert f"{env_file}:{line}" in ended.err
    assert not folder.database.exists()


def test_an_unknown_name_is_warned_about_once_with_a_suggestion(folder: Folder) -> None:
    (folder.path / ".env").write_text("BACKFIL_DAYS=3\n")
    ended = folder.run("config")
    assert ended.exit == 0
    assert ended.err.count("BACKFIL_DAYS") == 1
    assert "did you mean BACKFILL_DAYS?" in ended.err


def test_config_tells_value_and_origin_and_keeps_secrets(folder: Folder) -> None:
    (folder.path / ".env").write_text("\ufeffSETTLE_SECONDS=30\nPING_URL=https://example.org/secret\n")
    ended = folder.run("config", "--json", "-s", "ETHUSD")
    rows = {row["name"]: (row["value"], row["origin"]) for row in ended.json["settings"]}
    assert rows["SYMBOLS"] == ("tETHUSD", "option")
    assert rows["BACKFILL_DAYS"] == ("30", "environment")
    assert rows["SETTLE_SECONDS"] == ("30", f"{folder.path / '.env'}:1")
    assert rows["LOG_LEVEL"] == ("INFO", "default")
    assert "example.org" not in ended.out + ended.err


def test_init_writes_the_template_once(folder: Folder) -> None:
    ended = folder.run("init")
    path = folder.path / ".config" / "mdata" / "mdata.env"
    assert ended.exit == 0
    assert path.read_text() == env_file_text()
    assert path.stat().st_mode & 0o777 == 0o600
    again = folder.run("init", "--json")
    assert (again.exit, again.json["outcome"]) == (78, "failed")
    assert folder.run("config").exit == 0
    assert folder.run("init", "--here").exit == 0
    assert (folder.path / ".env").exists()


def test_an_unreachable_exchange(folder: Folder) -> None:
    with socket.socket() as taken:  # bound but not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v2"
        ended = folder.run("backfill", "--json", BITFINEX_REST_URL=url, RATE_LIMIT_MAX_RETRIES="2")
    assert (ended.exit, ended.json["outcome"], ended.json["retryable"]) == (69, "failed", True)
    assert "cannot be reached" in ended.json["reason"]
    assert ended.err.count("; retrying") == 2
    assert ended.json["requests"] == 3


def test_a_rate_limit_that_lasts_longer_than_the_run(folder: Folder) -> None:
    folder.sandbox.faults = [Fault("rate-limit-object")]
    ended = folder.run("backfill", "--json", "--max-runtime", "10s")
    assert (ended.exit, ended.json["outcome"]) == (75, "skipped")
    assert "blocks all requests until" in ended.json["reason"]
    folder.sandbox.faults = []
    later = folder.run("backfill", "--json", "--max-runtime", "5s")
    assert (later.exit, later.json["requests"]) == (75, 0)
    assert folder.run("status", "--json").json["rate_limit"]["blocked_until"] is not None


def test_storage_that_cannot_be_used(folder: Folder) -> None:
    html = folder.path / "page.db"
    html.write_text("<html>no database at all</html>")
    assert folder.run("backfill", DATABASE_PATH=str(html)).exit == 74
    assert html.read_text().startswith("<html>")
    other = folder.path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = other.read_bytes()
    for command in ("backfill", "status"):
        ended = folder.run(command, DATABASE_PATH=str(other))
        assert ended.exit == 78
        assert "another program" in ended.err
    assert other.read_bytes() == before
    folder.run("backfill", BACKFILL_DAYS="1")
    connection = sqlite3.connect(folder.database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for command in ("backfill", "status"):
        ended = folder.run(command)
        assert ended.exit == 78
        assert "newer" in ended.err
    assert folder.run("status", DATABASE_PATH=str(folder.path)).exit == 78


def test_usage_errors(folder: Folder) -> None:
    assert folder.run("backfil").exit == 2
    assert folder.run("backfill", "--max-runtime", "soon").exit == 2
    assert folder.run("backfill", "--since", "whenever").exit == 2
    assert folder.run("status", "--max-lag", "ten").exit == 2
    for command in ("gaps", "jobs"):
        ended = folder.run(command, "--limit", "99999999999999999999")
        assert (ended.exit, "Traceback" in ended.err) == (2, False)
    ended = folder.run("sandbox", "--fault", "html")
    assert (ended.exit, "'html' is not a JSON object" in ended.err) == (2, True)
    ended = folder.run("--version")
    assert ended.exit == 0
    assert "SQLite" in ended.out


def test_a_reader_that_leaves_is_no_error(folder: Folder) -> None:
    process = folder.start("config")
    assert process.stdout is not None
    process.stdout.close()
    err = process.stderr.read() if process.stderr else ""
    process.wait()
    if process.stderr:
        process.stderr.close()
    assert process.returncode == 141
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [["config"], ["status", "--json"], ["status", "--check"], ["backfill", "--json"]], ids=" ".join
)
def test_an_answer_that_cannot_be_written_is_told(folder: Folder, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [MDATA, *arguments], env=folder.environ(BACKFILL_DAYS="1"), cwd=folder.path, stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert finished.returncode == 74
    assert finished.stderr.endswith(
        "mdata: could not write the output: No space left on device; the work itself is done and saved\n"
    )
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("status --check >&-", 74),
        ("export >&-", 74),
        ("backfill >&- 2>&- <&-", 0),
        ("config 2>&-", 0),
        ("-h >&-", 74),
        ("--version >/dev/full", 74),
    ],
)
def test_a_stream_that_is_closed_or_full_gets_no_traceback(folder: Folder, command: str, code: int) -> None:
    ended = subprocess.run(
        ["bash", "-c", f"{MDATA} {command}"], env=folder.environ(BACKFILL_DAYS="1"), cwd=folder.path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert folder.run("status", BACKFILL_DAYS="1").exit == 0


def test_a_proxy_in_the_environment_is_not_used(folder: Folder) -> None:
    proxy = "http://127.0.0.1:9"
    settings = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), proxy)
    assert folder.run("backfill", BACKFILL_DAYS="1", **settings).exit == 0
