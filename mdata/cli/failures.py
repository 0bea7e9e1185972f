"""Exceptions that have no message yet: a limit of the machine, an incomplete installation, or a bug."""

import errno
import sys

from mdata.errors import ConfigurationError, MdataError, NotPermittedError
from mdata.exit_codes import BUG
from mdata.logs import StderrLog, harmless

_BUG = "this is a bug in mdata; please report it with the lines above"
# The interpreter signals a lack of threads only by this text, which is not translated.
_NO_THREAD = "can't start new thread"
_NO_MORE = {
    errno.ENOMEM: "memory (ulimit -v, MemoryMax= of a unit)",
    errno.EAGAIN: "threads (ulimit -u and -v, TasksMax= and MemoryMax= of a unit)",
    errno.EMFILE: "open files (ulimit -n, LimitNOFILE= of a unit)",
    errno.ENFILE: "open files (fs.file-max)",
}


def unforeseen(log: StderrLog, error: Exception) -> tuple[int, str]:
    """Report an unexpected exception; return exit code and reason."""
    known = _not_of_our_making(error)
    if known is None:
        _report_bug()
        return BUG, _BUG
    log.error(str(known))
    return known.exit_code, str(known)


def _not_of_our_making(error: Exception) -> MdataError | None:
    """Return the message if a limit of the machine was reached or the installation is incomplete."""
    if isinstance(error, ImportError) and error.name and not error.name.startswith("mdata"):
        if isinstance(error, ModuleNotFoundError):
            return ConfigurationError(f"mdata's installation is incomplete: {error}; reinstall it")
        return ConfigurationError(
            f"mdata cannot load one of its modules ({error}); check `ulimit -a`, or reinstall it"
        )
    lacking = _lacking(error)
    if lacking is None:
        return None
    return NotPermittedError(
        f"the system has no more {lacking} for this process; raise the limit or stop other programs, then run this "
        "again"
    )


def _lacking(error: Exception) -> str | None:
    if isinstance(error, MemoryError):
        return _NO_MORE[errno.ENOMEM]
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        return _NO_MORE[errno.EAGAIN]
    return _NO_MORE.get(error.errno or 0) if isinstance(error, OSError) else None


def _report_bug() -> None:
    import traceback

    # Even here, text from the exchange must not reach a terminal unescaped.
    for line in traceback.format_exc().splitlines():
        sys.stderr.write(f"{harmless(line)}\n")
    sys.stderr.write(f"mdata: {_BUG}\n")
