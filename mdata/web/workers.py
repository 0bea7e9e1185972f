"""Worker processes for the SQL of visitors: started once, and replaced when one had to be killed.

Nothing inside a process can end a statement that is inside a single function: SQLite checks neither its progress
handler nor its interrupt there. A process can be killed whatever it does.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdata.errors import NotNowError
from mdata.running.context import JobLog
from mdata.web.worker import packed, unpacked

_HOW_MANY = 4
# How many workers one visitor can occupy with one kind of request.
_OF_ONE_LANE = _HOW_MANY - 1
_MOST_SECONDS_OF_WAITING = 20.0
# A worker ends itself when its time is over; this is for one that cannot, because it is stopped.
_PATIENCE = 5.0
_PAUSE_AFTER_A_FAILURE = 1.0

# A worker uses the server's import path, and no modules from the current folder.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from mdata.web.worker import main; main(sys.argv[2])"
)

# The visitor, and whether they sent their own SQL.
Lane = tuple[str, bool]
lane: ContextVar[Lane] = ContextVar("lane", default=("", False))


class EndedError(Exception):
    """A worker was killed during a query that took too long."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query: SQL and its values, the time limit (ms), and the maximum number of rows (None: all)."""

    sql: str
    values: Mapping[str, Any] | Sequence[Any]
    ms: int
    most: int | None

    def told(self, copy: Path | None) -> dict[str, Any]:
        """Return the message for a worker; `copy` is read instead of the store."""
        is_named = isinstance(self.values, Mapping)
        values = list(self.values.items()) if isinstance(self.values, Mapping) else list(self.values)
        return {
            "sql": self.sql, "is_named": is_named, "values": values, "ms": self.ms, "most": self.most,
            "copy": None if copy is None else str(copy),
        }  # fmt: skip


class Workers:
    """Some processes that answer queries on the store at `path`, each one at a time."""

    def __init__(self, path: Path, log: JobLog) -> None:
        self._path, self._log = path, log
        self._idle: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
        self._all: set[asyncio.subprocess.Process] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._lanes: weakref.WeakValueDictionary[Lane, asyncio.Semaphore] = weakref.WeakValueDictionary()

    async def start(self) -> None:
        """Start them all; a query that comes before they are ready waits for them."""
        for _ in range(_HOW_MANY):
            self._start_one_soon()

    async def end(self) -> None:
        """Kill them all, whatever they do."""
        for task in self._starting:
            task.cancel()
        for worker in self._all:
            _kill(worker)
        await asyncio.gather(*(worker.wait() for worker in self._all))

    async def ask(self, question: Question, copy: Path | None) -> dict[str, Any]:
        """Return a worker's answer.

        Raise NotNowError if none becomes free soon, EndedError if a worker was killed during this query.
        """
        mine = lane.get()
        # Every query that waits or runs keeps a reference to the semaphore of its lane; the last one drops it.
        turn = self._lanes.setdefault(mine, asyncio.Semaphore(_OF_ONE_LANE))
        try:
            async with asyncio.timeout(_MOST_SECONDS_OF_WAITING):
                await turn.acquire()
                with _released_unless_taken(turn):
                    worker = await self._next()
        except TimeoutError:
            raise NotNowError("too many queries are running; try again in a few seconds") from None
        try:
            return await self._answer(worker, question, copy)
        finally:
            turn.release()

    async def _answer(
        self, worker: asyncio.subprocess.Process, question: Question, copy: Path | None
    ) -> dict[str, Any]:
        is_sound = False
        try:
            async with asyncio.timeout(question.ms / 1000 + _PATIENCE):
                try:
                    found = await _conversed(worker, packed(question.told(copy)))
                except (asyncio.IncompleteReadError, ConnectionError):
                    # The worker is ending. Its exit code is read before it is replaced below, because that kills it
                    # and would overwrite the code.
                    raise _ended(await worker.wait()) from None
            is_sound = True
        except TimeoutError:
            raise EndedError from None
        finally:
            if is_sound:
                self._idle.put_nowait(worker)
            else:
                self._replace(worker)
        return unpacked(found)

    async def _next(self) -> asyncio.subprocess.Process:
        """Return a free worker that is alive."""
        while (worker := await self._idle.get()).returncode is not None:
            self._replace(worker)
        return worker

    def _replace(self, worker: asyncio.subprocess.Process) -> None:
        _kill(worker)
        self._all.discard(worker)
        self._start_one_soon()

    def _start_one_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._start_one())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start_one(self) -> None:
        while True:
            try:
                worker = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path), str(self._path),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    # Ctrl-C is for the server, which finishes its requests.
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                self._log.warning(f"could not start a query process: {error.strerror}; trying again")
                await asyncio.sleep(_PAUSE_AFTER_A_FAILURE)
            else:
                self._all.add(worker)
                self._idle.put_nowait(worker)
                return


@contextlib.contextmanager
def _released_unless_taken(turn: asyncio.Semaphore) -> Iterator[None]:
    """Release the turn if the block fails, because no worker took the query then."""
    try:
        yield
    except BaseException:
        turn.release()
        raise


async def _conversed(worker: asyncio.subprocess.Process, question: bytes) -> bytes:
    assert worker.stdin is not None  # noqa: S101 - both are pipes
    assert worker.stdout is not None  # noqa: S101 - both are pipes
    worker.stdin.write(question)
    await worker.stdin.drain()
    length = int.from_bytes(await worker.stdout.readexactly(4), "big")
    return await worker.stdout.readexactly(length)


def _ended(code: int) -> Exception:
    """Return the error for the caller of a worker that ended: by its timer, for lack of memory, or by a bug."""
    if code in {-signal.SIGALRM, -signal.SIGKILL}:
        return EndedError()
    return RuntimeError(f"a query process ended unexpectedly with {code}")


def _kill(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
