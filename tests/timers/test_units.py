"""The texts of units: what ships, what follows from settings, and what systemd itself says about them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mdata.cli.main import COMMANDS
from mdata.config import load
from mdata.domain.cadence import on_calendar
from mdata.errors import ConfigurationError
from mdata.timers.timetable import SCHEDULED, Scheduled, timetable
from mdata.timers.unit_files import SIGNATURE, Installation, arguments, shipped, texts

ROOT = Path(__file__).parents[2]
needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="there is no systemd-analyze on this machine"
)
ENV_FILE = Path("/etc/mdata/mdata.env")
DATABASE = Path("/var/lib/mdata/mdata.db")
SYSTEM = Installation("system", Path("/bin/true"), ENV_FILE, DATABASE)
USER = Installation("user", Path("/bin/true"), None, DATABASE)


def table(**settings: str) -> list[Scheduled]:
    return timetable(load(overrides=settings, environ={"HOME": "/h", "MDATA_ENV_FILE": "/dev/null"}).settings)


def value(text: str, key: str) -> list[str]:
    """Return the values of a key as systemd collects them: an empty one forgets those before, any time all times."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith(f"{key}="):
            found = [*found, line.removeprefix(f"{key}=")] if line != f"{key}=" else []
        elif line == "OnCalendar=" and key.startswith("On"):
            found = []
    return found


def test_one_name_for_subcommand_module_and_units() -> None:
    services = {f"mdata-{job}.service" for job in SCHEDULED} | {"mdata-notify@.service", "mdata-serve.service"}
    assert set(shipped()) == services | {f"mdata-{job}.timer" for job in SCHEDULED}
    # The one unit that is not named after its subcommand: `verify` itself has none.
    commands = {job: "verify" if job == "recheck" else job for job in SCHEDULED}
    assert set(commands.values()) <= set(COMMANDS)
    for job, command in commands.items():
        assert (ROOT / "mdata" / "jobs" / f"{command.replace('-', '_')}.py").exists()
        assert arguments(next(one for one in table() if one.job == job)).split()[0] == command


def test_what_ships_is_what_the_defaults_say() -> None:
    """The drop-ins of an untouched env file change nothing."""
    written, plain = texts(USER, table()), shipped()
    for one in table():
        timer, dropin = plain[f"mdata-{one.job}.timer"], written[f"mdata-{one.job}.timer.d/50-mdata.conf"]
        for key in ("OnCalendar", "OnStartupSec", "RandomizedDelaySec"):
            shown = value(timer, key)[-1:] or (["0"] if key == "RandomizedDelaySec" else [])
            assert value(timer + dropin, key)[-1:] == shown
        service = plain[f"mdata-{one.job}.service"].replace("@BINDIR@/mdata", "/bin/true")
        dropin = written.get(f"mdata-{one.job}.service.d/50-mdata.conf", "")
        assert value(service + dropin, "ExecStart") == value(service, "ExecStart")
        assert value(service + dropin, "TimeoutStartSec")[-1:] == value(service, "TimeoutStartSec")


def test_every_job_ends_itself_before_systemd_has_to() -> None:
    for one in table():
        if one.job in {"stream", "status"}:  # one lasts STREAM_DURATION_MINUTES, the other only looks
            continue
        (start,) = value(shipped()[f"mdata-{one.job}.service"], "ExecStart")
        (most,) = value(shipped()[f"mdata-{one.job}.service"], "TimeoutStartSec")
        assert f" --max-runtime {one.run_seconds}s" in start
        assert int(most) > (one.run_seconds or 0)


def test_settings_reach_the_units() -> None:
    written = texts(SYSTEM, table(BACKFILL_INTERVAL_MINUTES="90", BACKFILL_ON_STARTUP="false"))
    timer = written["mdata-backfill.timer"] + written["mdata-backfill.timer.d/50-mdata.conf"]
    assert value(timer, "OnCalendar") == ["*-*-* 00/3:04:00 UTC", "*-*-* 01/3:34:00 UTC"]
    assert value(timer, "OnStartupSec") == []
    service = written["mdata-backfill.service.d/50-mdata.conf"]
    assert value(service, "ExecStart") == ["/bin/true backfill --max-runtime 4860s"]
    assert value(service, "TimeoutStartSec") == ["4980"]
    assert "Environment=MDATA_ENV_FILE=/etc/mdata/mdata.env\n" in written["mdata-.service.d/20-environment.conf"]
    assert all(text.startswith(SIGNATURE) for text in written.values())


def test_only_the_env_file_is_set() -> None:
    for place in (SYSTEM, USER):
        text = "\n".join(texts(place, table()).values())
        assert re.findall(r"^Environment=(\w+)", text, re.MULTILINE) == (["MDATA_ENV_FILE"] if place.env_file else [])
        assert "EnvironmentFile" not in text


def test_what_the_issue_of_a_run_means_to_systemd() -> None:
    for name, text in texts(USER, table()).items():
        if not name.endswith(".service") or name in {"mdata-notify@.service", "mdata-serve.service"}:
            continue
        assert value(text, "SuccessExitStatus") == [
            "3 69 75 129 130 143" if name != "mdata-status.service" else "69 75 129 130 143"
        ]
        assert value(text, "OnFailure") == ["mdata-notify@%N.service"]
        assert value(text, "Restart") == []
        kind = "notify" if name == "mdata-stream.service" else "oneshot"
        assert value(text, "Type") == [kind]
        assert "[Install]" not in text.splitlines()


def test_the_service_has_no_end_of_its_own_that_is_no_failure() -> None:
    assert value(texts(USER, table())["mdata-serve.service"], "SuccessExitStatus") == ["129 130 143"]


def test_missed_runs() -> None:
    persistent = {name for name, text in shipped().items() if value(text, "Persistent") == ["yes"]}
    assert persistent == {
        f"mdata-{job}.timer" for job in ("backfill", "detect-gaps", "repair", "cleanup", "recheck", "publish")
    }
    for name, text in shipped().items():
        if name.endswith(".timer"):
            assert value(text, "AccuracySec") == ["1s"]
            assert "DeferReactivation=" not in value(text, "DeferReactivation")
    deferring = Installation("user", Path("/bin/true"), None, DATABASE, knows_deferring=True)
    found = {name for name, text in texts(deferring, table()).items() if value(text, "DeferReactivation")}
    assert found == {f"mdata-{job}.timer.d/50-mdata.conf" for job in SCHEDULED if job != "stream"}


def test_paths_are_written_as_systemd_reads_them() -> None:
    place = Installation("user", Path("/a b/100%/mdata"), Path("/c d/%h.env"), DATABASE)
    written = texts(place, table())
    assert value(written["mdata-status.service"], "ExecStart") == ['"/a b/100%%/mdata" status --check']
    assert 'Environment="MDATA_ENV_FILE=/c d/%%h.env"' in written["mdata-.service.d/20-environment.conf"]
    for bad in ('/a"b/mdata', "/a$b/mdata", "/a\nb/mdata", "/a\\b/mdata"):
        with pytest.raises(ConfigurationError):
            texts(Installation("user", Path(bad), None, DATABASE), table())


def written_to(folder: Path, place: Installation, jobs: list[Scheduled]) -> list[str]:
    for name, text in texts(place, jobs).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return sorted(str(path).replace("@.", "@mdata-backfill.") for path in folder.iterdir() if path.is_file())


@needs_analyze
@pytest.mark.parametrize("place", [SYSTEM, USER], ids=["system", "user"])
@pytest.mark.parametrize("settings", [
    {},
    {"BACKFILL_INTERVAL_MINUTES": "96", "REST_UPDATE_ENABLED": "true", "UPDATE_INTERVAL_SECONDS": "5",
     "RATE_LIMIT_DELAY": "1", "RETENTION_DAYS": "3", "WS_INGESTION_ENABLED": "false"},
])  # fmt: skip
def test_verify_prints_nothing(tmp_path: Path, place: Installation, settings: dict[str, str]) -> None:
    units = written_to(tmp_path, place, table(**settings))
    (tmp_path / "run").mkdir(mode=0o700)
    finished = subprocess.run(
        ["systemd-analyze", "verify", *(["--user"] if place.manager == "user" else []), *units],
        env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path / "run"), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in (finished.stdout + finished.stderr).splitlines() if "mdata" in line]
    assert (ours, finished.returncode) == ([], 0), finished.stderr


@needs_analyze
@pytest.mark.parametrize("job", [*SCHEDULED, "serve"])
def test_exposure(tmp_path: Path, job: str) -> None:
    online = Installation("system", Path("/bin/true"), ENV_FILE, DATABASE, status_is_offline=False)
    written_to(tmp_path, online, table())
    limit = 10 if job in {"detect-gaps", "cleanup"} else 15
    finished = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={limit}", tmp_path / f"mdata-{job}.service"],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "SYSTEMD_PAGER": ""},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "Overall exposure level" in finished.stdout


@needs_analyze
def test_a_check_without_ping_needs_no_network(tmp_path: Path) -> None:
    written_to(tmp_path, SYSTEM, table())
    finished = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=10", tmp_path / "mdata-status.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout


@needs_analyze
def test_the_calendar_is_accepted() -> None:
    for minutes in (1, 7 * 1440, 16, 90, 288):
        for one in table(GAP_REPAIR_INTERVAL_MINUTES=str(minutes)):
            for times in one.times:
                subprocess.run(["systemd-analyze", "calendar", on_calendar(times)], capture_output=True, check=True)


def test_every_directive_of_the_hardening_has_its_reason() -> None:
    for name in ("system.conf", "offline.conf", "loopback.conf", "publish.conf"):
        lines = (ROOT / "systemd" / "hardening" / name).read_text().splitlines()
        body = lines[lines.index("[Service]") + 1 :]
        explained = False
        for line in body:
            if not line:
                explained = False
            elif line.startswith("#"):
                explained = not line.startswith("# ---")
            else:
                assert explained, f"{name}: {line} stands without a reason"
