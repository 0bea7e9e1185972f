"""Record in each built package the commit that it was built from."""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface[Any]):
    """Adds `mdata/commit.txt`; an editable install reads its checkout, and a source archive has it already."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Read the commit before the files are gathered."""
        root = Path(self.root)
        commit = runpy.run_path(str(root / "mdata" / "commit.py"))["of_checkout"](root)
        if version != "editable" and commit is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="mdata-build-")
            note = Path(self._folder.name) / "commit.txt"
            note.write_text(f"{commit}\n", encoding="ascii")
            build_data["force_include"][str(note)] = "mdata/commit.txt"

    def finalize(self, *_: object) -> None:
        """Remove the temporary folder, whose note is in the archive by now."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
