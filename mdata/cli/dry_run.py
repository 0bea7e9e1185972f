"""`--dry-run` of `backfill` and `update`: what a run would fetch, and what that costs."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from mdata.cli.entry import Answer, Kit
from mdata.config import Settings
from mdata.domain.estimate import Estimate, in_turn
from mdata.domain.priority import Priority
from mdata.lookups import budget
from mdata.store.engine import Store
from mdata.store.opening import open_for_reading

if TYPE_CHECKING:
    from mdata.fetching.wanted import Planned


def cost_of(kit: Kit, priority: Priority, plan: "Callable[[Settings, Store | None, int], list[Planned]]") -> Answer:
    """Return what a run would fetch at most: requests, time at the shared rate, bytes."""
    settings = kit.loaded.settings
    with open_for_reading(settings.database_path) or nullcontext() as store:
        found = plan(settings, store, kit.clock.now())
    rate = budget(settings, kit.clock)
    timed = in_turn([one.estimate for one in found], lambda requests: rate.seconds_for(requests, priority))
    planned = [one._replace(estimate=cost) for one, cost in zip(found, timed, strict=True)]
    series = [_row(one) for one in planned]
    total = sum((one.estimate for one in planned), Estimate(0, 0, 0))
    return Answer(data={"dry_run": True, **total._asdict(), "series": series}, show=lambda: _show_plan(planned))


def _row(one: "Planned") -> dict[str, Any]:
    venue, symbol, timeframe = one.target
    named = {"exchange": venue.name, "symbol": symbol, "timeframe": timeframe.name}
    return {"series": one.target.as_written, "intervals": one.intervals, **one.estimate._asdict(), **named}


def _show_plan(planned: "list[Planned]") -> None:
    from mdata.render import plan_table

    plan_table(planned)
