"""The commit of this mdata: recorded by the build, or else read from the checkout."""

from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
# Written by `hatch_build.py` into a built package; a checkout has none.
NOTE = HERE / "commit.txt"
_LENGTH = 12


def commit() -> str:
    """Return the shortened commit, or "unknown"."""
    found = None
    with suppress(OSError, ValueError):
        found = NOTE.read_text(encoding="ascii").strip()
    found = found or of_checkout(HERE.parent)
    return found[:_LENGTH] if found else "unknown"


def of_checkout(root: Path) -> str | None:
    """Return the commit that is checked out at `root`, or None if `root` is no checkout; works without git."""
    with suppress(OSError, ValueError):
        folder = _git_folder(root / ".git")
        head = (folder / "HEAD").read_text(encoding="ascii").strip()
        name = head.removeprefix("ref: ")
        return head if name == head else _resolved(folder, name)
    return None


def _git_folder(path: Path) -> Path:
    """Return the git folder; in a linked work tree, a file contains its path."""
    if path.is_dir():
        return path
    told = path.read_text(encoding="utf-8").strip().removeprefix("gitdir: ")
    return path.parent / told


def _resolved(folder: Path, name: str) -> str | None:
    """Return the commit that a branch points to; work trees share the branches of their repository."""
    common = folder
    with suppress(OSError):
        common = folder / (folder / "commondir").read_text(encoding="utf-8").strip()
    for place in (folder / name, common / name):
        with suppress(OSError):
            return place.read_text(encoding="ascii").strip()
    for line in (common / "packed-refs").read_text(encoding="utf-8").splitlines():
        found, _, packed = line.partition(" ")
        if packed == name:
            return found
    return None
