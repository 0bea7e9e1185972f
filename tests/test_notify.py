"""sd_notify: datagrams to a real socket, with a name in the filesystem or in the abstract space."""

import socket
from pathlib import Path

import pytest

from mdata.service_manager import Notifier


@pytest.mark.parametrize("is_abstract", [False, True])
def test_states_arrive_in_one_datagram(tmp_path: Path, is_abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(5)
        manager.bind(f"\0mdata-{tmp_path}" if is_abstract else str(tmp_path / "notify"))
        address = f"@mdata-{tmp_path}" if is_abstract else str(tmp_path / "notify")
        Notifier(address)("READY=1", "STATUS=2 channels, last candle 12:01Z")
        assert manager.recv(4096) == b"READY=1\nSTATUS=2 channels, last candle 12:01Z"


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all", "@nobody-is-there"])
def test_nobody_to_tell_is_no_error(address: str | None) -> None:
    Notifier(address)("READY=1")


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notify = Notifier(str(tmp_path / "notify"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            filler.connect(str(tmp_path / "notify"))
            with pytest.raises(BlockingIOError):  # noqa: PT012 - until it is full
                while True:
                    filler.send(b"x" * 100)
        notify("WATCHDOG=1")
