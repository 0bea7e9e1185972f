"""Candles as JSON lines on stdout, without ever delaying the work.

A separate thread writes from a bounded buffer. A reader that stalls or closes the pipe misses the rest.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from mdata.domain.candle import Candle
from mdata.domain.times import iso
from mdata.fetching.wanted import Target

# Bytes that may wait for the reader: tens of thousands of candles.
MOST_WAITING = 8 * 1024 * 1024
# How long (s) a reader may take for the rest when the work has ended.
_END_SECONDS = 2.0


class Lines:
    """Writes candles to the file descriptor `fd`; calls `warn` once if it has to stop."""

    def __init__(self, fd: int, warn: Callable[[str], None]) -> None:
        self._fd, self._warn = fd, warn
        self._waiting = bytearray()
        self._is_over = self._has_left_off = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def tell(self, target: Target, candles: Iterable[Candle]) -> None:
        """Queue candles to be written: new ones, and those that a late message corrected."""
        text = "".join(json.dumps(_line(target, candle)) + "\n" for candle in candles)
        with self._changed:
            if self._has_left_off:
                return
            self._waiting += text.encode()
            self._changed.notify()
            is_full = len(self._waiting) > MOST_WAITING
        if is_full:
            self._leave_off("does not read them")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join(_END_SECONDS)
        if self._thread.is_alive():
            self._leave_off("did not read the last of them", "they are left out")

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_over:
                    self._changed.wait()
                batch = bytes(self._waiting)
                self._waiting.clear()
            if not batch or self._has_left_off:
                return
            try:
                while batch:
                    batch = batch[os.write(self._fd, batch) :]
            except OSError as error:
                self._leave_off(f"has gone ({error.strerror})")
                return

    def _leave_off(self, why: str, then: str = "the stream continues without printing them") -> None:
        """Warn, and discard all further output, which would otherwise wait for the same reader."""
        with self._changed:
            if self._has_left_off:
                return
            self._has_left_off = True
            self._waiting.clear()
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
            os.dup2(nowhere.fileno(), self._fd)
        self._warn(f"the reader of the lines {why}; {then}")


def _line(target: Target, candle: Candle) -> dict[str, object]:
    open_time, open_, high, low, close, volume = candle
    return {
        "exchange": target.venue.name,
        "symbol": target.symbol,
        "timeframe": target.timeframe.name,
        "open_time": open_time,
        "time": iso(open_time),
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
    }
