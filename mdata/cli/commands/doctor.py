"""`mdata doctor`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdata.checkup import Finding
    from mdata.exchange.protocols import Exchange


def doctor(
    env_file: common.EnvFile = None,
    json: common.Json = False,
    deep: Annotated[bool, typer.Option("--deep", help="Also read the whole store.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="First repair what can be repaired safely.")] = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Check the store and its environment, and say what is wrong.

    Checks SQLite, the file and its log, locks and who holds them, disk space, clocks, timers, the rate budget and the
    settings, and says what to do. Ends with 3 if there is a problem; a note is not a problem. Sends one request to
    the exchange, to compare clocks. --fix restores the journal mode, and the triggers that record candles which other
    programs delete. If the row that identifies the store was deleted, --fix gives the store a new identity; older
    backups then count as backups of another store.
    """
    given = Options(env_file, json=json, quiet=quiet, verbose=verbose)
    conduct("doctor", given, lambda kit: _doctor(kit, is_deep=deep, fixes=fix))


def _doctor(kit: Kit, *, is_deep: bool, fixes: bool) -> Answer:
    from mdata.checkup import PROBLEM
    from mdata.cli.job_run import rate_limit
    from mdata.domain.next_attempt import AT_ONCE
    from mdata.exchange import registry
    from mdata.exit_codes import OK, WORK_REMAINS
    from mdata.jobs import doctor as job

    opened: list[Exchange] = []

    def exchange(warn: "Callable[[str], None]") -> "Exchange":
        url = kit.loaded.settings.rest_url(registry.HOME)
        opened.append(registry.adapter(registry.HOME).open_rest(url, kit.clock, warn))
        return opened[0]

    fixed = job.fix(kit.loaded.settings.database_path) if fixes else []
    for sentence in fixed:
        kit.log.info(sentence)
    try:
        patient = job.Patient(kit.loaded, kit.clock, rate_limit(kit, registry.HOME), exchange)
        found = job.examine(patient, deep=is_deep)
    finally:
        for one in opened:
            one.close()
    problems = [finding.id for finding in found if finding.state == PROBLEM]
    reason = f"problems: {', '.join(dict.fromkeys(problems))}: fix them; {AT_ONCE}" if problems else None
    data = {"findings": [finding._asdict() for finding in found], "fixed": fixed}
    return Answer(WORK_REMAINS if problems else OK, reason, data, lambda: _show(found))


def _show(found: "list[Finding]") -> None:
    from mdata import render

    if not sys.stdout.isatty():
        render.table(["state", "id", "text", "advice"], [[one.state, one.id, one.text, one.advice] for one in found])
        return
    sentences = [f"→ {one.advice}" if one.advice else None for one in found]
    render.listing(["state", "id", "what was found"], [[one.state, one.id, one.text] for one in found], sentences)
