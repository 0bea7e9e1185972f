"""Many commands in one process, as a notebook or a test may run them."""

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from adversary import MakeLife, exchange, life

__all__ = ["exchange", "life"]


def held() -> tuple[int, int]:
    """Return how many descriptors are open, and how many threads run."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.parametrize("command", ["backfill", "repair", "status", "verify"])
def test_commands_leave_no_descriptor_and_no_thread(life: MakeLife, wait: Callable[..., None], command: str) -> None:
    given = life("tBTCUSD", "1")
    given.do(command)
    before = held()
    for _ in range(3):
        given.do(command)
    wait(lambda: held() == before)
