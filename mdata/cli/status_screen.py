"""The screen of `mdata status`; with `--watch`, it is redrawn until the user quits."""

import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import typer

from mdata import config
from mdata.cli.entry import Answer, Kit
from mdata.errors import MdataError
from mdata.logs import harmless

if TYPE_CHECKING:
    from mdata.jobs.status import Status

_SECONDS = 2.0
# systemd is queried less often: its answers do not change so fast.
_DRAWINGS_PER_QUESTION = 15

# Switch to the terminal's alternate screen and hide the cursor; and back.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_TO_THE_TOP, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_ARROWS = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O.)")


def watch(kit: Kit, *, narrowed: bool) -> Answer:
    """Redraw the screen until a key or a signal ends it."""
    if config.is_dumb() or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise typer.BadParameter(
            "it needs a terminal that can be redrawn; elsewhere, run `mdata status` repeatedly",
            param_hint="--watch",
        )
    picture = _pictures(kit, narrowed=narrowed)
    with _second_screen(), _resizes() as resized:
        while True:
            text = picture().replace("\n", f"{_CLEAR_LINE}\n")
            sys.stdout.write(_TO_THE_TOP + text + _CLEAR_BELOW)
            sys.stdout.flush()
            ready, _, _ = select.select([sys.stdin, resized], [], [], _SECONDS)
            if resized in ready:
                os.read(resized, 512)
            if sys.stdin in ready and _is_leaving(os.read(sys.stdin.fileno(), 512)):
                return Answer()


def _is_leaving(keys: bytes) -> bool:
    """Whether the user pressed q, Escape or Ctrl-D, or hung up; arrow keys also begin with Escape."""
    return not keys or bool(set(_ARROWS.sub(b"", keys)) & set(b"qQ\x1b\x04"))


def _pictures(kit: Kit, *, narrowed: bool) -> Callable[[], str]:
    """Return a function that draws the current state, or says why it cannot be read."""
    from mdata import lookups
    from mdata.jobs.status import with_next_runs

    drawings, next_runs = 0, None

    def picture() -> str:
        nonlocal drawings, next_runs
        try:
            state = lookups.find_status(kit.loaded.settings, kit.clock, narrowed=narrowed, silent=True)
        except MdataError as error:
            return f"{harmless(str(error))}\n\ntrying again; q quits\n"
        if drawings % _DRAWINGS_PER_QUESTION == 0:
            next_runs = with_next_runs(state).next_runs
        drawings += 1
        return paint(kit, state._replace(next_runs=next_runs), height=get_terminal_size().lines - 1)

    return picture


def paint(kit: Kit, state: "Status", *, height: int | None = None) -> str:
    """Return the screen in the width of the terminal, and with at most `height` lines if given."""
    from mdata import lookups, render, screen

    settings, width = kit.loaded.settings, get_terminal_size().columns
    composed = screen.compose(
        state,
        lookups.budget(settings, kit.clock),
        settings.status_max_lag_minutes * 60,
        width,
        unicode=config.wants_unicode(sys.stdout),
        hint="" if height is None else "q quits",
    )
    return render.painted(composed.lines() if height is None else composed.cut(height), width)


@contextmanager
def _second_screen() -> Iterator[None]:
    """Use the alternate screen with unbuffered, invisible key input; restore the terminal at the end."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        # Ctrl-Z would leave this screen and the hidden cursor to the shell.
        during = termios.tcgetattr(sys.stdin)
        during[6][termios.VSUSP] = b"\x00"
        termios.tcsetattr(sys.stdin, termios.TCSANOW, during)
        sys.stdout.write(_ENTER)
        yield
    finally:
        # A closed terminal needs no restoring.
        with suppress(OSError, termios.error):
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
            termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)


@contextmanager
def _resizes() -> Iterator[int]:
    """Yield a descriptor that becomes readable when the terminal is resized."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def tell(*_: object) -> None:
        with suppress(BlockingIOError):
            os.write(writer, b".")

    signal.signal(signal.SIGWINCH, tell)
    try:
        yield reader
    finally:
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        os.close(reader)
        os.close(writer)
