"""Which symbols belong to which host of several: by their names alone, so that a new pair moves no other."""

from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32


class Share(NamedTuple):
    """Share `number`, counted from 1, of `of` shares."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, symbol: str) -> bool:
        """Whether a symbol belongs to this share."""
        return crc32(symbol.encode()) % self.of == self.number - 1

    def of_these(self, symbols: Iterable[str]) -> tuple[str, ...]:
        """Return those symbols that belong to this share, in their order."""
        return tuple(symbol for symbol in symbols if self.has(symbol))
