"""The Tab key in a shell."""

import subprocess
from pathlib import Path

from conftest import MDATA, Folder

# What bash does when Tab is pressed: it sets these variables and calls the function that was registered.
BASH = """
source <(_MDATA_COMPLETE=source_bash mdata)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_mdata_completion mdata
printf '%s\\n' "${COMPREPLY[@]}"
"""


def press_tab(folder: Folder, *words: str, programs: Path = MDATA.parent, **settings: str) -> list[str]:
    environment = folder.environ(**settings)
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    finished = subprocess.run(
        ["bash", "-c", BASH, "bash", "mdata", *words], env=environment, cwd=folder.path, text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr
    return finished.stdout.split()
