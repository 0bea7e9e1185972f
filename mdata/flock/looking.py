"""Whether a lock is held, and by which process, without waiting for it."""

import fcntl
import os
from pathlib import Path
from struct import Struct


def is_locked(path: Path) -> bool:
    """Whether the lock on `path` is held now; creates nothing, and is False if the file cannot be read.

    If the lock is free, it is taken for an instant.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that two checks do not see each other as a holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


# The fields that fcntl(2) fills in: type, whence, start, length, pid.
_RECORD_LOCK = Struct("hhqqi4x")


def lock_owner(path: Path, part: range) -> int | None:
    """Return the process that has a POSIX lock on a part of the file at `path`, or None.

    Only for a file that this process does not have open: closing it here drops the process's own locks on it.
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
