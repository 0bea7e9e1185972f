"""`mdata init`."""

from typing import Annotated

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Options, perform
from mdata.config.init_file import write_env_file


def init(
    here: Annotated[bool, typer.Option("--here", help="Write ./.env in the current folder instead.")] = False,
    json: common.Json = False,
) -> None:
    """Write a commented settings file for you to edit.

    The file goes to ~/.config/mdata, or with --here into the current folder. An existing file is not changed.
    """
    perform("init", Options(json=json), lambda _: _init(here=here))


def _init(*, here: bool) -> Answer:
    path = write_env_file(here=here)
    from mdata import render

    return Answer(
        data={"path": str(path)}, show=lambda: render.line(f"wrote {path}; edit it, then run `mdata backfill`")
    )
