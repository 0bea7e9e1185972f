"""What the screen shows of the whole store: gaps, jobs, the shared budget, the database, and warnings."""

from textwrap import wrap

from rich.text import Text

from mdata.jobs.status import Status, outcome
from mdata.logs import harmless
from mdata.ratelimit import BudgetView
from mdata.running.commands import JOBS
from mdata.screen.words import ago, ahead, date_and_time, size

_LABEL = 10


def lines(state: Status, rate: BudgetView, width: int) -> list[Text]:
    """Return the lines below the series."""
    facts = [("gaps", _gaps(state)), *_jobs(state), ("budget", _budget(state, rate))]
    return [
        *(line for label, sentence in facts for line in _labelled(label, sentence, width)),
        # A path is never wrapped, so that it can be copied.
        Text().append(f"{'database':{_LABEL}}", style="dim").append(harmless(str(state.path))),
        *_labelled("", _database(state), width),
        *(line for one in state.warnings for line in _labelled("warning", one, width, style="yellow")),
    ]


def _labelled(label: str, sentence: str, width: int, style: str = "") -> list[Text]:
    broken = wrap(harmless(sentence), max(20, width - _LABEL), break_on_hyphens=False)
    labels = [label, *("" for _ in broken[1:])]
    return [
        Text().append(f"{name:{_LABEL}}", style="dim").append(line, style=style)
        for name, line in zip(labels, broken, strict=True)
    ]


def _gaps(state: Status) -> str:
    gaps = state.gaps
    parts = [f"{gaps.open:,} open, {gaps.failed:,} given up, {gaps.repaired:,} repaired, {gaps.empty:,} proven empty"]
    if gaps.oldest_at is not None:
        parts.append(f"the oldest was found {ago(state.now, gaps.oldest_at)}")
    if gaps.next_attempt_at is not None:
        parts.append(f"`mdata repair` can request them {ahead(state.now, gaps.next_attempt_at)}")
    return "; ".join(parts)


def _jobs(state: Status) -> list[tuple[str, str]]:
    known = {*state.jobs, *state.running, *(state.next_runs or {})}
    commands = [command for command in JOBS if command in known]
    if not commands:
        return [("jobs", "none has run yet: start with `mdata backfill`")]
    longest = max(map(len, commands))
    labels = ["jobs", *("" for _ in commands[1:])]
    return [
        (label, f"{command:{longest}}  {_job(state, command)}")
        for label, command in zip(labels, commands, strict=True)
    ]


def _job(state: Status, command: str) -> str:
    last = state.jobs.get(command)
    if command in state.running:
        parts = [f"running since {(state.running[command] or '?')[11:16]} UTC"]
    elif last is None:
        parts = ["has not run yet"]
    else:
        parts = [f"{outcome(state, command)} {ago(state.now, last.finished_at or last.started_at)}"]
    if last is not None and last.outcome not in {"ok", "partial", "running", "skipped"}:
        parts.append(f"last success {'never' if last.success_at is None else ago(state.now, last.success_at)}")
    if state.next_runs is not None:
        following = state.next_runs.get(command)
        parts.append("no next run" if following is None else f"next {ahead(state.now, following)}")
    return ", ".join(parts)


def _budget(state: Status, rate: BudgetView) -> str:
    text = f"one request per {rate.pace.delay:g} s, "
    if rate.blocked_until is not None:
        text += f"blocked until {date_and_time(rate.blocked_until)} UTC, {ahead(state.now, rate.blocked_until)}"
    elif rate.free_now:
        text += f"{rate.free_now} can be sent now"
    else:
        text += f"the next one {ahead(state.now, rate.next_request_at or 0)}"
    if rate.calm_until is not None:
        text += f"; no bursts before {date_and_time(rate.calm_until)} UTC, because the exchange refused a request"
    return text + (f"; waiting: {', '.join(rate.waiting)}" if rate.waiting else "; no process is waiting")


def _database(state: Status) -> str:
    log = f" and {size(state.wal_bytes)} of log" if state.wal_bytes else ""
    return (f"{size(state.bytes)}{log}" if state.bytes else "does not exist yet") + f", SQLite {state.sqlite_version}"
