"""The process that runs the SQL of visitors; `mdata.web.workers` starts it.

It answers one query after the other, on stdin and stdout: a length, and JSON. A statement that takes too long is
interrupted. A statement inside a single function cannot be interrupted; a kernel timer then ends it together with
this process. The limits of the process stop a query that needs too much memory or disk.
"""

import base64
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from mdata.clock import SystemClock
from mdata.errors import MdataError, NotNowError, NotPermittedError
from mdata.store.connection import Connection
from mdata.store.sqlite import sqlite3
from mdata.web.source import Source

# The limits of a query: SQLite's memory, one row, all rows, the whole process, its temporary files.
_MOST_MEMORY = 32 * 1024 * 1024
_MOST_ROW = 256 * 1024
_MOST_ANSWER = 8 * 1024 * 1024
_MOST_ADDRESSES = 384 * 1024 * 1024
_MOST_ON_DISK = 256 * 1024 * 1024
# Added to the time after which a statement is interrupted.
_GRACE_SECONDS = 0.25
_STEPS_BETWEEN_LOOKS = 1000

Question = Mapping[str, Any]
WorkerReply = dict[str, Any]


class TooLongError(Exception):
    """An answer is too large; the message says in which way."""


def main(path: str) -> None:
    """Answer queries on the store at `path` until stdin ends, as it does when the server ends."""
    _stand_back()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    reader, copy = QueryReader(Path(path)), None
    while question := received(sys.stdin.buffer):
        copy = question["copy"] or copy
        try:
            answer = packed(reader.answer(question))
        except MemoryError:
            answer = packed({"error": "MemoryError", "text": ""})
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
    if copy is not None:
        # The server has ended, and may not have had the time to delete its copy.
        shutil.rmtree(Path(copy).parent, ignore_errors=True)


def _stand_back() -> None:
    """Lower this process's priority, and let it be killed first if memory is short; a systemd unit may forbid it."""
    with suppress(OSError):
        os.nice(5)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    for limit, most in ((resource.RLIMIT_AS, _MOST_ADDRESSES), (resource.RLIMIT_FSIZE, _MOST_ON_DISK)):
        with suppress(OSError, ValueError):  # a lower limit is in force already
            resource.setrlimit(limit, (most, most))


class QueryReader:
    """Answers queries on the store at `path`, or on a copy of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._source = Source(_ready, may_copy=False)

    def answer(self, question: Question) -> WorkerReply:
        """Return the rows of a query, or the error: the name of an exception, and its text."""
        try:
            try:
                return self._read(question)
            except NotNowError:
                # The store was read without locks while another process wrote; by now, that process may be done.
                return self._read(question)
        except MdataError as error:
            return {"error": "MdataError", "text": str(error), "exit": error.exit_code}
        except TooLongError as error:
            return {"error": "TooLong", "text": str(error)}
        except MemoryError:
            return {"error": "MemoryError", "text": ""}
        except (sqlite3.Error, sqlite3.Warning) as error:
            return {"error": type(error).__name__, "text": str(error)}
        except (ValueError, TypeError, ArithmeticError) as error:
            return {"error": "ValueError", "text": str(error)}

    def _read(self, question: Question) -> WorkerReply:
        copy = question["copy"]
        if copy is not None and not Path(copy).exists():
            raise NotPermittedError(f"{copy} has been replaced by a newer copy")
        told = _asked(self._source.connection(Path(copy or self._path)), question)
        self._source.confirm()
        return told


def _ready(connection: Connection) -> None:
    connection.execute(f"PRAGMA hard_heap_limit={_MOST_MEMORY}")
    connection.text_factory = _lenient


def _asked(connection: Connection, question: Question) -> WorkerReply:
    clock, seconds, most = SystemClock(), question["ms"] / 1000, question["most"]
    until = clock.boottime() + seconds
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)  # its signal, without a handler, kills the process
    connection.set_progress_handler(lambda: clock.boottime() > until, _STEPS_BETWEEN_LOOKS)
    cursor = connection.cursor()
    try:
        values = question["values"]
        cursor.execute(question["sql"], dict(values) if question["is_named"] else values)
        rows = _taken(cursor, None if most is None else most + 1)
    finally:
        cursor.close()
        signal.setitimer(signal.ITIMER_REAL, 0)
    columns = None if cursor.description is None else [column[0] for column in cursor.description]
    is_cut = most is not None and len(rows) > most
    return {"columns": columns, "rows": rows[:most], "truncated": is_cut}


def _taken(cursor: Any, most: int | None) -> list[tuple[Any, ...]]:
    """Return at most `most` rows; raise TooLongError if one row, or all rows together, are too long."""
    rows: list[tuple[Any, ...]] = []
    taken = 0
    for row in cursor:
        size = sum(len(one) if isinstance(one, str | bytes) else 8 for one in row)
        taken += size
        if size > _MOST_ROW:
            raise TooLongError(f"a row of the answer is longer than {_MOST_ROW // 1024} kB")
        if taken > _MOST_ANSWER:
            raise TooLongError(f"the answer is longer than {_MOST_ANSWER // 1024**2} MB")
        rows.append(row)
        if len(rows) == most:
            break
    return rows


def _lenient(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def packed(told: Mapping[str, Any]) -> bytes:
    """Return a message in the form for the pipe: its length in four bytes, and JSON, in which bytes are base64."""
    body = json.dumps(told, default=lambda value: {"base64": base64.b64encode(value).decode()}).encode()
    return len(body).to_bytes(4, "big") + body


def unpacked(body: bytes) -> dict[str, Any]:
    """Return the message from its packed form without the length."""
    found: dict[str, Any] = json.loads(body, object_hook=_unwrapped)
    return found


def _unwrapped(found: dict[str, Any]) -> Any:
    return base64.b64decode(found["base64"]) if found.keys() == {"base64"} else found


def received(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next message, None at the end."""
    length = stream.read(4)
    body = stream.read(int.from_bytes(length, "big"))
    return unpacked(body) if body else None
