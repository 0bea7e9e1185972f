"""A store that holds candles."""

import pytest
from conftest import Folder
from holding import with_something_to_do


@pytest.fixture
def filled(folder: Folder) -> Folder:
    return with_something_to_do(folder)
