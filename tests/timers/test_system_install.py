"""`make install-system` on a machine of its own: from the wheel, with the system's Python, to running timers."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from systemd_host import ROOT, Host, booted

from mdata.sandbox.server import Sandbox

SOURCES = (
    "Makefile", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "requirements.lock", "requirements-build.lock",
    ".env.example",
)  # fmt: skip
# What pip needs to know here to reach its packages.
ENVIRON = {
    name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT")) or "_proxy" in name
}


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Host]:
    with booted(tmp_path, is_bare=True) as host:
        source = tmp_path / "source"
        source.mkdir()
        for name in SOURCES:
            shutil.copy(ROOT / name, source)
        for name in ("mdata", "systemd"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        yield host


def make(host: Host, target: str, **environ: str) -> tuple[int, str]:
    ended = host.run("make", "--no-print-directory", "-C", "/mnt/source", target, timeout=600, **ENVIRON, **environ)
    return ended.returncode, ended.stdout + ended.stderr


def test_a_python_in_somebodys_home_is_refused(bare: Host) -> None:
    bare.run("install", "-D", os.path.realpath("/usr/bin/python3"), "/home/ann/bin/python3")
    ended = bare.run("sh", "/mnt/source/systemd/install-system.sh", SYSTEM_PYTHON="/home/ann/bin/python3")
    assert ended.returncode == 78
    assert "is /home/ann/bin/python3, in a home folder" in ended.stderr
    ended = bare.run("sh", "/mnt/source/systemd/install-system.sh", SYSTEM_PYTHON="/nowhere/python3")
    assert (ended.returncode, "no /nowhere/python3" in ended.stderr) == (78, True)
    ended = bare.run("sh", "/mnt/source/systemd/install-system.sh", user="bob")
    assert (ended.returncode, "needs root" in ended.stderr) == (77, True)
    assert bare.run("id", "mdata").returncode != 0
    assert bare.run("ls", "/opt/mdata").returncode != 0


@pytest.mark.systemd
def test_from_a_bare_machine_to_running_timers_and_back(bare: Host, live: Sandbox) -> None:
    code, said = make(bare, "install-system")
    assert code == 0, said
    assert bare.run("stat", "-c", "%U:%G %a", "/var/lib/mdata").stdout == "mdata:mdata 2770\n"
    assert bare.run("stat", "-c", "%U:%G %a", "/etc/mdata/mdata.env").stdout == "root:mdata 640\n"
    assert bare.run("readlink", "/usr/local/bin/mdata").stdout == "/opt/mdata/bin/mdata\n"
    shown = json.loads(bare.run("mdata", "config", "--json").stdout)
    assert shown["env_file"] == "/etc/mdata/mdata.env"
    values = {one["name"]: one["value"] for one in shown["settings"]}
    assert values["DATABASE_PATH"] == "/var/lib/mdata/mdata.db"
    assert values["RATE_LIMIT_STATE_PATH"] == "/var/lib/mdata/rate-limit.json"
    # Settings are kept by a second installation.
    owner = bare.env_file.stat()
    bare.env_file.write_text(bare.settings(live))
    code, said = make(bare, "install-system")
    assert code == 0, said
    assert bare.env_file.read_text() == bare.settings(live)
    assert (bare.env_file.stat().st_gid, bare.env_file.stat().st_mode) == (owner.st_gid, owner.st_mode)
    ended = bare.run("mdata", "timers", "install")
    assert ended.returncode == 0, ended.stderr
    assert "ExecStart=/opt/mdata/bin/mdata backfill" in (bare.units / "mdata-backfill.service").read_text()
    bare.until(lambda: [outcome for outcome, *_ in bare.jobs("backfill")] == ["ok"])
    bare.run("usermod", "-aG", "mdata", "ann")
    assert json.loads(bare.run("mdata", "status", "--json", user="ann").stdout)["series"][0]["complete"] is True
    code, said = make(bare, "uninstall-system")
    assert code == 0, said
    assert list(bare.units.glob("mdata-*")) == []
    for gone in ("/opt/mdata", "/usr/local/bin/mdata"):
        assert bare.run("ls", "-d", gone).returncode != 0
    for kept in ("/etc/mdata/mdata.env", "/var/lib/mdata/mdata.db"):
        assert bare.run("ls", kept).returncode == 0
    assert bare.run("id", "mdata").returncode == 0
