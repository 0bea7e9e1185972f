"""What every subcommand has in common: settings, log, signals, errors, the JSON envelope, the exit code."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import typer

from mdata import config, waiting
from mdata.cli import failures, signals
from mdata.clock import Clock, RehearsalClock, SystemClock
from mdata.config import Loaded
from mdata.errors import MdataError, Stopped, StorageError
from mdata.exit_codes import WORK_REMAINS, find, worst
from mdata.logs import StderrLog, harmless

if TYPE_CHECKING:
    from mdata.running.result import JobResult


class Options(NamedTuple):
    """The parsed common options of one call."""

    env_file: Path | None = None
    symbols: list[str] | None = None
    timeframes: list[str] | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    @property
    def overrides(self) -> dict[str, str]:
        """Return the settings that options replace."""
        found = {"SYMBOLS": self.symbols, "TIMEFRAMES": self.timeframes}
        return {name: ",".join(values) for name, values in found.items() if values}


class Answer(NamedTuple):
    """The result of a subcommand: the fields of the envelope, and how to display it."""

    exit: int = 0
    reason: str | None = None
    data: Mapping[str, Any] = MappingProxyType({})
    show: Callable[[], None] = lambda: None


class Kit(NamedTuple):
    """What a subcommand works with."""

    loaded: Loaded
    log: StderrLog
    clock: Clock


def conduct(command: str, options: Options, act: Callable[[Kit], Answer], *, is_job: bool = False) -> NoReturn:
    """Load the settings, let `act` do the work, print its answer, and exit with its code.

    The log of a job ends with one line about its result, even if it fails before there is anything to count.
    """

    def load_and_act(log: StderrLog) -> Answer:
        loaded = config.load(options.env_file, options.overrides)
        log = _log(options, loaded.settings.log_level)
        waiting.speak_to(log)
        for warning in loaded.warnings:
            log.warning(warning)
        return act(Kit(loaded, log, clock_of(loaded)))

    perform(command, options, load_and_act, is_job=is_job)


def perform(command: str, options: Options, act: Callable[[StderrLog], Answer], *, is_job: bool = False) -> NoReturn:
    """Let `act` do the work, turn errors into a sentence, print the answer, and exit with its code."""
    signals.heed()
    log = _log(options, "INFO")
    waiting.speak_to(log)
    try:
        answer = act(log)
    except MdataError as error:
        # Regular endings have a low level, so that cron sends no mail: another run is at work, or work remains. But
        # an exception with the code WORK_REMAINS is no regular ending: nothing is stored yet, for instance.
        log.say("ERROR" if error.exit_code == WORK_REMAINS else find(error.exit_code).level, str(error))
        answer = _failed(log, command, error.exit_code, str(error), is_job=is_job)
    except Stopped as stop:
        if is_job:
            log.notice(f"stopped by a signal; run `mdata {command}` again to continue")
        answer = _failed(log, command, stop.exit_code, "stopped by a signal", is_job=is_job)
    except typer.BadParameter as error:
        # The text contains file names, which may be chosen by an attacker.
        error.message = harmless(error.message)
        raise
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - the one place that may catch everything
        answer = _failed(log, command, *failures.unforeseen(log, error), is_job=is_job)
    _remember_for_alarm(answer)
    try:
        _print(command, options, answer)
        sys.stdout.flush()
    except OSError as error:
        # Python must not report the same error again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(_unheard(log, answer.exit, error)) from None
    raise typer.Exit(answer.exit)


def _unheard(log: StderrLog, exit_code: int, error: OSError) -> int:
    """Return the exit code of a run whose answer could not be written to stdout, and say so on stderr."""
    if isinstance(error, BrokenPipeError):
        # The reader of the output has closed the pipe, as `| head` does.
        return 128 + signal.SIGPIPE
    log.error(f"could not write the output: {error.strerror}; the work itself is done and saved")
    return worst(exit_code, StorageError.exit_code)


def _remember_for_alarm(answer: Answer) -> None:
    """Under systemd: note why this run failed, or that its unit has recovered, for the alarm to report."""
    run = config.invocation_id()
    if run is None:
        return
    from mdata.timers.endings import noteworthy

    place = noteworthy(answer.exit)
    if place is not None:
        from mdata.timers import alarm

        alarm.note_ending(*place, answer.exit, answer.reason, run)


def _failed(log: StderrLog, command: str, exit_code: int, reason: str, *, is_job: bool) -> Answer:
    if is_job:
        closing_line(log, exit_code, f"{command} outcome={find(exit_code).outcome} exit={exit_code}")
    return Answer(exit_code, reason)


def closing_line(log: StderrLog, exit_code: int, line: str) -> None:
    """Log how a run ended, at the level of its exit code: a run that has not failed must not look as if it had."""
    log.say(find(exit_code).level, line)


def clock_of(loaded: Loaded) -> Clock:
    """Return the machine's clock, or the faster one of a rehearsal against the sandbox."""
    rehearsal = loaded.settings.rehearsal
    return SystemClock() if rehearsal is None else RehearsalClock(*rehearsal)


def _log(options: Options, level: str) -> StderrLog:
    if options.quiet:
        level = "WARNING"
    elif options.verbose:
        level = "DEBUG"
    return StderrLog(None, level, priorities=config.is_journal(sys.stderr))


def _print(command: str, options: Options, answer: Answer) -> None:
    if not options.json:
        answer.show()
        return
    import json

    from mdata.running.result import envelope

    print(json.dumps(envelope(command, answer.exit, answer.reason, answer.data), default=str))  # noqa: T201 - stdout is where data goes


def duration(text: str, option: str) -> int:
    """Parse an option's duration to seconds; anything else is a usage error."""
    from mdata.domain.times import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def instant(text: str | None, option: str, clock: Clock) -> int | None:
    """Parse an option's instant to ms UTC; anything else is a usage error."""
    from mdata.domain.times import parse_instant

    try:
        return None if text is None else parse_instant(text, clock.now())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def job_answer(
    result: "JobResult", more: Mapping[str, Any] = MappingProxyType({}), show: Callable[[], None] = lambda: None
) -> Answer:
    """Return the answer of a finished job."""
    from mdata.domain.times import iso

    data = {
        "outcome": result.outcome,
        "job_id": result.job_id,
        "started_at": iso(result.started_at),
        "finished_at": iso(result.finished_at),
        **result.tally._asdict(),
        **more,
    }
    return Answer(result.exit, result.reason, data, show)
