"""The command that installs an optional package into the running environment."""

import sys
from pathlib import Path

DATASETTE = "datasette>=0.65,<1"
PROMETHEUS = "prometheus-client>=0.22"
SQLITE = "pysqlite3>=0.6.1"
NUMPY = "numpy>=2"
PANDAS = "pandas>=2.2"
POLARS = "polars>=1.30"
PYARROW = "pyarrow>=18"
DELTALAKE = "deltalake>=1.6,<2"
OBSTORE = "obstore>=0.12,<1"


def install(requirement: str, prefix: Path | None = None) -> str:
    """Return the command that adds `requirement` to the environment at `prefix`, by default to this one.

    It names the package itself instead of an extra of mdata, so it works whatever name mdata was installed by.
    """
    from shlex import quote

    place = Path(sys.prefix) if prefix is None else prefix
    if (place / "pipx_metadata.json").exists():
        return f"pipx inject {quote(place.name)} {quote(requirement)}"
    python = quote(str(place / "bin" / "python") if prefix else sys.executable)
    if _is_of_uv(place):
        return f"uv pip install --python {python} {quote(requirement)}"
    return f"{python} -m pip install {quote(requirement)}"


def _is_of_uv(place: Path) -> bool:
    """Whether uv created this environment without pip."""
    if (place / "uv-receipt.toml").exists():
        return True
    try:
        lines = (place / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return any(line.startswith("uv =") for line in lines) and not any(place.glob("lib/python*/site-packages/pip"))
