"""What is installed: by exact versions, as root by hashes only, and from no index that a file of ours names."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mdata import extras

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-build.lock")
PINNED = re.compile(r"([A-Za-z0-9._-]+)==(\S+)(?: ; .+)? \\\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(name: str) -> dict[str, str]:
    return {plain(found[1]): found[2] for found in PINNED.finditer((ROOT / name).read_text())}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_is_nothing_but_versions_and_hashes(name: str) -> None:
    assert PINNED.sub("", (ROOT / name).read_text()) == ""


@pytest.mark.parametrize("name", LOCKS)
def test_it_has_the_versions_that_everybody_else_gets(name: str) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = {plain(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}
    # On Windows; and what an environment brings, which Datasette asks for.
    only_elsewhere = {"colorama", "pip", "setuptools"}
    assert {key: constraints.get(key) for key in versions(name).keys() - only_elsewhere} == {
        key: version for key, version in versions(name).items() if key not in only_elsewhere
    }


def test_everything_that_the_project_asks_for_is_locked() -> None:
    optional = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *optional["web"], *optional["prometheus"]]
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(versions("requirements.lock")[plain(requirement.name)])
    for requirement in map(Requirement, PROJECT["build-system"]["requires"]):
        assert requirement.specifier.contains(versions("requirements-build.lock")[plain(requirement.name)])


def test_no_file_names_an_index() -> None:
    for path in [*ROOT.glob("constraints*.txt"), *ROOT.glob("requirements*.lock"), ROOT / "Makefile"]:
        for option in ("--index-url", "--extra-index-url", "--find-links", "--trusted-host", "://"):
            assert option not in path.read_text().replace(f"--no-emit{option[1:]}", ""), path


def test_root_installs_by_hash_and_builds_with_what_is_locked() -> None:
    script = (ROOT / "systemd" / "install-system.sh").read_text()
    installs = re.findall(r"^.*/pip\"? (?:install|wheel) .*$", script, re.MULTILINE)
    assert len(installs) == 3
    for line in installs:
        assert "--no-deps" in line
        assert "--require-hashes" in line or "--no-index" in line


def test_the_advice_is_for_what_the_project_asks_for() -> None:
    optional = PROJECT["project"]["optional-dependencies"]
    assert any(one.startswith(f"{extras.SQLITE};") for one in PROJECT["project"]["dependencies"])
    assert optional == {
        "web": [extras.DATASETTE],
        "prometheus": [extras.PROMETHEUS],
        "numpy": [extras.NUMPY],
        "pandas": [extras.PANDAS, extras.NUMPY],
        "polars": [extras.POLARS, extras.NUMPY],
        "parquet": [extras.PYARROW],
        "lake": [extras.DELTALAKE, extras.OBSTORE],
        "all": ["mdata-candles[web,prometheus,parquet,lake]"],
    }


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"pipx_metadata.json": "{}"}, "pipx inject mdata-candles 'datasette>=0.65,<1'"),
        ({"uv-receipt.toml": ""}, "uv pip install --python {place}/bin/python 'datasette>=0.65,<1'"),
        ({"pyvenv.cfg": "home = /usr/bin\n"}, "{place}/bin/python -m pip install 'datasette>=0.65,<1'"),
        ({"pyvenv.cfg": "uv = 0.13.9\n"}, "uv pip install --python {place}/bin/python 'datasette>=0.65,<1'"),
        # uv made it, and pip is there all the same.
        (
            {"pyvenv.cfg": "uv = 0.13.9\n", "lib/python3.12/site-packages/pip/__init__.py": ""},
            "{place}/bin/python -m pip install 'datasette>=0.65,<1'",
        ),
        ({}, "{place}/bin/python -m pip install 'datasette>=0.65,<1'"),
    ],
)
def test_the_advice_names_the_environment_that_is_running(
    tmp_path: Path, files: dict[str, str], command: str
) -> None:
    place = tmp_path / "mdata-candles"
    place.mkdir()
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    assert extras.install(extras.DATASETTE, place) == command.format(place=place)


def test_the_advice_here_is_for_this_interpreter() -> None:
    assert extras.install("x") == f"{sys.executable} -m pip install x"


def test_the_distribution_has_a_name_of_its_own() -> None:
    assert PROJECT["project"]["name"] == "mdata-candles"
    assert PROJECT["project"]["scripts"] == {"mdata": "mdata.cli.main:run"}
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "mdata").rglob("*.py")]:
        assert not re.search(r"\bmdata\[|install '?mdata\b(?!-candles)", page.read_text()), page
