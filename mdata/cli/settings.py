"""`mdata config` and `mdata init`."""

from pathlib import Path
from typing import Annotated

import typer

from mdata import config as settings
from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct, perform


def config(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
) -> None:
    """Show every setting, its value, and where that comes from."""
    conduct("config", Options(env_file, common.both(symbols, symbol), timeframe, json), _config)


def _config(frame: Frame) -> Answer:

    loaded = frame.loaded
    rows = [row._asdict() for row in settings.listing(loaded)]
    data = {"env_file": str(loaded.env_file) if loaded.env_file else None, "settings": rows}
    return Answer(data=data, show=lambda: _show(loaded.env_file, rows))


def _show(env_file: Path | None, rows: list[dict[str, str]]) -> None:
    from mdata import render

    render.table(["setting", "value", "from"], [list(row.values()) for row in rows])
    render.note(f"env file: {env_file or 'none found; `mdata init` writes one'}")


def init(
    here: Annotated[bool, typer.Option("--here", help="Write ./.env instead.")] = False,
    json: common.Json = False,
) -> None:
    """Write a commented file of all settings, to be edited.

    In ~/.config/mdata, or with --here in the current folder; an existing one is left alone.
    """
    perform("init", Options(json=json), lambda _: _init(here=here))


def _init(*, here: bool) -> Answer:
    path = settings.write_env_file(here=here)
    from mdata import render

    return Answer(data={"path": str(path)}, show=lambda: render.line(f"wrote {path}; edit it, then `mdata backfill`"))
