"""What `make docs` (cog) writes into the Markdown files: help texts, tables, and screens of real commands.

Screens come from a rehearsal: the real commands, a sandbox exchange, and one clock for both that only moves
when a program sleeps. They are therefore the same on every machine and every day, and `make check` compares them.
"""

import os
import re
import signal
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from fcntl import ioctl
from functools import cmp_to_key
from json import dumps, loads
from pathlib import Path
from shlex import split
from termios import TIOCSWINSZ
from unittest.mock import patch

import typer

from mdata.cli import entry
from mdata.cli.main import COMMANDS, HIDDEN, app
from mdata.config.table import CATEGORIES
from mdata.domain.interval import Range
from mdata.domain.times import parse_instant
from mdata.exit_codes import EXIT_CODES, worst
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import RateRule, Sandbox
from mdata.store import schema_docs
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3

NOW = "2026-11-02T12:04:03Z"
HOME = "/home/you"
_WIDTH = 100
_HOUR = 3_600_000
VISIBLE = [name for name in COMMANDS if name not in HIDDEN]


class LeapingClock:
    """A clock that stands still, and leaps when a program sleeps."""

    def __init__(self, now: int) -> None:
        self._wall, self._boot = now, 1000.0

    def now(self) -> int:
        """Return the wall time, ms UTC."""
        return self._wall

    def boottime(self) -> float:
        """Return seconds since a simulated boot."""
        return self._boot

    def boot_id(self) -> str:
        """Return the name of that boot."""
        return "rehearsal"

    def sleep(self, seconds: float) -> None:
        """Leap."""
        self._boot += max(0.0, seconds)
        self._wall += int(max(0.0, seconds) * 1000)

    def real(self, seconds: float) -> float:
        """Return `seconds`: waiting for another process takes real time."""
        return seconds


class Rehearsal:
    """A home folder, an exchange with two pairs, and a clock; `screen` returns what a terminal shows in it."""

    def __init__(self, **settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mdata-docs-")
        self._clock = LeapingClock(parse_instant(NOW, 0))
        now = self._clock.now()
        night = Range(now - 30 * _HOUR, now - 28 * _HOUR)
        pairs = Pair("tBTCUSD", price=95_000.0), Pair("tETHUSD", density=0.9, holes=(night,), price=3_500.0)
        market = Market({pair.symbol: pair for pair in pairs})
        self._sandbox = Sandbox(market, self._clock, rule=RateRule(0)).__enter__()
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": self._folder.name, "LANG": "C.UTF-8",
            "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(_WIDTH),
        }  # fmt: skip
        told = {
            "BITFINEX_REST_URL": self._sandbox.rest_url, "BITFINEX_WS_URL": self._sandbox.ws_url,
            "RATE_LIMIT_STATE_PATH": f"{self._folder.name}/.local/state/mdata/rate-limit.json", **settings,
        }  # fmt: skip
        lines = "".join(f"{name}={value}\n" for name, value in told.items())
        Path(self._folder.name, ".env").write_text(lines, encoding="utf-8")

    def wait(self, hours: float) -> None:
        """Let time pass."""
        self._clock.sleep(hours * 3600)

    def run(self, command: str, exit_code: int = 0) -> str:
        """Run a command at its own terminal and return what that shows; it must end with `exit_code`."""
        program, *arguments = split(command)
        if program == "sqlite3":
            return self._sqlite3(*arguments)
        environment = patch.dict(os.environ, self._environment, clear=True)
        clock = patch.object(entry, "clock_of", lambda _: self._clock)
        with environment, clock, _folder(self._folder.name), _signals(), _terminal() as shown:
            try:
                app(arguments, prog_name="mdata")
            except SystemExit as end:
                code = end.code
        if code != exit_code:
            raise AssertionError(f"`{command}` ended with {code}, not {exit_code}:\n{''.join(shown)}")
        text = "".join(shown).replace("\r\n", "\n").replace(self._folder.name, HOME)
        # Remove bold letters, and the machine's own SQLite version; everything else is the same everywhere.
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        text = re.sub(r"SQLite 3\.\d+\.\d+", "SQLite 3.53.4", text)
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    def _sqlite3(self, database: str, statement: str) -> str:
        """Return what SQLite's own command line would show, because not every machine has it."""
        connection = sqlite3.connect(Path(self._folder.name, database.removeprefix("~/")))
        rows = connection.execute(statement).fetchall()
        connection.commit()
        connection.close()
        return "".join(f"{'|'.join(map(str, row))}\n" for row in rows)

    def screen(self, *commands: str, exit_code: int = 0) -> str:
        """Return a Markdown block of commands and their output; the last one must end with `exit_code`."""
        *before, last = commands
        shown = [f"$ {command}\n{self.run(command)}" for command in before]
        if exit_code:
            return _console(
                "".join(shown) + f'$ {last}; echo "exit $?"\n{self.run(last, exit_code)}exit {exit_code}\n'
            )
        return _console("".join(shown) + f"$ {last}\n{self.run(last)}")

    def json(self, command: str, exit_code: int = 0) -> str:
        """Return a Markdown block with the JSON object that a command prints, indented."""
        text = self.run(f"{command} --json", exit_code)
        found = next(line for line in text.splitlines() if line.startswith("{"))
        text = dumps(loads(found), indent=2)
        for key, value in (("sqlite_version", '"3.53.4"'), ("pid", "4321"), ("host", '"here"')):
            text = re.sub(rf'"{key}": [^,\n]+', f'"{key}": {value}', text)
        return f"```json\n{text}\n```\n"


def typed(*commands: str) -> str:
    """Return a Markdown block of commands that are only shown here, and run by a test."""
    return _console("".join(f"$ {command}\n" for command in commands))


def _console(text: str) -> str:
    return f"```console\n{text}```\n"


@contextmanager
def _folder(name: str) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(name)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _signals() -> Iterator[None]:
    """Restore the signal handlers that a command replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _terminal() -> Iterator[list[str]]:
    """Make stdout and stderr a terminal, and collect what is written to it."""
    master, slave = os.openpty()
    ioctl(slave, TIOCSWINSZ, struct.pack("HHHH", 50, _WIDTH, 0, 0))
    shown: list[str] = []

    def collect() -> None:
        # Reading from a terminal that no process has open any more is an error; here it is the end.
        with suppress(OSError), os.fdopen(master, encoding="utf-8", newline="") as stream:
            for line in stream:
                shown.append(line)  # noqa: PERF402 - what came before the error is kept

    reader = threading.Thread(target=collect)
    reader.start()
    terminal = os.fdopen(slave, "w", encoding="utf-8", newline="")
    with terminal, redirect_stdout(terminal), redirect_stderr(terminal):
        yield shown
    reader.join()


def help_of(*command: str) -> str:
    """Return a Markdown block with the help text of a command, or of mdata itself."""
    with patch.dict(os.environ, {"COLUMNS": "80", "TERM": "dumb"}), _terminal() as shown, suppress(SystemExit):
        app([*command, "--help"], prog_name="mdata")
    text = "".join(shown).replace("\r\n", "\n").strip("\n")
    return "```text\n" + "".join(f"{line.rstrip()}\n" for line in text.splitlines()) + "```\n"


def commands() -> str:
    """Return a heading and the help text for every subcommand, and below it for its own subcommands."""
    parts = []
    for name in VISIBLE:
        parts.append(f"### `mdata {name}`\n\n{help_of(name)}")
        parts += [f"#### `mdata {name} {part}`\n\n{help_of(name, part)}" for part in parts_of(name)]
    return "\n".join(parts)


def parts_of(command: str) -> list[str]:
    """Return the subcommands of a subcommand."""
    group = typer.main.get_command(app)
    found = group.get_command(typer.Context(group), command)  # type: ignore[attr-defined]
    return list(getattr(found, "commands", ()))


def exit_codes() -> str:
    """Return the table of exit codes."""
    rows = [
        (
            one.text,
            one.meaning,
            f"`{one.outcome}`",
            "yes" if one.is_retryable else "",
            "" if one.is_green else "fails",
        )
        for one in EXIT_CODES
    ]
    return _table(("code", "meaning", "`outcome`", "`retryable`", "unit"), rows)


def severity() -> str:
    """Return the sentences that say which of several exit codes wins, and after which another run may help."""
    codes = [number for one in EXIT_CODES for number in one.numbers if 0 < number < 128]
    ranked = sorted(codes, key=cmp_to_key(lambda one, other: -1 if worst(one, other) == one else 1))
    *most, last = (one.text for one in EXIT_CODES if one.is_retryable)
    return (
        "If several things went wrong in one run, the most severe decides the code: a signal, then\n"
        f"{', '.join(map(str, ranked))}.\n"
        f"After {', '.join(most)} and {last} a later run of the command may get further; the message says when.\n"
    )


def units_codes() -> str:
    """Return the sentences that say which exit codes fail a unit."""
    *most, last = (number for one in EXIT_CODES for number in one.numbers if one.is_green)
    *failing, worst_code = (one.text for one in EXIT_CODES if not one.is_green)
    return (
        f"- **Exit codes in systemd.** {', '.join(map(str, most))} and {last} count as success, because none\n"
        f"  of them needs a person. {', '.join(failing)} and {worst_code} fail the unit and raise\n"
        "  [the alarm](#the-alarm).\n"
        "  systemd kills a job that hangs beyond its limit.\n"
    )


def settings() -> str:
    """Return a table of settings for each category."""
    parts = []
    for category, group in CATEGORIES.items():
        rows = [(f"`{one.name}`", f"`{one.default}`" if one.default else "", one.help) for one in group]
        parts.append(f"**{category}**\n\n" + _table(("setting", "default", "meaning"), rows))
    return "\n".join(parts)


def schema() -> str:
    """Return what each table and column of the store means, and the statements that make a new store."""
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder, "mdata.db")) as store, store.read() as rows:
        found = rows.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL "
            "AND tbl_name NOT IN ('_sqlite_migrations', 'sqlite_sequence') ORDER BY rowid"
        ).fetchall()
    meanings = "\n".join(
        f"**`{name}`**: {table.meaning}\n\n"
        + _table(("column", "meaning"), [(f"`{column}`", _meaning(told)) for column, told in table.columns.items()])
        for name, table in schema_docs.TABLES.items()
    )
    # The comments of a released migration never change; the sentences above are what they say today.
    statements = (re.sub(r"(?m)^\s*--.*\n|\s*--.*$", "", statement) for (statement,) in found)
    return meanings + "\nA new store is made by these statements:\n\n```sql\n" + ";\n".join(statements) + ";\n```\n"


def _meaning(column: schema_docs.Column) -> str:
    """Return what a column means, with its unit; the reference says once that times are in milliseconds."""
    return column.meaning if column.unit == schema_docs.INSTANT else column.text


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
