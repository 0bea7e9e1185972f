"""`mdata init`."""

from typing import Annotated

import typer

from mdata import config
from mdata.cli import options as common
from mdata.cli.entry import Answer, Options, perform


def init(
    here: Annotated[bool, typer.Option("--here", help="Write ./.env instead.")] = False,
    json: common.Json = False,
) -> None:
    """Write a commented file of all settings, to be edited.

    In ~/.config/mdata, or with --here in the current folder; an existing one is left alone.
    """
    perform("init", Options(json=json), lambda _: _init(here=here))


def _init(*, here: bool) -> Answer:
    path = config.write_env_file(here=here)
    from mdata import render

    return Answer(data={"path": str(path)}, show=lambda: render.line(f"wrote {path}; edit it, then `mdata backfill`"))
