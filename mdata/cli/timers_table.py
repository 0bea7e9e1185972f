"""What `mdata timers show` prints about each job."""

import sys
from typing import Any

from mdata import lookups, render
from mdata.cli.entry import Answer, Kit
from mdata.domain.cadence import on_calendar
from mdata.domain.times import human_duration, iso, parse_instant
from mdata.timers import owner as notes
from mdata.timers.manager import Elapse, elapses, journal, journal_of_run
from mdata.timers.owner import Marker
from mdata.timers.timetable import Scheduled, timetable


def table(kit: Kit) -> Answer:
    """Return when each job runs next, how its last run ended, and where its log is."""
    settings = kit.loaded.settings
    marker = notes.read(settings.database_path)
    found = elapses(marker) if marker else None
    if marker is None:
        kit.log.warning("no timers are installed for this store: run `mdata timers install`")
    elif found is None:
        kit.log.warning(f"{_whose(marker)} cannot be queried here")
    elif marker.is_outdated():
        kit.log.warning(f"the units were written by mdata {marker.version}: run `mdata timers install` again")
    next_runs = {one.job: one for one in found or ()}
    rows = [_row(kit, one, marker, next_runs.get(one.job)) for one in timetable(settings)]
    return Answer(
        data={**_about(marker), "answers": found is not None, "timers": rows},
        show=lambda: _show_rows(rows, kit.clock.now()),
    )


def _whose(marker: Marker) -> str:
    return "the system's systemd" if marker.manager == "system" else f"the systemd of user {marker.user}"


def _about(marker: Marker | None) -> dict[str, str | None]:
    if marker is None:
        return dict.fromkeys(("manager", "user", "unit_folder", "env_file", "version"))
    env_file = str(marker.env_file) if marker.env_file else None
    return {"manager": marker.manager, "user": marker.user, "unit_folder": str(marker.unit_folder),
            "env_file": env_file, "version": marker.version}  # fmt: skip


def _row(kit: Kit, one: Scheduled, marker: Marker | None, elapse: Elapse | None) -> dict[str, Any]:
    (last,) = lookups.find_jobs(kit.loaded.settings, one.job, None, 1) or (None,)
    run = last["invocation_id"] if last else None
    manager = marker.manager if marker else None
    log = journal_of_run(manager, run) if run else journal(manager, one.job)
    return {
        "job": one.job,
        "unit": f"mdata-{one.job}.timer",
        "enabled": one.is_enabled,
        "switch": one.switch,
        "cadence_seconds": one.cadence,
        "calendar": [on_calendar(times) for times in one.times],
        "max_runtime_seconds": one.run_seconds,
        "next_at": iso(elapse.next_at) if elapse and elapse.next_at is not None else None,
        "last_at": iso(elapse.last_at) if elapse and elapse.last_at is not None else None,
        "last_job": last,
        "journal": " ".join(log),
    }


def _show_rows(rows: list[dict[str, Any]], now: int) -> None:
    """Print a line per job; at a terminal with relative times, and the commands for the logs below."""
    is_person = sys.stdout.isatty()

    def when(instant: str | None) -> str | None:
        if instant is None or not is_person:
            return instant
        seconds = (parse_instant(instant, now) - now) / 1000
        return f"in {human_duration(seconds)}" if seconds > 0 else f"{human_duration(-seconds)} ago"

    columns = ["job", "every", "next", "last", "outcome", "exit", *([] if is_person else ["log"])]
    shown = []
    for row in rows:
        last = row["last_job"] or {"started_at": None, "outcome": None, "exit": None}
        every = human_duration(row["cadence_seconds"]) if row["enabled"] else f"off ({row['switch']})"
        times = when(row["next_at"]), when(row["last_at"] or last["started_at"])
        log = [] if is_person else [row["journal"]]
        shown.append([row["job"], every, *times, last["outcome"], last["exit"], *log])
    render.table(columns, shown)
    if is_person:
        for row in rows:
            render.line(f"{row['job']:11}  {row['journal']}")
