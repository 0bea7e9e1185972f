"""The file of the shared budget holds anything at all: no burst, no wait without end, no traceback."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import UNPRIVILEGED, Folder, SetClock

from mdata.domain.budget import CALM_SECONDS
from mdata.domain.priority import Priority
from mdata.domain.retries import longest_block
from mdata.ratelimit import RateLimit

FILES = 200
DELAY, BACKOFF, BURST = 6.0, 60.0, 15
READ = 64 * 1024  # of a file that is larger, no more is looked at
Record = Callable[[str, object], None]

VALUES: list[Any] = [
    float("nan"), float("inf"), float("-inf"), -1, 0, 1, 1e308, 10**400, -(10**30), 2**63, "", "x", "9" * 500, None,
    True, [], {}, [[]], [None], {"id": "x"}, [{"id": "x"}], ["a"] * 1000, "\x1b[31m", "\u202e",
]  # fmt: skip


def limit_at(path: Path, clock: SetClock) -> RateLimit:
    return RateLimit(path, DELAY, BACKOFF, clock, random.Random(1).uniform, BURST)


def true_text(path: Path, rng: random.Random) -> bytes:
    """Return what a budget in use has written: requests, a refusal, waiters."""
    clock = SetClock()
    path.unlink(missing_ok=True)
    limit = limit_at(path, clock)
    for _ in range(rng.randrange(1, 12)):
        limit.acquire(Priority.UPDATE, lambda: 1)
        limit.sent()
    if rng.random() < 0.5:
        limit.refused(rng.choice([None, 1.0, 100.0, 1e9]))
    return path.read_bytes()


def cut(text: bytes, rng: random.Random) -> bytes:
    return text[: rng.randrange(len(text))]


def flipped(text: bytes, rng: random.Random) -> bytes:
    changed = bytearray(text)
    for _ in range(rng.randrange(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def noise(_: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice([0, 1, 17, 5000, 200_000]))


def other(text: bytes, rng: random.Random) -> bytes:
    return rng.choice([b"", b"null", b"[]", b"{}", b"[" * 5000, b"\x00" * 300, b"\xff\xfe{", text + text])


def of_another_boot(text: bytes, rng: random.Random) -> bytes:
    return text.replace(b'"boot_id":"test"', b'"boot_id":"another"') + b" " * rng.randrange(70_000)


def without_keys(text: bytes, rng: random.Random) -> bytes:
    found = json.loads(text)
    for name in rng.sample(sorted(found), rng.randrange(1, 5)):
        del found[name]
    return json.dumps(found).encode()


def with_values(text: bytes, rng: random.Random) -> bytes:
    found = json.loads(text)
    for name in rng.sample(sorted(found), rng.randrange(1, 5)):
        found[name] = rng.choice(VALUES)
    return json.dumps(found).encode()


def with_a_past(text: bytes, rng: random.Random) -> bytes:
    found = json.loads(text)
    found["past"][rng.choice(sorted(found["past"]))] = rng.choice(VALUES)
    return json.dumps(found).encode()


def of_another_time(text: bytes, rng: random.Random) -> bytes:
    """From the future, or from before everything: by seconds, days, years."""
    found = json.loads(text)
    shift = rng.choice([-1, 1]) * rng.choice([30.0, 86_400.0, 3e8])
    for name, value in found.items():
        if isinstance(value, float):
            found[name] = value + shift
        elif isinstance(value, int):
            found[name] = value + int(shift * 1000)
    return json.dumps(found).encode()


SPOILERS = [
    cut, flipped, noise, other, of_another_boot, without_keys, with_values, with_a_past, of_another_time,
]  # fmt: skip


def spoiled(text: bytes, rng: random.Random) -> bytes:
    """Return what some program, disk or person may have made of the text."""
    return rng.choice(SPOILERS)(text, rng)


def wait_of(limit: RateLimit, clock: SetClock) -> float:
    """Send a request, and return how long (s) it had to wait."""
    before = clock.boot
    limit.acquire(Priority.BACKFILL, lambda: 1)
    waited = clock.boot - before
    limit.sent()
    return waited


def test_two_hundred_files(tmp_path: Path, record_property: Record) -> None:
    rng, path, longest = random.Random(27), tmp_path / "state.json", 0.0
    for number in range(FILES):
        content = spoiled(true_text(path, rng), rng)
        path.write_bytes(content)
        told = number, content[:300]
        clock = SetClock()
        limit = limit_at(path, clock)
        assert limit.peek().free_now <= BURST, told
        began = clock.boot
        first = wait_of(limit, clock)
        longest = max(longest, first)
        # A block that may be true is waited out, capped; nothing is waited for longer.
        assert first <= longest_block(BACKOFF) + DELAY, told
        for _ in range(2 * BURST):
            wait_of(limit, clock)
        # Whatever was there: in any minute no more than the burst and what the delay lets through.
        assert clock.boot - began - first >= DELAY * BURST, told
        assert json.loads(path.read_bytes()[:READ])["boot_id"] == "test", told
    record_property("files of the budget", FILES)
    record_property("longest wait for a slot with one of them (s, of a simulated clock)", round(longest, 1))


@pytest.mark.parametrize("seed", range(4))
def test_no_command_minds(folder: Folder, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = folder.path / "rate-limit.json"
    folder.settings["BACKFILL_DAYS"] = "1"
    content = spoiled(true_text(tmp_path / "true.json", rng), rng)
    for command in (["status", "--json"], ["doctor", "--json"], ["backfill", "--max-runtime", "3s"]):
        path.write_bytes(content)
        ended = folder.run(*command)
        assert "Traceback" not in ended.err, (content[:300], ended.err)
        assert "bug" not in ended.err, (content[:300], ended.err)
        assert ended.exit in {0, 3, 75}, (content[:300], ended.err)
    assert json.loads(path.read_bytes()[:READ])["boot_id"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 5000])
def test_a_file_that_may_not_be_written_is_no_budget(folder: Folder, content: bytes) -> None:
    path = folder.path / "rate-limit.json"
    path.write_bytes(content)
    path.chmod(0o400)
    folder.before = [*UNPRIVILEGED]
    ended = folder.run("backfill")
    assert ended.exit == 77, ended.err
    assert "rate-limit.json" in ended.err
    assert "Traceback" not in ended.err
    assert folder.run("status").exit == 0
    assert path.read_bytes() == content
    assert folder.sandbox.requests == [], "nobody asks without a budget"


def test_a_calm_that_was_noted_far_ahead_ends_within_its_hour(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.json", SetClock()
    limit = limit_at(path, clock)
    wait_of(limit, clock)
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps({**found, "calm_until": clock.boot + 1e9}))
    clock.sleep(CALM_SECONDS + longest_block(BACKOFF) + 1)
    assert limit_at(path, clock).peek().free_now >= 1
