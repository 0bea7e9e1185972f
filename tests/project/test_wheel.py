"""The built wheel, installed into an environment of its own: complete, and at work far from the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from checkouts import HERE, checked_out
from conftest import Folder
from tab_key import press_tab


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, HERE], check=True, timeout=300, cwd=folder)
    (found,) = folder.glob("mdata_candles-*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Path:
    """Install the wheel beside the libraries of this environment, and return the folder of its programs."""
    folder = wheel.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=300)
    python = folder / "bin" / "python"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "--python",
        python,
    ]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True, timeout=300)
    (packages,) = folder.glob("lib/python*/site-packages")
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    # What stands later in the path: the wheel's own mdata comes first.
    (packages / "libraries.pth").write_text(f"{libraries}\n")
    return folder / "bin"


def test_the_wheel_holds_every_module_and_unit(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(HERE)) for path in (HERE / "mdata").rglob("*.py")}
    assert modules <= names
    assert "mdata/py.typed" in names
    assert any(name.endswith("mdata-backfill.timer") for name in names)
    assert not [name for name in names if name.startswith(("tests", "docs", "bench", "demo"))]


def test_it_works_far_from_the_checkout(folder: Folder, installed: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [installed / "mdata", *arguments], env=folder.environ(BACKFILL_DAYS="2"), cwd=folder.path, text=True,
            capture_output=True, check=False, timeout=120,
        )  # fmt: skip

    place = subprocess.run(
        [installed / "python", "-c", "import mdata; print(mdata.__file__)"], cwd=folder.path, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert str(installed.parent) in place.stdout
    assert run("--version").stdout.startswith("mdata ")
    assert f"(commit {checked_out()}," in run("--version").stdout
    for arguments in (["backfill"], ["detect-gaps"], ["repair"], ["status", "--check"], ["timers", "show", "--cron"]):
        ended = run(*arguments)
        assert ended.returncode == 0, ended.stderr


def test_it_completes_there(folder: Folder, installed: Path) -> None:
    assert press_tab(folder, "det", programs=installed) == ["detect-gaps"]
    assert press_tab(folder, "status", "-s", "tB", programs=installed) == ["tBTCUSD"]
