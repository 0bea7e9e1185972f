"""The screen of `status`: what stands where at every width, on a real terminal, and while it is watched."""

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import DAY, MDATA, NOW, Folder, SetClock
from covered_series import M1, SETTLE, cover, covered_to, new_series
from rich.cells import cell_len

from mdata import screen
from mdata.domain.interval import Range
from mdata.domain.pace import Pace
from mdata.domain.timeframe import HOUR, MINUTE
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.jobs.status import Status, collect
from mdata.ratelimit import BudgetView
from mdata.running.context import Context
from mdata.screen import Screen
from mdata.store import candles, gaps, silences
from mdata.timers import owner
from mdata.timers.owner import Marker

FREE = BudgetView(NOW, Pace(6.0, 15, BITFINEX.window), 7)
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
STRIP = re.compile(r"[█▁▄▒·×]{20,}|[#_~:.x]{20,}")


@pytest.fixture
def state(context: Callable[..., Context], clock: SetClock) -> Status:
    """Five series: complete, with a hole and lost candles, early, retired, and one of which there is nothing."""
    made = context(SYMBOLS="BTCUSD,ETHUSD,TESTBTC:TESTUSD,NONUSD,XRPUSD")
    start, end = M1.floor(NOW - 100 * DAY), M1.floor(NOW - SETTLE)
    hole = Range(start + 50 * DAY, start + 50 * DAY + HOUR)
    with made.store.write() as connection:
        covered_to(connection, "tBTCUSD", NOW - SETTLE)
        holey = new_series(connection, "tETHUSD", wanted_start=start - 20 * DAY)
        times = [end - 10 * DAY + place * MINUTE for place in range(500)]
        cover(connection, holey, Range(start, hole.start), "final", [])
        cover(connection, holey, Range(hole.end, end), "final", times)
        silences.remember(connection, holey, Range(hole.end, end), times, NOW)
        candles.delete(connection, holey.id, times[:3])
        gaps.open_missing(connection, holey, [hole], NOW - 3 * HOUR)
        early = new_series(connection, "tTESTBTC:TESTUSD", wanted_start=start)
        cover(connection, early, Range(start, end), "provisional", [start])
        covered_to(connection, "tOLDUSD", NOW - 40 * DAY)
        new_series(connection, "tNONUSD", first_candle=None)
    return collect(made.settings, made.store, clock.now(), silent=True)


def shown(state: Status, width: int, *, unicode: bool = True, rate: BudgetView = FREE) -> list[str]:
    return [line.plain for line in screen.compose(state, rate, 5400, width, unicode=unicode).lines()]


def test_no_line_is_wider_than_the_terminal_and_no_fact_is_left_out(state: Status) -> None:
    for width in range(46, 240):
        lines = shown(state, width)
        assert [line for line in lines if cell_len(line) > width and str(state.path) not in line] == []
        text = " ".join(" ".join(lines).split())
        for fact in ("tBTCUSD 1m", "tETHUSD 1m", "tTESTBTC:TESTUSD 1m", "tOLDUSD 1m", "retired", "quiet", "28,863",
                     "143,997", "1 open", "found 3 h ago", "`mdata repair` can request them now", str(state.path),
                     "no candles of bitfinex:tXRPUSD 1m are stored yet: run `mdata backfill`",
                     "no process is waiting"):  # fmt: skip
            assert fact in text, f"{fact!r} is missing at {width} columns"


@pytest.mark.parametrize(("width", "lines_each"), [(140, 1), (100, 2), (60, 4)])
def test_a_series_takes_as_many_lines_as_the_terminal_is_narrow(state: Status, width: int, lines_each: int) -> None:
    composed = screen.compose(state, FREE, 5400, width, unicode=True)
    assert {len(block) for block in composed.series} <= {lines_each, lines_each + (lines_each == 4)}
    assert all(STRIP.search(block[-1].plain) for block in composed.series if "tNONUSD" not in block[0].plain)


def strips(state: Status, *, unicode: bool) -> dict[str, str]:
    found = {}
    for line in shown(state, 140, unicode=unicode):
        if (drawn := STRIP.search(line)) and line.startswith("t"):
            found[line.split()[0]] = drawn[0]
    return found


@pytest.mark.parametrize(("unicode", "present", "empty", "early", "partly", "unknown", "lost"), [
    (True, "█", "▁", "▄", "▒", "·", "×"), (False, "#", "_", "~", ":", ".", "x"),
])  # fmt: skip
def test_each_verdict_has_a_sign_of_its_own(
    state: Status, unicode: bool, present: str, empty: str, early: str, partly: str, unknown: str, lost: str
) -> None:
    drawn = strips(state, unicode=unicode)
    # Nothing in the first 20 of 120 days; one hour is missing; then the only candles, the first three lost.
    one, first, two, second, third, fourth = (
        re.escape(sign) for sign in (unknown, empty, partly, empty, lost, empty)
    )
    expected = rf"{one}+({two})?{first}+{two}{second}+{third}({re.escape(present)})?{fourth}+"
    assert re.fullmatch(expected, drawn["tETHUSD"]), drawn["tETHUSD"]
    assert set(drawn["tTESTBTC:TESTUSD"]) == {early}
    assert set(drawn["tBTCUSD"]) == {present}


def test_the_budget_says_when_and_who(state: Status) -> None:
    end, calm = NOW + 90_000, NOW + 3_690_000
    blocked = FREE._replace(
        free_now=0,
        next_request_at=end,
        blocked_until=end,
        calm_until=calm,
        refusals=2,
        waiting=("update", "backfill"),
    )
    text = " ".join(" ".join(shown(state, 100, rate=blocked)).split())
    assert "one request per 6 s, blocked until 2024-06-01 12:05:33 UTC, in 1 min 30 s;" in text
    assert "no bursts before 2024-06-01 13:05:33 UTC, because the exchange refused a request;" in text
    assert "waiting: update, backfill" in text
    assert "one request per 6 s, 7 can be sent now; no process is waiting" in " ".join(shown(state, 100))
    spent = FREE._replace(free_now=0, next_request_at=NOW + 4_000)
    assert "one request per 6 s, the next one in 4 s; no process is waiting" in " ".join(
        shown(state, 100, rate=spent)
    )


def test_what_does_not_fit_is_cut_with_the_troubled_ones_kept(state: Status) -> None:
    composed = screen.compose(state, FREE, 5400, 80, unicode=True)
    many = Screen(composed.head, composed.series * 40, composed.foot, composed.troubled * 40)
    for height in range(20, 60):
        lines = [line.plain for line in many.cut(height)]
        assert len(lines) <= height
        assert lines[-1] == composed.foot[-1].plain
        assert any("more series" in line for line in lines)
    names = [line.split()[0] for line in lines if line.startswith("t") and not line.startswith("timers")]
    assert set(names) <= {"tETHUSD", "tTESTBTC:TESTUSD", "tNONUSD", "tOLDUSD"}
    assert composed.cut(500) == composed.lines()


# --- on a terminal ---


class Terminal:
    """A pseudo-terminal with a command on it."""

    def __init__(self, folder: Folder, *arguments: str, columns: int = 80, lines: int = 24, **environ: str) -> None:
        self.master, self.slave = os.openpty()
        self.readable = select.poll()  # `select` knows no descriptor above 1023
        self.readable.register(self.master, select.POLLIN)
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.text = ""

        def take() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [MDATA, *arguments], env=folder.environ(**{"TERM": "xterm-256color", **environ}), cwd=folder.path,
            stdin=self.slave, stdout=self.slave, stderr=self.slave, preexec_fn=take,  # noqa: PLW1509 - no threads here
        )  # fmt: skip

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, until: Callable[[str], bool], seconds: float = 20.0) -> str:
        """Read on until what was read since the last call is enough; return it."""
        end, new = time.monotonic() + seconds, b""
        while not until(new.decode(errors="replace")):
            assert time.monotonic() < end, new.decode(errors="replace")
            if self.readable.poll(50):
                new += os.read(self.master, 65536)
        self.text += new.decode(errors="replace")
        return new.decode(errors="replace")

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        """Read until the command ends and return its exit code."""
        self.read(lambda _: self.process.poll() is not None)
        with suppress(OSError):
            while self.readable.poll(0):
                self.text += os.read(self.master, 65536).decode(errors="replace")
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(folder: Folder) -> Iterator[Callable[..., Terminal]]:
    """Opens terminals with a command in the folder, which holds a day of candles."""
    opened: list[Terminal] = []
    folder.run("backfill", BACKFILL_DAYS="1")

    def open_one(*arguments: str, **given: object) -> Terminal:
        opened.append(Terminal(folder, *arguments, **given))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_a_person_gets_the_screen_with_colours(terminal: Callable[..., Terminal]) -> None:
    opened = terminal("status", columns=120)
    assert opened.ended() == 0
    plain = ESCAPE.sub("", opened.text)
    assert "1 of 1 series complete" in plain
    assert STRIP.search(plain)
    assert "\x1b[32m" in opened.text
    assert "backfill  ok" in plain


def test_colour_can_be_turned_off(terminal: Callable[..., Terminal]) -> None:
    opened = terminal("status", NO_COLOR="1")
    assert opened.ended() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", opened.text)
    assert "█" in opened.text


def test_a_dumb_terminal_gets_plain_ascii(terminal: Callable[..., Terminal]) -> None:
    opened = terminal("status", TERM="dumb")
    assert opened.ended() == 0
    assert opened.text.isascii()
    assert "\x1b" not in opened.text
    assert STRIP.search(opened.text)


def test_a_terminal_without_unicode_gets_ascii(terminal: Callable[..., Terminal]) -> None:
    opened = terminal("status", PYTHONIOENCODING="ascii")
    assert opened.ended() == 0
    assert opened.text.isascii()
    assert STRIP.search(ESCAPE.sub("", opened.text))


def test_columns_say_how_wide_it_is(terminal: Callable[..., Terminal]) -> None:
    opened = terminal("status", columns=200, COLUMNS="60")
    assert opened.ended() == 0
    lines = [line for line in ESCAPE.sub("", opened.text).splitlines() if "mdata.db" not in line]
    assert max(map(len, lines)) <= 60


def test_hostile_names_are_harmless_on_a_terminal(folder: Folder, terminal: Callable[..., Terminal]) -> None:
    folder.rows("UPDATE series SET symbol = ?", "t\x1b]0;owned\x07[red]\n\u202eUSD")
    opened = terminal("status", columns=120, NO_COLOR="1")
    assert opened.ended() == 0
    assert "\x1b]" not in opened.text
    assert "\x07" not in opened.text
    assert "\u202e" not in opened.text
    assert "[red]" in opened.text


def test_watching_draws_anew_and_q_leaves_the_terminal_as_it_was(
    folder: Folder, terminal: Callable[..., Terminal]
) -> None:
    opened = terminal("status", "--watch")
    opened.read(lambda text: "q quits" in text and "\x1b[J" in text)
    assert "\x1b[?1049h" in opened.text
    folder.run("backfill", SYMBOLS="ETHUSD,BTCUSD", BACKFILL_DAYS="1", TIMEFRAMES="1h")
    opened.read(lambda text: "tBTCUSD 1h" in text and text.endswith("\x1b[J"))
    opened.resize(132, 40)
    opened.process.send_signal(signal.SIGWINCH)
    opened.read(lambda text: re.search("wanted range.*tBTCUSD 1m.*{}".format("█" * 24), text, re.DOTALL) is not None)
    opened.type("x\x1b[A\x1bOQ")
    opened.read(lambda text: text.count("q quits") > 1)
    opened.type("x\x1b[Aq")
    assert opened.ended() == 0
    assert opened.text.rstrip().endswith("\x1b[?25h\x1b[?1049l")
    assert termios.tcgetattr(opened.slave) == opened.before


@pytest.mark.parametrize(("end", "code"), [
    (lambda opened: opened.type("\x03"), 130), (lambda opened: opened.process.terminate(), 143),
    (lambda opened: opened.type("\x1b"), 0), (lambda opened: opened.type("\x04"), 0),
])  # fmt: skip
def test_however_watching_ends_the_terminal_is_as_it_was(
    terminal: Callable[..., Terminal], end: Callable[[Terminal], None], code: int
) -> None:
    opened = terminal("status", "--watch")
    opened.read(lambda text: "q quits" in text)
    end(opened)
    assert opened.ended() == code
    assert "Traceback" not in opened.text
    assert opened.text.rstrip().endswith("\x1b[?25h\x1b[?1049l")
    assert termios.tcgetattr(opened.slave) == opened.before


def test_a_terminal_that_is_closed_ends_the_watching(terminal: Callable[..., Terminal]) -> None:
    opened = terminal("status", "--watch")
    opened.read(lambda text: "q quits" in text)
    for descriptor in (opened.slave, opened.master):
        os.close(descriptor)
    opened.master, opened.slave = os.openpty()  # for the end of the test to close
    assert opened.process.wait(20) == 129


def test_watching_survives_a_store_that_cannot_be_read(folder: Folder, terminal: Callable[..., Terminal]) -> None:
    opened = terminal("status", "--watch")
    opened.read(lambda text: "1 of 1 series complete" in text)
    kept = folder.path / "kept.db"
    folder.database.rename(kept)
    folder.database.mkdir()
    opened.read(lambda text: "is a folder" in text and "trying again" in text)
    folder.database.rmdir()
    kept.rename(folder.database)
    opened.read(lambda text: "1 of 1 series complete" in text)
    opened.type("q")
    assert opened.ended() == 0


def test_watching_needs_a_terminal_that_can_be_redrawn(folder: Folder, terminal: Callable[..., Terminal]) -> None:
    ended = folder.run("status", "--watch")
    assert (ended.exit, ended.out) == (2, "")
    assert "needs a terminal" in " ".join(ended.err.split())
    opened = terminal("status", "--watch", TERM="dumb")
    assert opened.ended() == 2
    assert "\x1b[?1049h" not in opened.text
    for other in (["--check"], ["--json"], ["--prometheus", "x.prom"]):
        assert folder.run("status", "--watch", *other).exit == 2


# --- what systemd says ---


def systemctl(folder: Folder, script: str) -> dict[str, str]:
    """Put another program of the name systemctl before the machine's own; return the setting that does it."""
    (folder.path / "bin").mkdir()
    program = folder.path / "bin" / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def mark(folder: Folder, version: str = "99.0") -> None:
    owner.write(folder.database, Marker("system", "root", Path("/etc/systemd/system"), None, version))


def test_the_next_runs_come_from_the_timers(folder: Folder, terminal: Callable[..., Terminal]) -> None:
    microseconds = time.time_ns() // 1000 + 90 * 60 * 1_000_000 + 30_000_000
    rows = [("mdata-backfill.timer", microseconds), ("mdata-repair.timer", 0)]
    told = json.dumps([{"unit": unit, "next": following, "last": 0} for unit, following in rows])
    path = systemctl(folder, f"echo '{told}'")
    assert folder.run("status", "--json", **path).json["jobs"]["backfill"]["next_run_at"] is None
    mark(folder)
    assert folder.run("status", "--json", **path).json["jobs"]["backfill"]["next_run_at"].startswith("20")
    opened = terminal("status", columns=120, **path)
    assert opened.ended() == 0
    text = ESCAPE.sub("", opened.text)
    assert re.search(r"backfill  ok .* ago, next in 1 h 30 min", text)
    assert "repair    has not run yet, no next run" in text
    assert "older than this one" not in text


@pytest.mark.parametrize("script", ["exec sleep 60", "exit 1", "echo nonsense", "echo '[{}]'"])
def test_a_systemd_that_does_not_answer_costs_little(
    folder: Folder, terminal: Callable[..., Terminal], script: str
) -> None:
    mark(folder)
    opened = terminal("status", **systemctl(folder, script))
    assert opened.ended() == 0
    assert "backfill  ok" in ESCAPE.sub("", opened.text)
    assert "next run" not in opened.text


def test_units_that_are_older_than_the_tool_are_told(folder: Folder) -> None:
    mark(folder, version="0.0.9")
    ended = folder.run("status")
    assert "written by an older mdata (0.0.9)" in ended.err
    assert "`mdata timers install`" in ended.err
