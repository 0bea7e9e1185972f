"""What a WebSocket stream must survive: stalls, refusals, restarts, nonsense, cuts at every message, a slow disk."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import MDATA
from killing import strace_fault
from soaking import Soak, order, soak
from streams import forming

from mdata.sandbox.stream import Happening


def handshakes(running: Soak, status: int | None = None) -> list[Happening]:
    log = running.folder.sandbox.stream.log
    return [one for one in log if one.what == "handshake" and status in {None, one.status}]


def most_in_a_minute(happenings: list[Happening]) -> int:
    times = [one.boottime for one in happenings]
    return max((sum(start <= time < start + 60 for time in times) for start in times), default=0)


def run(running: Soak, seconds: int, *faults: dict[str, Any]) -> dict[str, Any]:
    """Stream for so long; the faults are ordered when every channel is subscribed to."""
    running.folder.sandbox.order([])
    stream = running.folder.sandbox.stream
    before, process = len(stream.log), running.start(seconds)
    channels = len(running.folder.sandbox.market.symbols())
    while faults and process.poll() is None:
        if sum(one.what == "subscribe" for one in stream.log[before:]) >= channels:
            order(running, list(faults))
            break
        time.sleep(0.01)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_silent_stall_is_noticed_within_45_seconds(tmp_path: Path) -> None:
    with soak(tmp_path, series=3, speed=15) as running:
        assert run(running, 110, {"kind": "ws-silence", "after": 20, "for": 60})["exit"] == 0
        (silence,) = running.folder.sandbox.stream.faults
        begin = silence.schedule.first
        after = next(one.at for one in handshakes(running) if one.at > begin)
        assert after - begin <= 45_000
        assert running.finish() <= 2 * 3 + 1


def test_a_server_that_closes_or_refuses_is_not_hammered(tmp_path: Path) -> None:
    with soak(tmp_path, series=2, speed=30) as running:
        closing, closed = {"kind": "ws-accept-close", "after": 10, "for": 80}, {"kind": "ws-drop", "after": 11}
        refusing = {"kind": "ws-refuse", "after": 90, "for": 50, "status": 408}
        assert run(running, 230, closing, closed, refusing)["exit"] == 0
        assert len(handshakes(running)) >= 4
        # At most one in five seconds.
        assert most_in_a_minute(handshakes(running)) <= 13
        running.finish()


def test_too_many_connects_are_followed_by_a_minute_of_patience(tmp_path: Path) -> None:
    with soak(tmp_path, series=2, speed=30) as running:
        closed = {"kind": "ws-refuse", "after": 10, "for": 30, "status": 429}
        assert run(running, 180, closed, {"kind": "ws-drop", "after": 11})["exit"] == 0
        refused, following = handshakes(running)[-2:]
        assert (refused.status, following.status) == (429, 101)
        assert following.at - refused.at >= 58_000
        running.finish()


def test_five_minutes_without_data_end_the_run(tmp_path: Path) -> None:
    with soak(tmp_path, series=2, speed=60) as running:
        closed = {"kind": "ws-refuse", "after": 20, "status": 503}
        result = run(running, 3600, closed, {"kind": "ws-drop", "after": 21})
        assert (result["exit"], result["retryable"]) == (69, True)
        assert "received no data for 5 minutes" in result["reason"]
        order(running, [{"kind": "ws-refuse", "status": 503}])
        ended = running.folder.run("stream", "--json")
        assert ended.exit == 69
        assert "45 s" in ended.json["reason"]
        assert "503" in ended.json["reason"]
        running.finish()


def test_restart_and_maintenance(tmp_path: Path) -> None:
    with soak(tmp_path, series=3, speed=30) as running:
        maintenance = {"kind": "ws-maintenance", "after": 40, "notice": 10, "for": 50, "resume": 10}
        result = run(running, 200, {"kind": "ws-restart", "after": 10, "notice": 5}, maintenance)
        assert result["exit"] == 0, result
        acts = {one.what for one in running.folder.sandbox.stream.log}
        assert {"20051", "20060"} <= acts
        running.finish()


def test_nonsense_costs_a_connection_at_most(tmp_path: Path) -> None:
    with soak(tmp_path, series=2, speed=30) as running:
        kinds = ["ws-unknown", "ws-binary", "ws-big", "ws-unknown", "ws-bad-utf8", "ws-masked"]
        faults = [{"kind": kind, "after": 20 * number} for number, kind in enumerate(kinds, 1)]
        result = run(running, 190, *faults)
        assert (result["exit"], result["outcome"]) == (0, "ok"), result
        assert len(handshakes(running)) >= 4
        running.finish()


def check_cuts(tmp_path: Path, seconds: int, speed: float) -> None:
    with soak(tmp_path, series=25, speed=speed) as running:
        # Connections are opened 5 s apart: every one is cut after a few of its messages.
        assert run(running, seconds, {"kind": "ws-drop", "after": 1, "every": 4})["exit"] == 0
        found = handshakes(running)
        assert len(found) > seconds / 12
        assert most_in_a_minute(found) <= 13
        assert forming(running.folder) == 0
        assert running.finish() <= 2 * 25 + 1


def test_cut_at_every_few_messages(tmp_path: Path) -> None:
    check_cuts(tmp_path, seconds=150, speed=30)


@pytest.mark.soak
def test_cut_at_every_few_messages_for_half_an_hour(tmp_path: Path) -> None:
    check_cuts(tmp_path, seconds=1800, speed=20)


@pytest.mark.skipif(strace_fault() is not None, reason=str(strace_fault()))
def test_a_slow_disk_loses_nothing(tmp_path: Path) -> None:
    """Every commit takes half a second of life longer while 200 messages a second of life come in."""
    with soak(tmp_path, series=10, speed=20) as running:
        running.watch(running.start(30))
        order(running, [{"kind": "ws-flood", "after": 1, "every": 20, "messages": 200}])
        traced = subprocess.Popen(
            ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync",
             "-e", "inject=fdatasync,fsync:delay_enter=500000", MDATA, "stream", "--for", "150", "--json"],
            env=running.folder.environ(), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.watch(traced)
        assert running.exits == [0, 0]
        assert not [one for one in running.folder.sandbox.stream.log if one.what == "closed" and one.status == 1006]
        running.finish()
        assert running.peak_rss < 120 * 2**20
