"""Worker processes for the SQL of visitors: started once, and again when one had to be ended.

Nothing inside a process ends a statement that is in the midst of one function: neither SQLite's progress handler nor
its interrupt is looked at there. A process can be ended whatever it does.
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
# One visitor, asking for one kind of thing, keeps at most so many of them busy.
_OF_ONE_LANE = _HOW_MANY - 1
_MOST_SECONDS_OF_WAITING = 20.0
# A worker ends itself when its time is over; this is for one that cannot, as it was stopped.
_PATIENCE = 5.0
_PAUSE_AFTER_A_FAILURE = 1.0

# Has the modules of the server, wherever that found them, and none that lies about where it was started.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from mdata.web.worker import main; main(sys.argv[2])"
)

# Who asks, and whether for SQL of their own.
Lane = tuple[str, bool]
lane: ContextVar[Lane] = ContextVar("lane", default=("", False))


class EndedError(Exception):
    """A worker was ended in the midst of a question, for it took too long."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask: SQL and its values, for how long (ms), and for how many rows (None: all)."""

    sql: str
    values: Mapping[str, Any] | Sequence[Any]
    ms: int
    most: int | None

    def told(self, copy: Path | None) -> dict[str, Any]:
        """Return it as a worker understands it; `copy` is to be read in the place of the store."""
        is_named = isinstance(self.values, Mapping)
        values = list(self.values.items()) if isinstance(self.values, Mapping) else list(self.values)
        return {
            "sql": self.sql, "is_named": is_named, "values": values, "ms": self.ms, "most": self.most,
            "copy": None if copy is None else str(copy),
        }  # fmt: skip


class Workers:
    """Some processes that answer questions about the store at `path`, each one at a time."""

    def __init__(self, path: Path, log: JobLog) -> None:
        self._path, self._log = path, log
        self._idle: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
        self._all: set[asyncio.subprocess.Process] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._lanes: weakref.WeakValueDictionary[Lane, asyncio.Semaphore] = weakref.WeakValueDictionary()

    async def start(self) -> None:
        """Start them all; those that ask before they are there wait for them."""
        for _ in range(_HOW_MANY):
            self._start_one_soon()

    async def end(self) -> None:
        """End them all, whatever they do."""
        for task in self._starting:
            task.cancel()
        for worker in self._all:
            _kill(worker)
        await asyncio.gather(*(worker.wait() for worker in self._all))

    async def ask(self, question: Question, copy: Path | None) -> dict[str, Any]:
        """Return a worker's answer.

        Raise NotNowError where none gets free soon, EndedError where one was ended for this.
        """
        mine = lane.get()
        # Whoever waits or asks holds the semaphore of the lane; the last one lets go of it.
        turn = self._lanes.setdefault(mine, asyncio.Semaphore(_OF_ONE_LANE))
        try:
            async with asyncio.timeout(_MOST_SECONDS_OF_WAITING):
                await turn.acquire()
                with _released_unless_taken(turn):
                    worker = await self._next()
        except TimeoutError:
            raise NotNowError(
                "too many queries are being answered at the moment; ask again in a few seconds"
            ) from None
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
                    # It is not to be killed any more: that would take the code of its end away from who waits for it.
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
        """Return a worker that is free, and alive."""
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
                    # A Ctrl-C is for the server, which finishes what it has begun.
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                self._log.warning(f"a worker for queries could not be started: {error.strerror}; it is tried again")
                await asyncio.sleep(_PAUSE_AFTER_A_FAILURE)
            else:
                self._all.add(worker)
                self._idle.put_nowait(worker)
                return


@contextlib.contextmanager
def _released_unless_taken(turn: asyncio.Semaphore) -> Iterator[None]:
    """Give the turn back where the block fails: no worker was got."""
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
    """Return what a worker's end means to who asked: its timer, or the kernel that was short of memory, or a bug."""
    if code in {-signal.SIGALRM, -signal.SIGKILL}:
        return EndedError()
    return RuntimeError(f"a process for queries ended by itself, with {code}")


def _kill(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
