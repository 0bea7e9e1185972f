"""A database's write-ahead log as bytes: the marks that transactions have left in it (`identity`).

SQLite cannot be used for this, because it would apply the log to whatever file is beside it. The format is documented
at https://sqlite.org/fileformat2.html#walformat.
"""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct

from mdata.domain.lineage import LoggedMarks, Mark
from mdata.errors import MdataError, NotPermittedError, StorageError
from mdata.store.identity import ID_BYTES

_HEADER = Struct(">8I")
_FRAME = Struct(">2I16x")
_MAGIC = 0x377F0682  # or 0x377F0683, if the checksums are over big-endian words
_PART = 1024 * 1024
# A leaf page of a table, with one row.
_LEAF, _ONE = 13, b"\0\1"
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
Read = Callable[[int], bytes]
# What a transaction has left in a log: marks, and schema numbers.
Left = tuple[list[Mark], set[int]]


def read_log(path: Path) -> LoggedMarks | None:
    """Return the marks that the transactions in the log at `path` have left, or None if there are none.

    The checksums of frames are not verified, so after the last transaction that SQLite would accept, the result may
    include one that was not committed or is partly overwritten.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            header = stream.read(_HEADER.size)
            size = _page_size(header)
            found = list(_transactions(stream.read, header[16:24], size)) if size else []
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    marks = [mark for seen, _ in found for mark in seen]
    if not marks:
        return None
    newest = marks[0]
    for mark in marks:
        if mark.previous == newest.mark:
            newest = mark
    return LoggedMarks(marks[0], newest, {mark.mark for mark in marks}, _cookies(marks[0], found))


def _cookies(first: Mark, found: list[Left]) -> set[int] | None:
    """Return the schema numbers that the file may have; None if they cannot be determined.

    That is so if the schema may have been changed before the first mark in the log.
    """
    for marks, cookies in found:
        if cookies - {first.cookie} or (cookies and not marks):
            return None
        if marks:
            break
    return {first.cookie}.union(*(cookies for _, cookies in found))


def _transactions(read: Read, salts: bytes, page: int) -> Iterator[Left]:
    """Yield, for each committed transaction of a log, its marks and the schema numbers in its copies of page 1."""
    marks: list[Mark] = []
    cookies: set[int] = set()
    for frame in _frames(read, _FRAME.size + page):
        if frame[8:16] != salts:
            return
        number, committed = _FRAME.unpack_from(frame)
        content = frame[_FRAME.size :]
        if number == 1:
            cookies.add(int.from_bytes(content[40:44], "big"))
        elif content[0] == _LEAF and content[3:5] == _ONE and (mark := parsed(content)):
            marks.append(mark)
        if committed:
            yield marks, cookies
            marks, cookies = [], set()


def _frames(read: Read, size: int) -> Iterator[memoryview]:
    part, held = max(1, _PART // size) * size, b""
    while len(held := read(part)) >= size:
        view = memoryview(held)
        for start in range(0, len(held) - size + 1, size):
            yield view[start : start + size]
        if len(held) < part:
            return  # what follows is being written right now


def _page_size(header: bytes) -> int:
    """Return the page size of a log with this header, or 0 if SQLite would not read the log."""
    if len(header) < _HEADER.size:
        return 0
    magic, _, page, _, _, _, first, second = _HEADER.unpack(header)
    if magic & ~1 != _MAGIC or _checksum(header[:24], "big" if magic & 1 else "little") != (first, second):
        return 0
    return int(page)


def _checksum(text: bytes, order: str) -> tuple[int, int]:
    words = Struct(f"{'>' if order == 'big' else '<'}{len(text) // 4}I").unpack(text)
    first = second = 0
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second


def parsed(page: "memoryview | bytes") -> Mark | None:
    """Return the mark in a page of the table `store`, or None for any other page."""
    try:
        at = int.from_bytes(page[8:10], "big")
        _, at = _varint(page, at)
        rowid, at = _varint(page, at)
        header, body = at, at + _varint(page, at)[0]
        types = []
        _, at = _varint(page, header)
        while at < body:
            kind, at = _varint(page, at)
            types.append(kind)
        if rowid != 1 or len(types) != 6 or types[:2] != [0, 13 + 2 * ID_BYTES]:
            return None
        name, numbers, at = bytes(page[body : body + ID_BYTES]), [], body + ID_BYTES
        for kind in types[2:]:
            size = _INTEGERS.get(kind, 0)
            numbers.append(int.from_bytes(page[at : at + size], "big", signed=True) if size else (kind == 9) + 0)
            at += size
        int(name, 16)
        generation, mark, previous, cookie = numbers
        return Mark(name.decode(), generation, mark, previous, cookie)
    except (IndexError, ValueError):
        return None


def _varint(page: "memoryview | bytes", at: int) -> tuple[int, int]:
    value = 0
    for step in range(9):
        byte = page[at + step]
        if step == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at + step + 1
    return value, at


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 if there is none; raise an MdataError if it cannot be determined."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> MdataError:
    if error.errno == errno.EACCES:
        return NotPermittedError(f"cannot read {path}: {error.strerror}; check its owner and mode")
    if error.errno == errno.EISDIR:
        return StorageError(
            f"{path} is a folder, but SQLite needs this name for the store's log: move the folder away"
        )
    return StorageError(f"reading {path} failed ({error.strerror}); check the disk, then run this again")
