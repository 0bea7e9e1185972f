"""A machine of its own for tests: systemd as PID 1, with a journal and a user's manager, in throw-away namespaces.

Nothing of it reaches the machine that runs the tests: mounts, processes and control groups are private; /etc, /opt
and /usr/local are overlays; systemd finds no units but those of the test (the stock ones would empty /tmp). The
network is shared, so that the sandbox exchange of the test is reached at 127.0.0.1. The folder of the test is
/mnt in there.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
MDATA_UID, ANN_UID, BOB_UID = 60_000, 60_001, 60_002
_TARGETS = ("basic", "sysinit", "shutdown", "timers", "sockets", "paths", "slices", "local-fs", "umount", "final")
_HOMES = ("/root", "/home", "/run/user")

_UNSHARE = (
    "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "--kill-child",
)  # fmt: skip

# Each machine has a control group of its own: systemd names those below the same in all of them, and kills by them.
_IN_GROUP = """\
set -e
mount --make-rprivate /
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/"$1"
echo $$ > /sys/fs/cgroup/"$1"/cgroup.procs
umount /sys/fs/cgroup
shift
exec unshare --cgroup "$@"
"""
_WITHOUT_GROUP = """\
mount --make-rprivate /
mount -t cgroup2 none /sys/fs/cgroup
find /sys/fs/cgroup/"$1" -depth -type d -exec rmdir {} +
"""

_INSIDE = """\
set -e
mount --bind "$1" /mnt
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/user /run/site
# Now, for the checkout may lie in a folder that is replaced below.
mount --bind "$2" /run/site
for place in /etc /opt /usr/local; do
    above=/run/overlay$place
    mkdir -p $above/upper $above/work
    mount -t overlay -o lowerdir=$place,upperdir=$above/upper,workdir=$above/work overlay $place
done
rm -rf /etc/systemd/system /etc/mdata /opt/mdata /usr/local/bin/mdata
mkdir -p /etc/systemd/system /etc/systemd/journald.conf.d /etc/mdata
mount --bind /mnt/units /etc/systemd/system
mount --bind /mnt/etc-mdata /etc/mdata
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount --bind /mnt/var-lib /var/lib
mount --bind /mnt/home /home
mount -t tmpfs -o mode=700 tmpfs /root
grep -Ev '^(mdata|ann|bob):' /etc/passwd > /run/passwd
grep -Ev '^(mdata|ann|bob):' /etc/group > /run/group
cat /mnt/passwd >> /run/passwd; cat /run/passwd > /etc/passwd
cat /mnt/group >> /run/group; cat /run/group > /etc/group
install -d -o ann -g ann -m 700 /run/user/60001 /home/ann
cat /mnt/journald.conf > /etc/systemd/journald.conf.d/test.conf
[ -s /etc/machine-id ] || echo 0123456789abcdef0123456789abcdef > /etc/machine-id
if [ -d /mnt/program ]; then
    mkdir -p /opt/mdata/bin /opt/mdata/site
    cp -a /mnt/program/. /opt/mdata/bin
    mount --bind /run/site /opt/mdata/site
fi
export container=lxc SYSTEMD_LOG_TARGET=console SYSTEMD_UNIT_PATH=/etc/systemd/system:/mnt/base
exec /lib/systemd/systemd --system --unit=test.target
"""

_BASE = {
    "test.target": """\
[Unit]
Wants=timers.target systemd-journald.service ann.service
After=timers.target systemd-journald.service
""",
    "systemd-journald.service": """\
[Unit]
DefaultDependencies=no
Requires=systemd-journald.socket
After=systemd-journald.socket
[Service]
Type=notify
ExecStart=/lib/systemd/systemd-journald
Sockets=systemd-journald.socket
StandardOutput=null
""",
    # What user@.service does, without PAM and logind.
    "ann.service": """\
[Unit]
After=systemd-journald.service
[Service]
User=ann
Type=notify
ExecStart=/lib/systemd/systemd --user --unit=timers.target
Environment=XDG_RUNTIME_DIR=/run/user/60001 SYSTEMD_UNIT_PATH=/home/ann/.config/systemd/user:/mnt/base
Delegate=yes
KillMode=mixed
""",
}

_PROGRAM = """\
#!{python}
import sys
sys.path[:0] = ["/opt/mdata/bin/lib", "/opt/mdata/site"]
from mdata.cli.main import run
run()
"""


def why_not() -> str | None:
    """Return why no such machine can be had here, or None where it can."""
    if os.geteuid() != 0:
        return "systemd in namespaces needs root"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "systemctl", "mount") if not shutil.which(name)]
    missing += [str(path) for path in (SYSTEMD, Path("/lib/systemd/systemd-journald")) if not path.exists()]
    if missing:
        return f"there is no {', '.join(missing)} on this machine"
    group = f"mdata-test-try-{uuid4().hex[:8]}"
    script = (
        "mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs none /run && "
        "mkdir /run/u /run/w && mount -t overlay -o lowerdir=/etc,upperdir=/run/u,workdir=/run/w none /etc"
    )
    tried = subprocess.run(_in_group(group, "sh", "-c", script), capture_output=True, text=True, check=False)
    _remove_group(group)
    if tried.returncode:
        return f"namespaces cannot be made here: {' '.join(tried.stderr.split())}"
    return None if _python() else f"there is no Python {_version()} outside of people's homes"


def _in_group(group: str, *command: str | Path) -> list[str | Path]:
    return [*_UNSHARE, "bash", "-c", _IN_GROUP, "in-group", group, *command]


def _remove_group(group: str) -> None:
    subprocess.run(
        ["unshare", "--mount", "bash", "-c", _WITHOUT_GROUP, "without-group", group], capture_output=True, check=False
    )


def _version() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def _python() -> str | None:
    """Return an interpreter of this version that ProtectHome=yes leaves in sight."""
    candidates = [
        os.path.realpath(sys.executable),
        f"/usr/bin/python{_version()}",
        f"/usr/local/bin/python{_version()}",
    ]
    return next((one for one in candidates if Path(one).exists() and not one.startswith(_HOMES)), None)


class Host:
    """The machine; `folder` is where its files are kept, also over a reboot.

    `is_bare`: without mdata, its user and its folders, as a machine is on which it is yet to be installed.
    """

    def __init__(self, folder: Path, *, is_bare: bool = False) -> None:
        self.folder = folder
        self.state = folder / "var-lib" / "mdata"
        self.database = self.state / "mdata.db"
        self.units = folder / "units"
        self.env_file = folder / "etc-mdata" / "mdata.env"
        self.ann_home = folder / "home" / "ann"
        self._group = f"mdata-test-{os.getpid()}-{uuid4().hex[:8]}"
        self._pid = 0
        self._unshare: subprocess.Popen[bytes] | None = None
        self._prepare()
        if not is_bare:
            self._install()

    def _prepare(self) -> None:
        self.folder.chmod(0o755)
        for name in ("var-lib", "units", "etc-mdata", "home", "base"):
            (self.folder / name).mkdir(mode=0o755)
        for name, text in _BASE.items():
            (self.folder / "base" / name).write_text(text)
        for name in _TARGETS:
            shutil.copy(f"/lib/systemd/system/{name}.target", self.folder / "base")
        shutil.copy("/lib/systemd/system/systemd-journald.socket", self.folder / "base")
        # Nothing of the kernel's own log, and nothing on disk.
        (self.folder / "journald.conf").write_text("[Journal]\nReadKMsg=no\nAudit=no\nStorage=volatile\n")
        (self.folder / "passwd").write_text(
            f"ann:x:{ANN_UID}:{ANN_UID}::/home/ann:/bin/sh\nbob:x:{BOB_UID}:{BOB_UID}::/home/bob:/bin/sh\n"
        )
        (self.folder / "group").write_text(f"ann:x:{ANN_UID}:\nbob:x:{BOB_UID}:\n")

    def _install(self) -> None:
        """Leave what `make install-system` would, with the code and the packages of the environment under test."""
        with (self.folder / "passwd").open("a") as people:
            people.write(f"mdata:x:{MDATA_UID}:{MDATA_UID}::/var/lib/mdata:/usr/sbin/nologin\n")
        with (self.folder / "group").open("a") as groups:
            groups.write(f"mdata:x:{MDATA_UID}:ann\n")
        (self.folder / "program").mkdir(mode=0o755)
        program = self.folder / "program" / "mdata"
        program.write_text(_PROGRAM.format(python=_python()))
        program.chmod(0o755)
        for part in ("mdata", "systemd"):
            shutil.copytree(ROOT / part, self.folder / "program" / "lib" / part)
        subprocess.run(["chmod", "-R", "a+rX", self.folder / "program"], check=True)
        self.state.mkdir()
        os.chown(self.state, MDATA_UID, MDATA_UID)
        self.state.chmod(0o2770)

    def start(self) -> None:
        """Boot, and wait until systemd is up."""
        log = (self.folder / "console.log").open("ab")
        site = next(path for path in sys.path if path.endswith("site-packages"))
        self._unshare = subprocess.Popen(
            _in_group(self._group, "bash", "-c", _INSIDE, "inside", self.folder, site),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()
        self.until(lambda: self._found_pid() and "running" in self.run("systemctl", "is-system-running").stdout, 60)
        self.until(lambda: self.systemctl("is-active", "timers.target", user="ann").strip() == "active", 60)

    def _found_pid(self) -> bool:
        assert self._unshare is not None
        assert self._unshare.poll() is None, (self.folder / "console.log").read_text()
        pid = self._unshare.pid
        with suppress(OSError, IndexError):
            self._pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            return Path(f"/proc/{self._pid}/exe").readlink().name == "systemd"
        return False

    def stop(self) -> None:
        """Cut the power."""
        if self._unshare is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid or self._unshare.pid, signal.SIGKILL)
            self._unshare.wait()
            _remove_group(self._group)
            self._unshare, self._pid = None, 0

    def run(
        self, *command: str | Path, user: str | None = None, umask: str = "022", timeout: float = 120, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, as root or as one of its people."""
        uid = {None: 0, "mdata": MDATA_UID, "ann": ANN_UID, "bob": BOB_UID}[user]
        home = "/root" if user is None else f"/home/{user}"
        who = [] if user is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--init-groups"]
        base = {"HOME": home, "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        if user == "ann":
            base["XDG_RUNTIME_DIR"] = f"/run/user/{ANN_UID}"
        return subprocess.run(
            ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--wd=/",
             "env", "-i", *(f"{name}={value}" for name, value in {**base, **environ}.items()),
             *who, "sh", "-c", f'umask {umask}; exec "$@"', "sh", *command],
            text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False,
        )  # fmt: skip

    def systemctl(self, *arguments: str, user: str | None = None) -> str:
        """Run systemctl, for the machine's manager or a user's, and return what it says."""
        return self.run("systemctl", *(["--user"] if user else []), *arguments, user=user).stdout

    def show(self, unit: str, *properties: str, user: str | None = None) -> dict[str, str]:
        """Return properties of a unit."""
        said = self.systemctl("show", f"--property={','.join(properties)}", unit, user=user)
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def mdata(self, *arguments: str, user: str | None = None, umask: str = "022") -> subprocess.CompletedProcess[str]:
        """Run mdata in the machine."""
        return self.run("/opt/mdata/bin/mdata", *arguments, user=user, umask=umask)

    def journal(self, *arguments: str) -> list[dict[str, Any]]:
        """Return entries of the journal."""
        said = self.run("journalctl", "--no-pager", "--output=json", *arguments).stdout
        return [json.loads(line) for line in said.splitlines()]

    def settings(self, sandbox: Any, **changed: str) -> str:
        """Return the text of an env file that works against the sandbox."""
        values = {
            "BITFINEX_REST_URL": sandbox.rest_url, "BITFINEX_WS_URL": sandbox.ws_url, "SYMBOLS": "BTCUSD",
            "TIMEFRAMES": "1m", "BACKFILL_DAYS": "1", "RATE_LIMIT_DELAY": "0.01",
            "RATE_LIMIT_MIN_BACKOFF_SECONDS": "0.05", "DATABASE_PATH": "/var/lib/mdata/mdata.db",
            "WS_INGESTION_ENABLED": "false", **changed,
        }  # fmt: skip
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def configure(self, sandbox: Any, **changed: str) -> None:
        """Write the env file of the system, as `make install-system` leaves it."""
        self.env_file.write_text(self.settings(sandbox, **changed))
        os.chown(self.env_file, 0, MDATA_UID)
        self.env_file.chmod(0o640)

    def dropin(self, unit: str, text: str, user: str | None = None) -> None:
        """Give a unit a drop-in of the test's own, and have it read."""
        folder = self.units if user is None else self.ann_home / ".config" / "systemd" / "user"
        path = folder / f"{unit}.d" / "90-test.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.systemctl("daemon-reload", user=user)

    def every(self, job: str, calendar: str, user: str | None = None) -> None:
        """Compress the cadence of a job, and have its timer take it up."""
        self.dropin(
            f"mdata-{job}.timer", f"[Timer]\nOnCalendar=\nOnCalendar={calendar}\nRandomizedDelaySec=0\n", user=user
        )
        self.systemctl("restart", f"mdata-{job}.timer", user=user)

    def rows(self, sql: str, *values: Any, database: Path | None = None) -> list[tuple[Any, ...]]:
        """Read the store from outside."""
        from mdata.store.sqlite import sqlite3

        connection = sqlite3.connect(f"file:{database or self.database}?mode=ro", uri=True)
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()

    def jobs(self, command: str) -> list[tuple[Any, ...]]:
        """Return (outcome, exit, started, finished) of each run of a command, oldest first."""
        if not self.database.exists():
            return []
        return self.rows(
            "SELECT outcome, exit, started_at, finished_at FROM ingestion_jobs WHERE command = ? ORDER BY id", command
        )

    def until(self, condition: Callable[[], Any], seconds: float = 45.0) -> Any:
        """Wait for a condition and return what it gives."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, self.trouble()
            time.sleep(0.1)
        return found

    def trouble(self) -> str:
        """Return what a reader of a failed test wants to see."""
        timers = self.systemctl("list-timers", "--all", "mdata-*")
        log = self.run("journalctl", "--no-pager", "--output=short-precise").stdout
        return f"the condition did not come about\n{timers}\n{log[-6000:]}"


@contextmanager
def booted(folder: Path, *, is_bare: bool = False) -> Iterator[Host]:
    """Give a running machine; skip the test, with the reason, where there can be none."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    host = Host(folder, is_bare=is_bare)
    try:
        host.start()
        yield host
    finally:
        host.stop()


def clean(text: str) -> str:
    """Return text with what differs from run to run taken out."""
    return re.sub(r"\b[0-9a-f]{32}\b", "ID", text)
