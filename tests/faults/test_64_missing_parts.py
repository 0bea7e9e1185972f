"""A missing dependency, an old SQLite, no shared memory: it works, with a warning, or a sentence says why not."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Folder, stored
from killing import assert_sound

GONE = "raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"


def without(folder: Folder, *names: str) -> dict[str, str]:
    """Return the setting with which the program does not find these packages, as if nobody had installed them."""
    place = folder.path / f"without-{'-'.join(names)}"
    place.mkdir()
    for name in names:
        (place / f"{name}.py").write_text(GONE.format(name=name))
    return {"PYTHONPATH": str(place)}


def version_of(folder: Folder, **settings: str) -> tuple[int, ...]:
    found = re.search(r"SQLite ([\d.]+)", folder.run("--version", **settings).out)
    assert found is not None
    return tuple(map(int, found[1].split(".")))


def test_without_pysqlite3_the_interpreters_engine_works_and_a_known_defect_is_told(folder: Folder) -> None:
    pytest.importorskip("pysqlite3")
    gone = without(folder, "pysqlite3")
    own, theirs = version_of(folder), version_of(folder, **gone)
    if own == theirs:
        pytest.skip("both engines are the same here")
    for arguments in (["backfill"], ["detect-gaps"], ["repair"], ["verify"], ["cleanup", "--yes"]):
        assert folder.run(*arguments, BACKFILL_DAYS="3", **gone).exit == 0, arguments
    told = folder.run("status", "--json", **gone).json
    assert tuple(map(int, told["database"]["sqlite_version"].split("."))) == theirs
    is_known = (3, 7, 0) <= theirs < (3, 51, 3) and theirs[:2] not in {(3, 44), (3, 50)}
    assert any("SQLite" in warning for warning in told["warnings"]) == is_known
    assert not any("SQLite" in warning for warning in folder.run("status", "--json").json["warnings"])
    # One store, two engines in turn.
    assert folder.run("update").exit == 0
    assert folder.run("update", **gone).exit == 0
    assert_sound(folder)
    assert len(stored(folder.database, "tBTCUSD", "1m")) >= 3 * 1440 - 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("httpx", ["backfill"]),
        ("tenacity", ["backfill"]),
        ("sqlite_utils", ["backfill"]),
        ("websockets", ["stream", "--for", "5s"]),
        ("dotenv", ["status", "--env-file", "x.env"]),
        ("certifi", ["backfill"]),
    ],
)
def test_an_installation_that_is_not_whole_is_a_sentence(folder: Folder, name: str, arguments: list[str]) -> None:
    (folder.path / "x.env").write_text("BACKFILL_DAYS=1\n")
    ended = folder.run(*arguments, **without(folder, name))
    if ended.exit == 0:
        assert name == "certifi", "what is not needed where the machine has authorities of its own"
        return
    assert ended.exit == 78, ended.err
    assert f"No module named '{name}'; reinstall it" in ended.err
    assert "Traceback" not in ended.err
    # Whole again, the same store goes on.
    assert folder.run("backfill", BACKFILL_DAYS="1").exit == 0


@pytest.mark.parametrize(
    ("name", "arguments", "package"),
    [
        ("datasette", ["serve", "--port", "0"], "datasette"),
        ("prometheus_client", ["status", "--prometheus", "x.prom"], "prometheus-client"),
    ],
)
def test_what_is_optional_names_the_command_that_adds_it(
    folder: Folder, name: str, arguments: list[str], package: str
) -> None:
    ended = folder.run(*arguments, **without(folder, name))
    assert ended.exit == 78, ended.err
    assert re.search(rf"-m pip install '?{package}", ended.err)
    assert "Traceback" not in ended.err


OLD = """\
import sqlite3 as _real
from sqlite3 import *
from sqlite3 import Connection, Cursor, DatabaseError, OperationalError
sqlite_version = "3.31.1"
SQLITE_OPEN_READWRITE = 2

class _Old(Connection):
    def execute(self, sql, *values):
        # What an engine before 3.37 says of a STRICT table.
        if "STRICT" in sql:
            raise OperationalError('near "STRICT": syntax error')
        return super().execute(sql, *values)

def connect(*arguments, factory=None, flags=0, **options):
    return _real.connect(*arguments, factory=_Old, **options)
"""


def test_an_engine_that_is_too_old_is_refused_before_anything_is_written(folder: Folder) -> None:
    """Debian 11 and Ubuntu 20.04 bring such ones; `pysqlite3` in the place of theirs is one that says so."""
    place = folder.path / "old"
    place.mkdir()
    (place / "pysqlite3.py").write_text(OLD)
    ended = folder.run("backfill", PYTHONPATH=str(place))
    assert ended.exit == 78, ended.err
    assert "SQLite 3.31.1" in ended.err
    assert "3.37" in ended.err
    assert "Traceback" not in ended.err
    assert not folder.database.exists() or folder.database.stat().st_size == 0
    assert folder.run("backfill", BACKFILL_DAYS="1").exit == 0


def test_no_shared_memory_is_missed(folder: Folder) -> None:
    script = 'mount -t tmpfs -o ro,size=4k none /dev/shm && exec "$@"'
    if not Path("/dev/shm").is_dir() or shutil.which("unshare") is None:
        pytest.skip("there is no /dev/shm here, or no unshare")
    hidden = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
        pytest.skip("/dev/shm cannot be hidden here")
    folder.before = hidden
    for arguments in (["backfill"], ["verify"], ["status"], ["export", "-o", "x.csv"], ["stream", "--for", "2s"]):
        ended = folder.run(*arguments, BACKFILL_DAYS="1")
        assert ended.exit == 0, (arguments, ended.err)


def test_no_place_for_temporary_files_is_missed(folder: Folder) -> None:
    """SQLite's own sorting, for example, may want one; a job must not."""
    for arguments in (["backfill"], ["detect-gaps"], ["verify"], ["cleanup", "--yes"], ["status", "--json"]):
        ended = folder.run(*arguments, BACKFILL_DAYS="3", TMPDIR="/nonexistent", SQLITE_TMPDIR="/nonexistent")
        assert ended.exit == 0, (arguments, ended.err)
    assert json.loads(folder.run("status", "--json").out)["series"][0]["complete"] is True
