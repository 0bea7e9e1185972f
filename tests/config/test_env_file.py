"""The env file as a file: which one is read, what it may be, how settings are listed, and the template."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import MDATA, UNPRIVILEGED
from settings_home import home, read

from mdata.config import env_file_text, find_env_file, load
from mdata.config.init_file import write_env_file
from mdata.config.listed import listing
from mdata.config.table import SETTINGS
from mdata.errors import ConfigurationError, NotPermittedError

__all__ = ["home"]

SECRET = "hunter2"


# --- which file, and what it may be


def test_the_first_file_that_exists_is_in_effect(home: Path) -> None:
    environ = {"HOME": str(home)}
    assert find_env_file(None, environ, home) is None
    own = home / ".config/mdata/mdata.env"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_env_file(None, environ, home) == own
    elsewhere = home / "xdg/mdata/mdata.env"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.touch()
    assert find_env_file(None, {**environ, "XDG_CONFIG_HOME": str(home / "xdg")}, home) == elsewhere
    here = home / ".env"
    here.touch()
    assert find_env_file(None, environ, home) == here
    named = home / "named.env"
    named.touch()
    environ["MDATA_ENV_FILE"] = "~/named.env"
    assert find_env_file(None, environ, home) == named
    assert find_env_file(Path("named.env"), environ, home) == named
    assert find_env_file(own, environ, home) == own


@pytest.mark.parametrize("named", ["missing.env", "folder", "~nobody-of-this-name/x", "a" * 300])
def test_a_named_file_must_exist(home: Path, named: str) -> None:
    (home / "folder").mkdir()
    for explicit, environ in ((Path(named), {}), (None, {"MDATA_ENV_FILE": named})):
        with pytest.raises(ConfigurationError, match=r"the env file .* does not exist|cannot find the env file"):
            load(explicit, environ={"HOME": str(home), **environ})


def test_the_file_may_be_a_pipe(home: Path) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"SETTLE_SECONDS=7\n")
        os.close(writing)
        loaded = load(Path(f"/dev/fd/{reading}"), environ={"HOME": str(home)})
    finally:
        os.close(reading)
    assert loaded.settings.settle_seconds == 7


def test_a_file_that_may_not_be_read(home: Path) -> None:
    (home / ".env").touch(0o000)
    ended = subprocess.run(
        [*UNPRIVILEGED, MDATA, "config"], env={"HOME": str(home), "PATH": os.environ["PATH"]}, cwd=home,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 77
    assert ".env: Permission denied" in ended.stderr


def test_a_current_folder_that_is_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = home / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigurationError, match="the current folder was removed"):
        load(environ={"HOME": str(home)})


def test_the_environment_is_left_alone(home: Path) -> None:
    before = dict(os.environ)
    read(home, "SETTLE_SECONDS=7\nMY_OWN=1\n")
    assert dict(os.environ) == before


def test_unknown_names_are_warned_about_in_files_only(home: Path) -> None:
    loaded = read(home, "SYMBOL=BTCUSD\nlog_level=INFO\nZZZ=1\n", BACKFIL_DAYS="3")
    assert len(loaded.warnings) == 3
    symbol, level, other = loaded.warnings
    assert f"{home / 'my.env'}:1: " in symbol
    assert "did you mean SYMBOLS?" in symbol
    assert "did you mean LOG_LEVEL?" in level
    assert "ZZZ" in other
    assert "did you mean" not in other


@pytest.mark.parametrize(
    ("mode", "content", "warned"),
    [
        (0o600, "PING_URL=https://example.org/a\n", False),
        (0o640, "PING_URL=https://example.org/a\n", False),
        (0o644, "PING_URL=https://example.org/a\n", True),
        (0o604, "NOTIFY_COMMAND=mail me\n", True),
        (0o644, "PING_URL=\n", False),
        (0o644, "LOG_LEVEL=INFO\n", False),
    ],
)
def test_a_secret_that_everybody_can_read_is_warned_about(home: Path, mode: int, content: str, warned: bool) -> None:
    (home / "my.env").touch()
    (home / "my.env").chmod(mode)
    warnings = read(home, content).warnings
    assert [f"chmod o-r {home / 'my.env'}" in one for one in warnings] == [True] * warned


# --- the listing and the template


def test_the_listing_reads_back_as_the_same_settings(home: Path) -> None:
    loaded = read(
        home,
        "SYMBOLS=BTCUSD,AVAX:USD\nTIMEFRAMES=1m,1M\nRETENTION_DAYS_BY_TIMEFRAME=1m=365,5m=730\nRATE_LIMIT_DELAY=.5\n"
        "REST_UPDATE_ENABLED=on\nPROMETHEUS_TEXTFILE=/run/mdata.prom\nBITFINEX_REST_URL=http://[::1]:1/v2\n"
        "BITFINEX_WS_URL=ws://localhost:1\nMDATA_REHEARSAL=1717243443000,12.5,600\n",
    )
    shown = {row.name: row.value for row in listing(loaded)}
    assert load(Path("/dev/null"), environ={"HOME": str(home), **shown}).settings == loaded.settings


def test_the_listing_does_not_show_secrets(home: Path) -> None:
    loaded = read(home, f"PING_URL=https://example.org/{SECRET}\nNOTIFY_COMMAND=mail {SECRET}\n")
    rows = {row.name: row for row in listing(loaded)}
    assert list(rows) == [setting.name for setting in SETTINGS]
    assert rows["PING_URL"].value == rows["NOTIFY_COMMAND"].value != ""
    assert rows["PING_URL"].origin == f"{home / 'my.env'}:1"
    assert SECRET not in repr(rows)


def test_the_template_means_the_defaults(home: Path) -> None:
    text = env_file_text()
    loaded = read(home, text)
    assert loaded.warnings == ()
    assert loaded.settings == load(Path("/dev/null"), environ={"HOME": str(home)}).settings
    # Every setting stands in it once; uncommenting one that has no default still means "not set".
    bare = [line.removeprefix("# ").partition("=")[0] for line in text.splitlines()]
    assert [bare.count(setting.name) for setting in SETTINGS] == [1] * len(SETTINGS)
    without = "\n".join(f"{one.name}={one.default}" for one in SETTINGS)
    assert read(home, without).settings == loaded.settings


@pytest.mark.parametrize("here", [True, False])
def test_init_never_overwrites(home: Path, here: bool) -> None:
    environ = {"HOME": str(home)}
    path = write_env_file(here=here, environ=environ)
    assert path == (home / ".env" if here else home / ".config/mdata/mdata.env")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("LOG_LEVEL=DEBUG\n")
    with pytest.raises(ConfigurationError, match="exists already"):
        write_env_file(here=here, environ=environ)
    assert path.read_text() == "LOG_LEVEL=DEBUG\n"
    path.unlink()
    path.symlink_to(home / "nowhere")
    with pytest.raises(ConfigurationError, match="exists already"):
        write_env_file(here=here, environ=environ)
    assert not (home / "nowhere").exists()


def test_init_below_a_file_is_refused(home: Path) -> None:
    (home / ".config").touch()
    with pytest.raises(NotPermittedError, match="cannot create the folder"):
        write_env_file(here=False, environ={"HOME": str(home)})
