"""A home folder of its own for settings, and what is read from an env file in it."""

from pathlib import Path

import pytest

from mdata.config import Loaded, load
from mdata.errors import ConfigurationError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder that is the current one too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def read(home: Path, content: str | bytes, **environ: str) -> Loaded:
    """Return the settings of an env file with this content."""
    env_file = home / "my.env"
    env_file.write_bytes(content.encode() if isinstance(content, str) else content)
    return load(env_file, environ={"HOME": str(home), **environ})


def refusal(home: Path, content: str | bytes) -> str:
    """Return what is said about an env file with this content, which ends with 78."""
    with pytest.raises(ConfigurationError) as caught:
        read(home, content)
    assert caught.value.exit_code == 78
    said = str(caught.value)
    assert "\n" not in said
    return said
