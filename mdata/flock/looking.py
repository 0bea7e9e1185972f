"""Whether somebody holds a lock, and who; nothing is locked for that."""

import fcntl
import os
from pathlib import Path
from struct import Struct


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock on `path` now; creates nothing, and says no where the file cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that those who look do not take one another for a holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


# What fcntl(2) fills in: type, whence, start, length, pid.
_RECORD_LOCK = Struct("hhqqi4x")


def lock_owner(path: Path, part: range) -> int | None:
    """Return the process that has a POSIX lock on a part of the file at `path`, None where nobody has.

    Only for a file that this process has not open: closing it here drops the process's own locks on it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        asked = _RECORD_LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, part.start, len(part), 0)
        kind, _, _, _, pid = _RECORD_LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else int(pid)
