"""The last line of a job: a sentence at a terminal, `key=value` pairs everywhere else."""

import sys
from typing import TYPE_CHECKING

from mdata import config
from mdata.cli.entry import Kit
from mdata.running.result import JobResult

if TYPE_CHECKING:
    from mdata.jobs.status import SeriesState
    from mdata.store.engine import Store

# Names of the counters of a run, singular and plural.
_COUNTED = {
    "candles_written": ("candle", "candles"),
    "candles_changed": ("candle changed", "candles changed"),
    "gaps_opened": ("gap found", "gaps found"),
    "gaps_repaired": ("gap repaired", "gaps repaired"),
    "gaps_empty": ("gap proven empty", "gaps proven empty"),
    "gaps_failed": ("gap given up", "gaps given up"),
}


def ending(kit: Kit, store: "Store", result: JobResult, words: str = "") -> str:
    """Return the last line of a run; `words` are further `key=value` pairs besides its counters."""
    if not sys.stderr.isatty() or config.is_journal(sys.stderr):
        return summary(result, words)
    from mdata.jobs.status import collect

    states = collect(kit.loaded.settings, store, kit.clock.now(), narrowed=True).series
    return sentence(result, words, states, kit.clock.now())


def summary(result: JobResult, words: str = "") -> str:
    """Return the final line of a run: `key=value`, for programs and for grep; the reason is quoted as in JSON."""
    from json import dumps

    counted = " ".join(f"{name}={value}" for name, value in result.tally._asdict().items() if value)
    seconds = (result.finished_at - result.started_at) / 1000
    reason = f"reason={dumps(result.reason, ensure_ascii=False)}" if result.reason else ""
    parts = f"{result.command} outcome={result.outcome} exit={result.exit} took={seconds:.1f}s"
    return " ".join(filter(None, (parts, counted, reason, words)))


def sentence(result: JobResult, words: str, states: "list[SeriesState]", now: int) -> str:
    """Return how a run ended as a sentence: what it did, how complete the series are, what is left."""
    return "; ".join(filter(None, (_done(result, words), _complete(states, now), result.reason)))


def _done(result: JobResult, words: str) -> str:
    tally = result.tally
    parts = [f"{count:,} {names[count != 1]}" for name, names in _COUNTED.items() if (count := getattr(tally, name))]
    pairs = (word.partition("=") for word in words.split())
    parts += [
        f"{int(value):,} {name.replace('_', ' ')}" for name, _, value in pairs if value.isdecimal() and int(value)
    ]
    done = ", ".join(parts) or "nothing new"
    if tally.requests:
        done += f" in {tally.requests:,} request{'s' if tally.requests > 1 else ''}"
    return f"{result.command}: {done}"


def _complete(states: "list[SeriesState]", now: int) -> str:
    """Return how many of the series are complete and, if all of them are, since which date nothing is missing."""
    if not states:
        return ""
    unknown = sum(one.counts.unknown for one in states)
    done = sum(one.is_complete for one in states)
    if done < len(states):
        left = f", {unknown:,} interval{'s' if unknown != 1 else ''} unknown" if unknown else ""
        whole = "the series is not complete" if len(states) == 1 else f"{done:,} of {len(states):,} series complete"
        return f"{whole}{left}"
    which = {1: "the series is", 2: "both series are"}.get(len(states), f"all {len(states):,} series are")
    wanted = [one.counts.wanted for one in states]
    start = _date(max(part.start for part in wanted), now)
    return f"{which} complete since {start}" if all(part.start < part.end for part in wanted) else ""


def _date(instant: int, now: int) -> str:
    """Return a date as `27 Oct`, with its year if it is not the current one."""
    from mdata.domain.times import iso

    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    year, month, day = iso(instant)[:10].split("-")
    return f"{int(day)} {months[int(month) - 1]}{'' if iso(now)[:4] == year else f' {year}'}"
