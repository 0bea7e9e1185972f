"""A clean checkout of what is committed."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parents[2]


def checked_out() -> str:
    """Return what git says is checked out; "unknown" where this is no checkout."""
    ended = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    return ended.stdout[:12] or "unknown"
