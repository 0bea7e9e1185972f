"""A store, or the rate budget, on another machine's disk: refused before anything is written there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Folder, stored

WRITERS = [
    ["backfill"],
    ["update"],
    ["detect-gaps"],
    ["repair"],
    ["verify"],
    ["cleanup", "--yes"],
    ["stream", "--for", "1s"],
]


def says(folder: Folder, kind: str, path: Path) -> list[str | Path]:
    """Return what runs a command that sees `path` on a file system of this kind in the kernel's table of mounts."""
    device = path.stat().st_dev
    table = folder.path / "mountinfo"
    where = f"{os.major(device)}:{os.minor(device)}"
    table.write_text(
        f"22 1 0:21 / /proc rw - proc proc rw\n29 22 {where} / /a\\040share rw,relatime - {kind} host:/export rw\n"
    )
    script = f'mount --bind "{table}" /proc/$$/mountinfo && exec "$@"'
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", "cat", "/proc/self/mountinfo"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode or tried.stdout != table.read_text():
        pytest.skip(f"the table of mounts cannot be replaced here: {tried.stderr.strip()}")
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


pytestmark = pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare here")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"])
def test_a_store_on_a_network_file_system_is_refused(folder: Folder, kind: str) -> None:
    folder.before = says(folder, kind, folder.path)
    before = sorted(path.name for path in folder.path.iterdir() if not path.name.endswith(".lock"))
    for arguments in WRITERS if kind == "nfs4" else WRITERS[:1]:
        ended = folder.run(*arguments)
        assert ended.exit == 78, (arguments, ended.err)
        assert f"{folder.database} is on a network file system ({kind})" in ended.err
        assert "set DATABASE_PATH to a path on a local disk" in ended.err
    assert sorted(path.name for path in folder.path.iterdir() if not path.name.endswith(".lock")) == before
    assert folder.sandbox.requests == []


def test_so_is_a_place_for_a_backup(folder: Folder) -> None:
    assert folder.run("backfill", BACKFILL_DAYS="1").exit == 0
    assert folder.run("backup", "copy.db").exit == 0
    before = folder.database.read_bytes()
    folder.before = says(folder, "nfs", folder.path)
    ended = folder.run("restore", "copy.db", "--yes")
    assert ended.exit == 78
    assert "set DATABASE_PATH to a path on a local disk" in ended.err
    assert folder.database.read_bytes() == before
    assert not list(folder.path.glob("*.before-*"))
    examined = folder.run("doctor", "--json")
    assert examined.exit == 3
    assert [one["state"] for one in examined.json["findings"] if one["id"] == "disk.remote"] == ["problem"] * 2


def test_so_is_a_rate_budget(folder: Folder, tmp_path: Path) -> None:
    share = Path("/dev/shm")
    if not share.is_dir() or share.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    folder.before = says(folder, "nfs", share)
    ended = folder.run("backfill", RATE_LIMIT_STATE_PATH="/dev/shm/mdata-test/rate-limit.json")
    assert ended.exit == 78
    assert "set RATE_LIMIT_STATE_PATH to a path on a local disk" in ended.err
    assert not Path("/dev/shm/mdata-test").exists()


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "overlay", "tmpfs", "fuse.mergerfs"])
def test_a_disk_of_this_machine_is_not(folder: Folder, kind: str) -> None:
    folder.before = says(folder, kind, folder.path)
    assert folder.run("backfill", BACKFILL_DAYS="1").exit == 0
    assert stored(folder.database, "tBTCUSD", "1m")
