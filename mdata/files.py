"""Creates files with the right mode, and replaces files atomically.

A file that mdata creates in a group-writable folder is 0660 whatever the umask, so that members of the group share
one store with the services; anywhere else it is 0600.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO

from mdata.errors import MdataError, NotPermittedError, StorageError

_MOST_LINKS = 40  # as Linux has it
_BROKEN = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


def shared_mode(folder: Path) -> int:
    """Return the mode for a new file in `folder`."""
    return 0o660 if folder.stat().st_mode & stat.S_IWGRP else 0o600


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, private to the user; raise NotPermittedError if that is not possible."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _explained(
            f"cannot create the folder {folder}", error, "choose another path in the settings"
        ) from error


def _explained(what: str, error: OSError, advice: str) -> MdataError:
    if error.errno in _BROKEN:
        return StorageError(f"{what}: {error.strerror}; free some space or check the disk, then run this again")
    return NotPermittedError(f"{what}: {error.strerror or error}; {advice}")


def open_shared(path: Path) -> int:
    """Open (and create) `path` for reading and writing and return its descriptor; never follow a link.

    Raise NotPermittedError, with the path and the reason, if that is not allowed.
    """
    make_folder(path.parent)
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, flags)
        os.fchmod(descriptor, shared_mode(path.parent))
    except OSError as error:
        raise _explained(
            f"cannot open {path}", error, "check the owner and mode of the file and its folder"
        ) from error
    return descriptor


def without_planted_links(path: Path) -> Path:
    """Return `path` with its symbolic links followed; raise NotPermittedError at a planted link.

    In a folder like /tmp, where everybody may create a link, only links of the caller and of the folder's owner are
    followed, even by root. Linux protects `open` in the same way, but not the replacement of a file.
    """
    place, left, links = Path("/"), list(reversed(Path.cwd().joinpath(path).parts[1:])), 0
    while left:
        part = left.pop()
        if part == "..":
            place = place.parent
        elif not (place / part).is_symlink():
            place /= part
        else:
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            _refuse_if_planted(place / part)
            target = (place / part).readlink()
            place = Path("/") if target.is_absolute() else place
            left += reversed(target.parts[target.is_absolute() :])
    return place


def _refuse_if_planted(link: Path) -> None:
    folder, owner = link.parent.stat(), link.lstat().st_uid
    anybody_may_write = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if anybody_may_write and owner not in {os.geteuid(), folder.st_uid}:
        raise NotPermittedError(
            f"{link} is a symbolic link that another user created in a folder where everybody may write; mdata does "
            "not follow it: write to another folder, or remove the link"
        )


def replace_whole(path: Path, text: str, mode: int | None = None) -> None:
    """Replace the file at `path` by `text` atomically: a reader or a crash sees the old file or the new one."""
    with whole(path, mode) as stream:
        stream.write(text)


@contextmanager
def whole(path: Path, mode: int | None = None) -> Iterator[TextIO]:
    """Yield a text stream; if the block succeeds, its content replaces the file at `path`, else nothing changes."""
    with whole_bytes(path, mode) as stream, TextIOWrapper(stream, "utf-8", newline="") as text:
        yield text


@contextmanager
def whole_bytes(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Yield a byte stream; if the block succeeds, its content replaces the file at `path`, else nothing changes."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # If others can write here, one of them may have planted a link.
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, shared_mode(path.parent) if mode is None else mode)
            with os.fdopen(descriptor, "wb", closefd=False) as stream:
                yield stream
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except PermissionError as error:
        message = f"cannot write {path}: {error.strerror}; check the owner and mode of its folder"
        raise NotPermittedError(message) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; the old file is unchanged") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
