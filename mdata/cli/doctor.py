"""`mdata doctor`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.frame import Answer, Frame, Options, conduct

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdata.exchange.adapter import Exchange
    from mdata.jobs.checkup import Finding


def doctor(
    env_file: common.EnvFile = None,
    json: common.Json = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read all that is stored, too.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="First put right what can be put right safely.")] = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Say what is wrong with the store and around it.

    And what to do: about the engine, the file and its log, locks and who holds them, room, clocks, timers, the rate
    budget, settings. Ends with 3 when something is a problem; a note is none. Asks the exchange once, for its time.
    --fix puts back triggers, the journal mode and the identity of the store.
    """
    given = Options(env_file, json=json, quiet=quiet, verbose=verbose)
    conduct("doctor", given, lambda frame: _doctor(frame, is_deep=deep, fixes=fix))


def _doctor(frame: Frame, *, is_deep: bool, fixes: bool) -> Answer:
    from mdata.cli.jobs import rate_limit
    from mdata.errors import NEXT_ATTEMPT, OK, WORK_REMAINS
    from mdata.exchange import registry
    from mdata.jobs import doctor as job
    from mdata.jobs.checkup import PROBLEM

    opened: list[Exchange] = []

    def exchange(warn: "Callable[[str], None]") -> "Exchange":
        url = frame.loaded.settings.rest_url(registry.HOME)
        opened.append(registry.adapter(registry.HOME).open_rest(url, frame.clock, warn))
        return opened[0]

    fixed = job.fix(frame.loaded.settings.database_path) if fixes else []
    for sentence in fixed:
        frame.log.info(sentence)
    try:
        found = job.examine(
            job.Patient(frame.loaded, frame.clock, rate_limit(frame, registry.HOME), exchange), deep=is_deep
        )
    finally:
        for one in opened:
            one.close()
    problems = [finding.id for finding in found if finding.state == PROBLEM]
    reason = f"problems: {', '.join(dict.fromkeys(problems))}; {NEXT_ATTEMPT} at once" if problems else None
    data = {"findings": [finding._asdict() for finding in found], "fixed": fixed}
    return Answer(WORK_REMAINS if problems else OK, reason, data, lambda: _show(found))


def _show(found: "list[Finding]") -> None:
    from mdata import render

    if not sys.stdout.isatty():
        render.table(["state", "id", "text", "advice"], [[one.state, one.id, one.text, one.advice] for one in found])
        return
    sentences = [f"→ {one.advice}" if one.advice else None for one in found]
    render.listing(["state", "id", "what was found"], [[one.state, one.id, one.text] for one in found], sentences)
