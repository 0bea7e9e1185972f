"""`mdata notify`, which units start."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Options, perform

if TYPE_CHECKING:
    from mdata.logs import StderrLog


def notify(
    unit: Annotated[str, typer.Argument(help="The unit that failed.")], env_file: common.EnvFile = None
) -> None:
    """Report to the journal and NOTIFY_COMMAND that a unit failed; started by OnFailure= of the units."""
    perform("notify", Options(env_file), lambda log: _notify(log, unit.removesuffix(".service"), env_file))


def _notify(log: "StderrLog", unit: str, env_file: Path | None) -> Answer:
    from mdata import config
    from mdata.clock import SystemClock
    from mdata.config.systemd import failed_run, state_folder, this_manager
    from mdata.errors import ConfigurationError
    from mdata.timers import alarm

    failure = alarm.Failure(*failed_run())
    try:
        folder = state_folder()
    except ValueError as error:
        raise ConfigurationError(f"cannot tell where to keep the state of alarms: {error}") from error
    sentence = alarm.tell(folder, unit, failure, this_manager(), SystemClock().now())
    if sentence is None:
        log.info(f"{unit} failed again ({failure.told}); this was already reported")
        return Answer()
    log.error(sentence)
    # Other settings may be invalid; an invalid setting may be the very failure to report.
    command = config.text_of("NOTIFY_COMMAND", env_file)
    problem = alarm.run_command(command, unit, failure, sentence) if command else None
    if problem:
        log.error(problem)
        alarm.untold(folder, unit)
    return Answer(reason=problem)
