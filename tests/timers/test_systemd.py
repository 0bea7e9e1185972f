"""Real systemd, real units, the real command line, and a sandbox exchange: what happens by itself."""

import json
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import stored, truth
from systemd_host import MDATA_UID, Host, booted

from mdata.flock.lock import FileLock
from mdata.sandbox.server import Sandbox

SLOW = {"RATE_LIMIT_DELAY": "1", "RATE_LIMIT_BURST": "1", "BACKFILL_DAYS": "30"}  # five pages, a second apart


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with booted(tmp_path) as running:
        yield running


def install(host: Host) -> str:
    ended = host.mdata("timers", "install", "--system")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def assert_store_is_true(host: Host, sandbox: Sandbox) -> None:
    """Whatever happened: what is stored is exactly what the exchange has, without a hole."""
    held = stored(host.database, "tBTCUSD", "1m")
    expected = truth(sandbox, "tBTCUSD", "1m", held[0][0], sandbox.clock.now())
    assert held == expected[: len(held)]
    assert len(expected) - len(held) <= 3
    assert host.rows("PRAGMA integrity_check") == [("ok",)]


def alarms(host: Host) -> list[str]:
    """Return what the notifier told the journal, with priority 3."""
    lines = [one["MESSAGE"] for one in host.journal("--priority=3..3", "--unit=mdata-notify@*")]
    return [line for line in lines if " failed: " in line]


def next_of(host: Host, job: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return what `timers show` says, and its part about a job, unless that runs right now and has no next run."""
    shown = json.loads(host.mdata("timers", "show", "--json").stdout)
    (found,) = (one for one in shown["timers"] if one["job"] == job)
    return (shown, found) if found["next_at"] and found["last_job"]["outcome"] != "running" else None


def test_timers_fire_and_jobs_write_the_store_as_mdata(host: Host, live: Sandbox) -> None:
    host.configure(live)
    listing = install(host)
    assert re.findall(r"mdata-[a-z-]+(?=\.timer +mdata-)", listing) == [
        one["unit"].removesuffix(".timer")
        for one in json.loads(host.systemctl("list-timers", "--all", "--output=json", "mdata-*"))
    ]
    assert set(re.findall(r"enabled mdata-([a-z-]+)", listing)) == {
        "backfill",
        "detect-gaps",
        "repair",
        "recheck",
        "status",
    }
    # BACKFILL_ON_STARTUP: once at the installation.
    host.until(lambda: [job[0] for job in host.jobs("backfill")] == ["ok"])
    for job in ("backfill", "detect-gaps", "repair", "status"):
        host.every(job, "*:*:0/2 UTC")
    for job in ("backfill", "detect-gaps", "repair"):
        host.until(partial(lambda job: len(host.jobs(job)) >= 3, job))
        assert {outcome for outcome, *_ in host.jobs(job)} <= {"ok", "running"}
    assert_store_is_true(host, live)
    made = [path for path in host.state.iterdir() if path.is_file() and not path.name.endswith(".timers.json")]
    assert {(path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) for path in made} == {
        (MDATA_UID, MDATA_UID, 0o660)
    }
    shown, repair = host.until(lambda: next_of(host, "repair"))
    by_job = {one["job"]: one for one in shown["timers"]}
    assert (shown["manager"], shown["answers"], repair["last_job"]["outcome"]) == ("system", True, "ok")
    assert repair["next_at"] > repair["last_at"] > repair["last_job"]["started_at"][:10]
    log = host.run("sh", "-c", repair["journal"] + " --no-pager").stdout
    assert "repair outcome=ok" in log
    assert by_job["update"]["enabled"] is False
    assert "repair outcome=ok" in host.mdata("logs", "repair").stdout
    status = host.until(lambda: json.loads(host.mdata("status", "--json").stdout)["jobs"]["repair"]["next_run_at"])
    assert status > repair["last_at"]
    assert host.systemctl("--failed", "--plain", "--no-legend", "mdata-*") == ""
    assert alarms(host) == []


def test_the_publish_timer_fills_a_lake(host: Host, live: Sandbox) -> None:
    host.configure(live, TIMEFRAMES="1h", BACKFILL_DAYS="100", LAKE_URL="/var/lib/mdata/lake")
    assert "enabled mdata-publish" in install(host)
    # It must not be killed for a large lake's log.
    assert host.show("mdata-publish.service", "Nice", "MemoryMax") == {"Nice": "19", "MemoryMax": str(2**30)}
    host.until(lambda: [job[0] for job in host.jobs("backfill")] == ["ok"])
    host.every("publish", "*:*:0/2 UTC")
    host.until(lambda: [job[:2] for job in host.jobs("publish")][:3] == [("ok", 0)] * 3)
    host.systemctl("stop", "mdata-publish.timer")
    host.until(lambda: all(job[0] != "running" for job in host.jobs("publish")))
    looked, checked = host.mdata("lake", "status", "--json"), host.mdata("lake", "check", "--json")
    assert (looked.returncode, checked.returncode) == (0, 0), looked.stderr + checked.stderr
    (found,) = json.loads(looked.stdout)["lake"]
    held = Counter(
        time.strftime("%Y-%m", time.gmtime(row[0] / 1000)) for row in stored(host.database, "tBTCUSD", "1h")
    )
    published = sorted(held)[: found["months"]]
    assert (found["first"], found["last"]) == (published[0], published[-1])
    assert (found["partial"], found["complete"], found["missing"]) == (1, len(published) - 1, 0)
    assert found["candles"] == sum(held[month] for month in published)
    assert len(held) - len(published) in {1, 2}, "all but this month, and the last one until a week after its end"
    assert (host.state / "lake").stat().st_uid == MDATA_UID


def test_the_hardening_is_in_force(host: Host, live: Sandbox) -> None:
    host.configure(live)
    install(host)
    tries = (
        "id -un; ls /home /root /tmp; touch /usr/probe; touch /etc/probe; touch /var/lib/mdata/probe && echo wrote; "
        "unshare --user true; chroot / true; echo end"
    )
    (host.units / "mdata-probe.service").write_text(f"[Service]\nType=oneshot\nExecStart=-/bin/sh -c '{tries}'\n")
    (host.units / "mdata-detect-gaps.service.d" / "60-probe.conf").write_text(
        "[Service]\nExecStart=\nExecStart=-/bin/sh -c 'wc -l < /proc/net/dev'\n"
    )
    host.run("sh", "-c", "touch /tmp/secret /home/ann/secret")
    host.systemctl("daemon-reload")
    host.systemctl("start", "mdata-probe.service", "mdata-detect-gaps.service")
    said = [one["MESSAGE"] for one in host.journal("--unit=mdata-probe.service", "_TRANSPORT=stdout")]
    assert said[0] == "mdata"
    assert "wrote" in said
    assert "end" in said
    text = "\n".join(said)
    for refused in ("/usr/probe", "/etc/probe"):
        assert re.search(rf"touch: cannot touch '{refused}': Read-only file system", text)
    assert "secret" not in text
    assert re.search(r"(?i)unshare.*not permitted", text)
    assert re.search(r"(?i)chroot.*not permitted", text)
    offline = [one["MESSAGE"] for one in host.journal("--unit=mdata-detect-gaps.service", "_TRANSPORT=stdout")]
    assert offline[0] == "3", "there is more than the loopback interface"


def test_traps_of_the_system_are_refused_before_anything_is_written(host: Host, live: Sandbox) -> None:
    def refused(code: int, *said: str, **changed: str) -> None:
        host.configure(live, **changed)
        ended = host.mdata("timers", "install", "--system")
        assert ended.returncode == code, ended.stderr
        for part in said:
            assert part in ended.stderr
        assert list(host.units.iterdir()) == []
        assert not (host.state / "mdata.db.timers.json").exists()

    refused(78, "DATABASE_PATH is /home/ann/mdata.db", "ProtectHome=yes", DATABASE_PATH="/home/ann/mdata.db")
    refused(
        77, "cannot write to the folder /opt/candles", "install -d -m 2770", DATABASE_PATH="/opt/candles/mdata.db"
    )
    refused(77, "cannot write to the folder /opt/metrics", PROMETHEUS_TEXTFILE="/opt/metrics/mdata.prom")
    host.run("cp", "/opt/mdata/bin/mdata", "/home/ann/mdata")
    ended = host.run("/home/ann/mdata", "timers", "install", "--system")
    assert (ended.returncode, "the program is /home/ann/mdata" in ended.stderr) == (78, True)
    host.run("cp", "/etc/mdata/mdata.env", "/home/ann/mdata.env")
    ended = host.mdata("timers", "install", "--system", "--env-file", "/home/ann/mdata.env")
    assert (ended.returncode, "the env file is /home/ann/mdata.env" in ended.stderr) == (78, True)
    host.configure(live)
    host.env_file.chmod(0o600)
    ended = host.mdata("timers", "install", "--system")
    assert (ended.returncode, "the user mdata cannot read /etc/mdata/mdata.env" in ended.stderr) == (77, True)
    ended = host.mdata("timers", "install", "--system", "--env-file", "/etc/mdata/none.env", user="ann")
    assert ended.returncode == 78
    host.env_file.chmod(0o644)
    ended = host.mdata("timers", "install", "--system", user="ann")
    assert (ended.returncode, "root" in ended.stderr) == (77, True), ended.stderr
    # A store of one's own choice works, once its folder is there; so do a file for metrics, and a ping.
    for folder in ("/opt/candles", "/opt/metrics"):
        host.run("install", "-d", "-m", "2770", "-o", "mdata", "-g", "mdata", folder)
    host.configure(
        live, DATABASE_PATH="/opt/candles/mdata.db", RATE_LIMIT_STATE_PATH="/opt/candles/rate.json",
        PROMETHEUS_TEXTFILE="/opt/metrics/mdata.prom", PING_URL=f"{live.rest_url}/ping",
    )  # fmt: skip
    install(host)
    assert (
        "ReadWritePaths=/opt/candles /opt/metrics\n"
        in (host.units / "mdata-.service.d" / "20-environment.conf").read_text()
    )
    host.until(lambda: host.show("mdata-backfill.service", "ExecMainExitTimestamp", "ActiveState") and
               "backfill outcome=ok" in host.run("journalctl", "--unit=mdata-backfill.service").stdout)  # fmt: skip
    assert host.run("stat", "-c", "%U:%G %a", "/opt/candles/mdata.db").stdout == "mdata:mdata 660\n"
    host.systemctl("start", "mdata-status.service")
    assert "mdata_" in host.run("cat", "/opt/metrics/mdata.prom").stdout
    assert [one for one in live.requests if "/ping" in one.target], host.trouble()


def test_slow_runs_never_overlap_and_a_dead_one_is_followed(host: Host, live: Sandbox) -> None:
    host.configure(live, BACKFILL_ON_STARTUP="false", **SLOW)
    install(host)
    host.every("backfill", "*:*:0/2 UTC")
    host.until(lambda: [job[0] for job in host.jobs("backfill")] == ["running"])
    # Killed in the middle of a page: the unit fails, that is told, and the next run carries on.
    host.until(lambda: host.rows("SELECT count(*) FROM candles")[0][0] > 0)
    host.systemctl("kill", "--signal=KILL", "mdata-backfill.service")
    host.until(lambda: len(host.jobs("backfill")) == 2 and host.jobs("backfill")[0][0] == "interrupted")
    (told,) = host.until(lambda: alarms(host))
    assert "mdata-backfill failed: signal (KILL)" in told
    # Told to stop in the middle of a page: that is clean.
    host.systemctl("stop", "mdata-backfill.timer")
    host.until(lambda: host.jobs("backfill")[1][0] == "running" and live.requests)
    host.systemctl("stop", "mdata-backfill.service")
    assert host.jobs("backfill")[1][:2] == ("interrupted", 143)
    unit = host.show("mdata-backfill.service", "Result", "ActiveState", "ExecMainStatus")
    assert unit == {"Result": "success", "ActiveState": "inactive", "ExecMainStatus": "143"}
    host.systemctl("start", "mdata-backfill.timer")
    host.until(lambda: [job[0] for job in host.jobs("backfill")].count("ok") >= 2)
    # The end of the killed one is not known; its row was closed by the run after it.
    runs = [(started, finished) for _, code, started, finished in host.jobs("backfill") if code is not None]
    assert all(finished <= started for (_, finished), (started, _) in zip(runs, runs[1:], strict=False))
    assert any(finished - started > 2000 for started, finished in runs), "no run was longer than the cadence"
    assert_store_is_true(host, live)
    assert len(alarms(host)) == 1


def test_what_is_green_and_what_is_told(host: Host, live: Sandbox) -> None:
    notify = {"NOTIFY_COMMAND": "cat >> /var/lib/mdata/told", "BACKFILL_ON_STARTUP": "false"}
    host.configure(live, BACKFILL_DAYS="30", **notify)
    install(host)
    told = host.state / "told"

    def ends_with(unit: str) -> tuple[str, str]:
        host.systemctl("start", unit)
        shown = host.show(unit, "Result", "ExecMainStatus")
        return shown["Result"], shown["ExecMainStatus"]

    def fails_three_times(job: str, code: str) -> None:
        for count in (1, 2, 3):
            assert ends_with(f"{job}.service") == ("exit-code", code)
            # Each failure starts the notifier, but no second time while it is at work.
            host.until(partial(lambda count: len(tellings(job)) == count, count))
            host.until(lambda: host.show(f"mdata-notify@{job}.service", "ActiveState")["ActiveState"] == "inactive")
        assert ["already reported" in line for line in tellings(job)] == [False, True, True]

    def tellings(job: str) -> list[str]:
        lines = [one["MESSAGE"] for one in host.journal("--unit=mdata-notify@*", "--identifier=mdata")]
        return [line for line in lines if line.startswith(f"{job} failed")]

    start = "[Service]\nExecStart=\nExecStart=/opt/mdata/bin/mdata backfill --wait-lock 0s --max-requests 1\n"
    # On an idle machine it is started more often here than systemd lets a unit start within ten seconds.
    host.dropin("mdata-backfill.service", f"[Unit]\nStartLimitIntervalSec=0\n{start}")
    assert ends_with("mdata-backfill.service") == ("success", "3")
    lock = FileLock(host.state / "mdata.db.backfill.lock")
    assert lock.acquire(0)
    assert ends_with("mdata-backfill.service") == ("success", "75")
    lock.close()
    host.configure(live, **notify, BITFINEX_REST_URL="http://127.0.0.1:1/v2", RATE_LIMIT_MAX_RETRIES="0")
    assert ends_with("mdata-backfill.service") == ("success", "69")
    assert alarms(host) == []
    # A wrong setting fails each run, and is told once, with the reason, although NOTIFY_COMMAND stands in that file.
    host.configure(live, **notify, BACKFILL_DAYS="six")
    fails_three_times("mdata-backfill", "78")
    (line,) = host.until(lambda: alarms(host))
    assert "mdata-backfill failed: exit 78" in line
    assert "/etc/mdata/mdata.env:5: BACKFILL_DAYS is invalid" in line
    assert "journalctl _SYSTEMD_INVOCATION_ID=" in line
    # So is data that is not there, or old: nothing else need fail for that.
    host.configure(live, **notify, SYMBOLS="BTCUSD,SPAUSD")
    fails_three_times("mdata-status", "3")
    second = host.until(lambda: len(found := alarms(host)) == 2 and found[1])
    assert "mdata-status failed: exit 3" in second
    assert "no data" in second
    host.until(lambda: told.read_text().count("\n") == 2)
    assert told.read_text() == f"{line}\n{second}\n"
    host.dropin("mdata-backfill.service", "")
    assert ends_with("mdata-backfill.service") == ("success", "0")
    assert ends_with("mdata-status.service") == ("success", "0")
    memory = json.loads((host.state / ".local/state/mdata/alarms/mdata-status.json").read_text())
    assert memory["has_recovered"] is True


def test_people_of_the_group_use_the_same_store(host: Host, live: Sandbox) -> None:
    host.configure(live)
    # Root was the first: what it made is open to the service all the same.
    assert host.mdata("backfill", umask="077").returncode == 0
    install(host)
    host.until(lambda: [job[0] for job in host.jobs("backfill")] == ["ok", "ok"])
    status = host.mdata("status", "--json", user="ann")
    assert (status.returncode, json.loads(status.stdout)["database"]["path"]) == (0, "/var/lib/mdata/mdata.db")
    script = (
        "import sqlite3; c = sqlite3.connect('/var/lib/mdata/mdata.db'); c.execute('DELETE FROM candles WHERE "
        "open_time % 7 = 0 AND open_time < (SELECT max(open_time) FROM candles) - 600000'); c.commit()"
    )
    assert host.run("python3", "-c", script, user="ann", umask="077").returncode == 0
    for command in ("detect-gaps", "repair"):
        ended = host.mdata(command, user="ann", umask="077")
        assert ended.returncode in {0, 3}, ended.stderr
    while (ended := host.mdata("repair", user="ann", umask="077")).returncode == 3:
        assert "gaps_repaired" in ended.stderr, ended.stderr
    assert_store_is_true(host, live)
    # What she made is open to the service, which goes on.
    modes = {path.stat().st_mode & 0o777 for path in host.state.iterdir() if path.is_file()}
    assert modes == {0o660}
    for job in ("backfill", "detect-gaps", "repair"):
        host.systemctl("start", f"mdata-{job}.service")
        assert host.show(f"mdata-{job}.service", "Result")["Result"] == "success"
    # Somebody else is told which group it takes.
    away = host.folder / "etc-mdata" / "bob.env"
    away.write_text("DATABASE_PATH=/var/lib/mdata/mdata.db\nRATE_LIMIT_STATE_PATH=/tmp/bob.json\n")
    for command in ("status", "gaps", "jobs"):
        refused = host.mdata(command, "--env-file", "/etc/mdata/bob.env", user="bob")
        assert refused.returncode == 77
        assert "group mdata: ask for `usermod -aG mdata USER`" in refused.stderr


def test_missed_runs_are_caught_up_once_and_each_boot_backfills(host: Host, live: Sandbox) -> None:
    host.configure(live, REST_UPDATE_ENABLED="true")
    install(host)
    host.until(lambda: len(host.jobs("backfill")) == 1)
    # Each minute; the missed minutes are put into the stamps, that nobody need wait for them.
    for job in ("backfill", "repair"):
        host.dropin(
            f"mdata-{job}.timer", "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 00:00:00 UTC\nRandomizedDelaySec=0\n"
        )
        host.systemctl("restart", f"mdata-{job}.timer")
    host.dropin("mdata-update.timer", "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 00:00:00 UTC\nRandomizedDelaySec=0\n")
    before = {job: len(host.jobs(job)) for job in ("backfill", "repair", "update")}
    host.stop()
    stamps = host.folder / "var-lib" / "systemd" / "timers"
    for job in ("backfill", "repair"):
        stamp = stamps / f"stamp-mdata-{job}.timer"
        assert stamp.exists()
        three_days_ago = stamp.stat().st_mtime - 3 * 86_400
        os.utime(stamp, (three_days_ago, three_days_ago))
    assert not (stamps / "stamp-mdata-update.timer").exists()
    host.start()
    for job in ("backfill", "repair"):
        host.until(partial(lambda job: len(host.jobs(job)) > before[job], job))
    host.until(lambda: all(outcome == "ok" for outcome, *_ in host.jobs("backfill") + host.jobs("repair")))
    shown = {
        one["unit"]: one for one in json.loads(host.systemctl("list-timers", "--all", "--output=json", "mdata-*"))
    }
    assert shown["mdata-repair.timer"]["last"] > 0
    assert {job: len(host.jobs(job)) - before[job] for job in before} == {"backfill": 1, "repair": 1, "update": 0}
    # Nothing was missed now, but each boot backfills once.
    host.dropin("mdata-backfill.timer", "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 00:00:00 UTC\nRandomizedDelaySec=0\n"
                "OnStartupSec=1s\n")  # fmt: skip
    host.stop()
    host.start()
    host.until(lambda: len(host.jobs("backfill")) == before["backfill"] + 2)
    assert len(host.jobs("repair")) == before["repair"] + 1


def listing(host: Host) -> dict[str, float]:
    return {
        str(path.relative_to(host.units)): path.lstat().st_mtime
        for path in host.units.rglob("*")
        if not path.is_dir()
    }


def links(host: Host) -> set[str]:
    return {path.name for path in (host.units / "timers.target.wants").glob("*")}


def stamps(host: Host) -> set[str]:
    return {path.name for path in (host.folder / "var-lib" / "systemd" / "timers").glob("stamp-mdata-*")}


def test_install_change_install_uninstall(host: Host, live: Sandbox) -> None:
    host.configure(live)
    install(host)
    first = listing(host)
    assert links(host) == {f"mdata-{job}.timer" for job in ("backfill", "detect-gaps", "repair", "recheck", "status")}
    assert stamps(host) == {f"stamp-mdata-{job}.timer" for job in ("backfill", "detect-gaps", "repair", "recheck")}
    marker = json.loads((host.state / "mdata.db.timers.json").read_text())
    assert (marker["manager"], marker["user"], marker["env_file"]) == ("system", "root", "/etc/mdata/mdata.env")
    # Again: nothing.
    assert install(host).startswith("nothing to change\n")
    assert listing(host) == first
    # An administrator's own wishes.
    own = host.units / "mdata-repair.service.d" / "override.conf"
    own.write_text("[Service]\nNice=1\n")
    # Other settings: only what they touch is written.
    host.configure(live, GAP_REPAIR_INTERVAL_MINUTES="90", REST_UPDATE_ENABLED="true", UPDATE_INTERVAL_SECONDS="5",
                   RETENTION_DAYS="30")  # fmt: skip
    said = install(host)
    assert set(re.findall(r"^written /etc/systemd/system/(\S+)$", said, re.MULTILINE)) == {
        "mdata-repair.timer.d/50-mdata.conf", "mdata-repair.service.d/50-mdata.conf",
        "mdata-update.timer.d/50-mdata.conf", "mdata-update.service.d/50-mdata.conf",
    }  # fmt: skip
    assert set(re.findall(r"^enabled (\S+)$", said, re.MULTILINE)) == {"mdata-update.timer", "mdata-cleanup.timer"}
    assert "01/3:42:00 UTC" in host.systemctl("show", "--property=TimersCalendar", "mdata-repair.timer")
    host.until(lambda: host.jobs("update"), 60)
    shown = host.show("mdata-repair.service", "Nice", "TimeoutStartUSec")
    assert shown == {"Nice": "1", "TimeoutStartUSec": "1h 23min"}
    # What cannot be kept is refused, and changes nothing.
    second = listing(host)
    host.configure(live, GAP_REPAIR_INTERVAL_MINUTES="7")
    refused = host.mdata("timers", "install", "--system")
    assert (refused.returncode, listing(host)) == (78, second)
    assert "6 or 8" in refused.stderr
    # Another manager for the same store is refused.
    home_file = host.ann_home / "mdata.env"
    home_file.write_text(host.settings(live))
    home_file.chmod(0o644)
    refused = host.mdata("timers", "install", "--user", "--env-file", "/home/ann/mdata.env", user="ann")
    assert refused.returncode == 78
    assert "is already scheduled by the system's systemd" in refused.stderr
    # Off again.
    host.configure(live, GAP_REPAIR_INTERVAL_MINUTES="90", RETENTION_DAYS="30", **SLOW)
    said = install(host)
    assert re.findall(r"^disabled (\S+)$", said, re.MULTILINE) == ["mdata-update.timer"]
    assert "mdata-update.timer" not in links(host)
    # Away with it, in the middle of a run.
    host.systemctl("start", "--no-block", "mdata-backfill.service")
    host.until(lambda: host.show("mdata-backfill.service", "SubState")["SubState"] == "start")
    ended = host.mdata("timers", "uninstall", "--system")
    assert ended.returncode == 0, ended.stderr
    assert "override.conf" in ended.stderr
    assert set(listing(host)) == {"mdata-repair.service.d/override.conf"}
    assert (links(host), stamps(host)) == (set(), set())
    assert host.systemctl("list-units", "--all", "--plain", "--no-legend", "mdata-*") == ""
    assert host.systemctl("list-unit-files", "--no-legend", "mdata-*") == ""
    assert not (host.state / "mdata.db.timers.json").exists()
    assert host.database.exists()
    assert host.env_file.exists()
    assert "running" not in {outcome for outcome, *_ in host.jobs("backfill")}
    assert host.run("id", "mdata").returncode == 0
    assert host.mdata("timers", "uninstall", "--system").returncode == 0


def test_a_users_own_manager(host: Host, live: Sandbox) -> None:
    settings = {"DATABASE_PATH": "/home/ann/.local/share/mdata/mdata.db",
                "RATE_LIMIT_STATE_PATH": "/home/ann/.local/state/mdata/rate-limit.json"}  # fmt: skip
    env_file = host.ann_home / ".config" / "mdata" / "mdata.env"
    host.run("mkdir", "-p", "/home/ann/.config/mdata", user="ann")
    env_file.write_text(host.settings(live, **settings))
    env_file.chmod(0o644)
    elsewhere = host.run(
        "/opt/mdata/bin/mdata", "timers", "install", "--env-file", "/home/ann/.config/mdata/mdata.env", user="ann",
        XDG_CONFIG_HOME="/home/ann/elsewhere",
    )  # fmt: skip
    assert elsewhere.returncode == 78, elsewhere.stderr
    assert "does not read units from /home/ann/elsewhere/systemd/user" in elsewhere.stderr
    ended = host.mdata("timers", "install", user="ann")
    assert ended.returncode == 0, ended.stderr
    assert "lingering is off" in ended.stderr
    assert "settings from /home/ann/.config/mdata/mdata.env" in ended.stderr
    database = host.ann_home / ".local" / "share" / "mdata" / "mdata.db"
    host.run("chown", "-R", "ann:ann", "/home/ann/.config")
    for job in ("backfill", "detect-gaps", "repair"):
        host.every(job, "*:*:0/2 UTC", user="ann")

    def runs(command: str) -> int:
        if not database.exists():
            return 0
        sql = "SELECT count(*) FROM ingestion_jobs WHERE command = ? AND outcome = 'ok' AND invocation_id IS NOT NULL"
        found = host.rows(sql, command, database=database)
        return int(found[0][0]) if found else 0

    for job in ("backfill", "detect-gaps", "repair"):
        host.until(partial(lambda job: runs(job) >= 2, job))
    assert database.stat().st_mode & 0o777 == 0o600
    shown = json.loads(host.mdata("timers", "show", "--json", user="ann").stdout)
    assert (shown["manager"], shown["user"], shown["answers"]) == ("user", "ann", True)
    (repair,) = (one for one in shown["timers"] if one["job"] == "repair")
    assert repair["journal"].startswith("journalctl --user ")
    # The alarm of a user's unit names the user's journal.
    env_file.write_text("BACKFILL_DAYS=six\n")
    (line,) = host.until(lambda: [
        one["MESSAGE"] for one in host.journal("--priority=3..3") if "mdata-backfill failed: " in one["MESSAGE"]
    ])  # fmt: skip
    assert "BACKFILL_DAYS is invalid" in line
    assert "read `journalctl --user _SYSTEMD_INVOCATION_ID=" in line
    ended = host.mdata("timers", "uninstall", user="ann")
    assert ended.returncode == 0, ended.stderr
    left = [path for path in (host.ann_home / ".config" / "systemd").rglob("*") if not path.is_dir()]
    # The drop-ins of this test.
    assert {path.name for path in left} == {"90-test.conf"}
    assert list((host.ann_home / ".local" / "share" / "systemd" / "timers").glob("*")) == []
    assert host.systemctl("list-units", "--all", "--plain", "--no-legend", "mdata-*", user="ann") == ""


def test_a_hung_stream_is_ended_by_the_watchdog_and_started_again(host: Host, live: Sandbox) -> None:
    host.configure(live, WS_INGESTION_ENABLED="true", BACKFILL_ON_STARTUP="false")
    install(host)
    assert "mdata-stream.timer" in links(host)
    host.dropin("mdata-stream.service", "[Service]\nWatchdogSec=8\nTimeoutStopSec=2\n")
    host.every("stream", "*:*:0/2 UTC")
    unit = "mdata-stream.service"
    host.until(lambda: host.show(unit, "ActiveState")["ActiveState"] == "active")
    first = host.show(unit, "MainPID", "StatusText", "NRestarts")
    assert "channel" in first["StatusText"]
    host.until(lambda: host.jobs("stream"))
    host.systemctl("kill", "--signal=STOP", unit)
    (told,) = host.until(lambda: alarms(host), 60)
    assert "mdata-stream failed: watchdog" in told
    again = host.until(
        lambda: (found := host.show(unit, "ActiveState", "MainPID"))["ActiveState"] == "active" and found
    )
    assert again["MainPID"] != first["MainPID"]
    assert host.show(unit, "NRestarts")["NRestarts"] == "0", "the timer restarts it, and nothing else"
    host.until(lambda: host.jobs("stream")[0][0] == "interrupted")
    # Told to stop it says so, stores what it has, and is green; one that ends itself is started again.
    host.dropin("mdata-stream.service", "[Service]\nExecStart=\nExecStart=/opt/mdata/bin/mdata stream --for 3s\n")
    host.systemctl("stop", "mdata-stream.timer", unit)
    assert host.show(unit, "Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}
    host.systemctl("start", "mdata-stream.timer")
    host.until(lambda: [outcome for outcome, *_ in host.jobs("stream")].count("ok") >= 2)
    assert len(alarms(host)) == 1


def test_serve_is_off_until_somebody_turns_it_on(host: Host, live: Sandbox) -> None:
    host.configure(live)
    install(host)
    shown = host.show("mdata-serve.service", "ActiveState", "UnitFileState")
    assert shown == {"ActiveState": "inactive", "UnitFileState": "disabled"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = "/opt/mdata/bin/mdata"
    host.dropin("mdata-serve.service", f"[Service]\nExecStart=\nExecStart={program} serve --port {port}\n")
    started = host.run("systemctl", "enable", "--now", "mdata-serve")
    assert started.returncode == 0, host.trouble()

    def health() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    host.until(lambda: health() == 200)
    # The processes for queries run behind the same walls.
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/mdata.json?sql=select+7&_shape=arrays", timeout=30
    ) as found:
        assert json.load(found)["rows"] == [[7]]
    unit = host.show("mdata-serve.service", "MainPID", "StatusText", "Restart")
    assert unit["StatusText"] == f"serving http://127.0.0.1:{port}/"
    host.systemctl("kill", "--signal=KILL", "mdata-serve.service")
    host.until(lambda: host.show("mdata-serve.service", "MainPID")["MainPID"] not in {"0", unit["MainPID"]})
    host.until(lambda: host.show("mdata-serve.service", "ActiveState")["ActiveState"] == "active")
    assert health() == 200
    host.systemctl("stop", "mdata-serve.service")
    assert host.show("mdata-serve.service", "Result", "ActiveState") == {
        "Result": "success",
        "ActiveState": "inactive",
    }
    last = [one["MESSAGE"] for one in host.journal("--unit=mdata-serve.service", "--identifier=mdata")]
    assert last[-1] == "the server has stopped"
    assert host.mdata("timers", "uninstall", "--system").returncode == 0
    assert [path.name for path in host.units.rglob("*") if not path.is_dir()] == ["90-test.conf"]


HELPERS = """\
mkdir -p /usr/local/bin
for group in 2755 4755; do
    cp /usr/bin/id /usr/local/bin/helper$group
    chown bob:bob /usr/local/bin/helper$group
    chmod $group /usr/local/bin/helper$group
done
mkdir -p /var/lib/spool
chmod 1777 /var/lib/spool
"""
COMMAND = """\
exec > /var/lib/mdata/told 2>/dev/null; \
helper2755 -gn; helper4755 -un; touch /var/lib/spool/$$ && echo spooled; \
touch /etc/x || touch /usr/local/x || touch /opt/x || echo no system; ls -d /home/ann || echo no home; \
ls /tmp/mark || echo no tmp; ls -d /proc/1 || echo no processes; head -c 1 /dev/console || echo no devices; \
grep CapPrm /proc/self/status"""


def test_the_command_of_an_alarm_may_do_what_mail_needs_and_no_more(host: Host, live: Sandbox) -> None:
    """A helper that is set-group-id (Postfix) or set-user-id (exim), and a spool below /var."""
    assert host.run("sh", "-c", HELPERS).returncode == 0
    host.run("touch", "/tmp/mark")
    host.configure(live, NOTIFY_COMMAND=f"'{COMMAND}'", BACKFILL_ON_STARTUP="false")
    install(host)
    host.systemctl("start", "mdata-notify@mdata-repair.service")
    told = (host.state / "told").read_text().splitlines()
    may, may_not = ["bob", "bob", "spooled"], ["no system", "no home", "no tmp", "no processes", "no devices"]
    assert told == [*may, *may_not, "CapPrm:\t0000000000000000"]
