"""A crontab with the schedule of the timers, as far as cron can follow it."""

from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from mdata.domain.cadence import crontab_times, times
from mdata.domain.times import MINUTE_SECONDS
from mdata.timers.timetable import Scheduled
from mdata.timers.unit_files import arguments

_HEAD = """\
# mdata with cron: add these lines with `crontab -e`. A run without problems prints nothing, so cron only mails about
# problems. Cron uses local time and does not catch up on missed runs: the next run does the work.
"""


def crontab(program: Path, env_file: Path | None, table: Iterable[Scheduled]) -> str:
    """Return the crontab, with a comment for each job that is left out or differs."""
    lines = []
    for one in table:
        command = _command(program, env_file, one)
        if not one.is_enabled:
            lines.append(f"# {one.job}: off ({one.switch})")
            continue
        when = one.times
        if one.cadence % MINUTE_SECONDS:
            lines.append(f"# {one.job}: cron cannot run every {one.cadence} s; runs every minute instead")
            when = times(MINUTE_SECONDS)
        lines += [f"{crontab_times(each)} {command}" for each in when]
        if one.at_startup:
            lines.append(f"@reboot {command}")
    return _HEAD + "\n".join(lines) + "\n"


def _command(program: Path, env_file: Path | None, one: Scheduled) -> str:
    # The stream is started each minute, and ends at once if it is running already.
    patience = " --wait-lock 0s" if one.job == "stream" else ""
    file = f" --env-file {quote(str(env_file))}" if env_file else ""
    # Cron reads a percent sign as the end of the command.
    return f"{quote(str(program))} {arguments(one)}{patience} --quiet{file}".replace("%", r"\%")
