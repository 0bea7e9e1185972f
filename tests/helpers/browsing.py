"""A browser for the tests of pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as running:
        running.as_desk()
        yield running
