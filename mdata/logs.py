"""Messages on stderr: plain lines for a terminal or a pipe, `<N>` priorities for the journal.

A message may contain foreign text (from the exchange, from a file), so everything is made harmless here: control
and formatting characters are shown as escapes.
"""

import sys
import unicodedata
from typing import Literal, TextIO

Level = Literal["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR"]
LEVELS: dict[str, int] = {"DEBUG": 7, "INFO": 6, "NOTICE": 5, "WARNING": 4, "ERROR": 3}
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def harmless(text: str) -> str:
    """Return `text` with control, formatting and line-breaking characters written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if unicodedata.category(character) not in _UNSEEN else repr(character)[1:-1] for character in text
    )


class StderrLog:
    """Writes one line per message of at least `level`; with `priorities`, in the form for the journal.

    Without a `stream` it writes to the current stderr: while a progress bar is shown, its lines therefore appear
    above the bar.
    """

    def __init__(self, stream: TextIO | None, level: str, *, priorities: bool) -> None:
        self._stream, self._level, self._priorities = stream, level, priorities
        self._last, self._repeats = "", 0

    def to(self, stream: TextIO) -> "StderrLog":
        """Return the same log, but always on `stream`."""
        return StderrLog(stream, self._level, priorities=self._priorities)

    def debug(self, text: str) -> None:
        """Log a detail for debugging."""
        self._write("DEBUG", text)

    def info(self, text: str) -> None:
        """Log what happens."""
        self._write("INFO", text)

    def notice(self, text: str) -> None:
        """Log how a run ended."""
        self._write("NOTICE", text)

    def warning(self, text: str) -> None:
        """Log what a person should look at."""
        self._write("WARNING", text)

    def error(self, text: str) -> None:
        """Log what went wrong."""
        self._write("ERROR", text)

    def say(self, level: Level, text: str) -> None:
        """Log at a level that the caller chooses."""
        self._write(level, text)

    def _folded(self, text: str) -> list[str]:
        """Return the lines to display; for a repeated message its count, at increasing intervals."""
        if text == self._last:
            self._repeats += 1
            is_told = self._repeats & (self._repeats + 1) == 0
            return [f"the same message, {self._repeats + 1} times so far"] if is_told else []
        self._last, self._repeats = text, 0
        return [text]

    def _write(self, level: str, text: str) -> None:
        if LEVELS[level] > LEVELS[self._level]:
            return
        stream = self._stream or sys.stderr
        try:
            for line in self._folded(text) if stream.isatty() else (text,):
                prefix = f"<{LEVELS[level]}>" if self._priorities else "mdata: "
                stream.write(f"{prefix}{harmless(line)}\n")
            stream.flush()
        except (OSError, ValueError):
            # Nobody reads stderr any more; the work continues, and the exit code still tells the result.
            pass
