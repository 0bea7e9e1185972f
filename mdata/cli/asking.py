"""Confirmation before something that cannot be undone."""

import sys

import typer


def need_a_person(command: str, done: str) -> None:
    """Refuse to go on if there is no terminal to ask at; `done` is the verb in the message: deleted, replaced."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nothing was {done}; without a terminal `mdata {command}` needs --yes")


def be_sure(question: str, command: str, done: str) -> None:
    """Ask for confirmation before anything is changed; any answer other than yes is a usage error."""
    need_a_person(command, done)
    try:
        is_sure = typer.confirm(question, err=True)
    except typer.Abort:
        is_sure = False
    if not is_sure:
        raise typer.BadParameter(f"nothing was {done}")
