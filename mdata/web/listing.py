"""Which of many series a page shows: search, order, and paging."""

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from mdata.jobs.status import SeriesState
from mdata.web.parameters import Parameters, one, one_of, refuse_others

PER_PAGE = 24


def _by_name(state: SeriesState) -> Any:
    return state.series.symbol, state.series.timeframe.step or 2**62


# The orders: the name for people, and the sort key.
ORDERS: dict[str, tuple[str, Callable[[SeriesState], Any]]] = {
    "name": ("name", _by_name),
    "unknown": ("most unknown", lambda one: (-one.counts.unknown, _by_name(one))),
    "lag": ("largest lag", lambda one: (one.is_quiet, -one.lag_seconds, _by_name(one))),
    "candles": ("most candles", lambda one: (-one.counts.candles, _by_name(one))),
    "newest": ("newest candle", lambda one: (-(one.counts.last or 0), _by_name(one))),
}


class Search(NamedTuple):
    """The search text, the order, and the number of the page, from 1."""

    search: str
    order: str
    page: int

    def address(self, page: int) -> str:
        """Return the address of another page of the same list."""
        given = {"search": self.search, "sort": self.order, "page": page}
        plain = {"search": "", "sort": "name", "page": 1}
        return "/" + ("?" + text if (text := urlencode({k: v for k, v in given.items() if v != plain[k]})) else "")


class SeriesPage(NamedTuple):
    """The series of one page, the numbers of found and of all series, and the number of the last page."""

    shown: list[SeriesState]
    wish: Search
    found: int
    total: int
    pages: int

    @property
    def first(self) -> int:
        """Return the number of the first shown series, from 1."""
        return (self.wish.page - 1) * PER_PAGE + 1

    @property
    def near(self) -> list[int]:
        """Return the numbers of the linked pages: the first, the last, and those around this one."""
        page = self.wish.page
        return sorted({number for number in (1, page - 1, page, page + 1, self.pages) if 1 <= number <= self.pages})


def read(parameters: Parameters) -> Search:
    """Parse the parameters of the page; raise ValueError if they are invalid."""
    refuse_others(parameters, ("search", "sort", "page"))
    page = one(parameters, "page", _number) or 1
    return Search(
        one(parameters, "search", str.strip) or "", one(parameters, "sort", one_of([*ORDERS])) or "name", page
    )


def choose(states: list[SeriesState], wish: Search) -> SeriesPage:
    """Return one page of the series; a page beyond the last one is the last one."""
    words = wish.search.lower().split()
    found = [state for state in states if all(word in state.series.name.lower() for word in words)]
    found.sort(key=ORDERS[wish.order][1])
    pages = max(1, -(-len(found) // PER_PAGE))
    wish = wish._replace(page=min(wish.page, pages))
    start = (wish.page - 1) * PER_PAGE
    return SeriesPage(found[start : start + PER_PAGE], wish, len(found), len(states), pages)


def _number(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and 1 <= len(text) <= 6 and int(text)):
        raise ValueError("page must be a number, starting at 1")
    return int(text)
