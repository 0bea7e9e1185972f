"""Asking before something is done that cannot be undone."""

import sys

import typer


def need_a_person(command: str, done: str) -> None:
    """Refuse to go on without a terminal to ask at; `done` is what has not happened: deleted, replaced."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nothing was {done}; without a terminal `mdata {command}` wants --yes")


def be_sure(question: str, command: str, done: str) -> None:
    """Ask a person at the terminal; anything but yes is a usage error, and nothing has happened."""
    need_a_person(command, done)
    try:
        is_sure = typer.confirm(question, err=True)
    except typer.Abort:
        is_sure = False
    if not is_sure:
        raise typer.BadParameter(f"nothing was {done}")
