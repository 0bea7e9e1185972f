"""Which months of a series can be published, and which of them a lake should get: pure decisions.

The unit is the UTC month of the open time, in every timeframe. A month is published once each of its intervals is
final or unobtainable, and again after it has changed. If two stores know a month, the later answer is the better one,
whichever store publishes first.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from mdata.domain.columns import Columns
from mdata.domain.digest import digest
from mdata.domain.interval import Range, intersect, subtract
from mdata.domain.timeframe import HOUR, Timeframe, month_index, month_start

Kind = Literal["final", "unobtainable"]
# publish: the lake has no sound data of the month · compare: this store has a later answer, which may have changed
# nothing · unchanged: the lake has the month from the same answer · older: the lake has the month from a later answer
# · narrower: the lake has more of the month · cleaned: cleanup has removed a part of the month from this store
Step = Literal["publish", "compare", "unchanged", "older", "narrower", "cleaned"]
State = Literal["complete", "partial", "unobtainable"]


class Key(NamedTuple):
    """The name of a series in the lake: the same for all stores that publish it."""

    exchange: str
    symbol: str
    timeframe: str

    @property
    def name(self) -> str:
        """How the series is called in messages."""
        return f"{self.symbol} {self.timeframe}"


class Publishable(NamedTuple):
    """What a store knows of a series, for publishing; `provisional`, `unknown` and `unobtainable` are normal.

    The series is wanted from `start` on, and cleanup has removed it up to `cleaned_to`. `answered_at` maps the begin
    of each month to when the exchange last answered for it. All times are ms UTC.
    """

    grid: Timeframe
    start: int
    cleaned_to: int | None
    provisional: list[Range]
    unknown: list[Range]
    unobtainable: list[Range]
    answered_at: dict[int, int]


class Part(NamedTuple):
    """A range of a month and what is known of it."""

    range: Range
    kind: Kind


class Month(NamedTuple):
    """A month that can be published: when it begins, its contiguous parts, and the newest answer about it."""

    month: int
    parts: tuple[Part, ...]
    as_of: int

    @property
    def range(self) -> Range:
        """Return the range in which the month is known."""
        return Range(self.parts[0].range.start, self.parts[-1].range.end)


class Proof(NamedTuple):
    """What the lake says about a range of a month, and who proved it; one row of the lake's table `coverage`.

    `digest` is the digest of the range's candles, `as_of` the newest answer that has changed or confirmed the month.
    """

    month: int
    start: int
    end: int
    kind: Kind
    intervals: int
    candles: int
    digest: str
    as_of: int
    store: str
    host: str
    version: str

    @property
    def fact(self) -> tuple[object, ...]:
        """Return what is proven, without who proved it and when."""
        return self[:7]


class Author(NamedTuple):
    """Who publishes: the store's id, the machine, and the version of mdata."""

    store: str
    host: str
    version: str


def month_name(month: int) -> str:
    """Return a month (its begin, ms UTC) as `2024-03`."""
    year, number = divmod(month_index(month), 12)
    return f"{year:04}-{number + 1:02}"


def month_named(name: str) -> int:
    """Return when the month `2024-03` begins, ms UTC."""
    year, number = name.split("-")
    return month_start(int(year) * 12 + int(number) - 1)


def period_of(grid: Timeframe, month: int) -> str:
    """Return the partition of a month: `2024-03` below 1h, `2024` from 1h up, so that no file is tiny."""
    return month_name(month) if 0 < grid.step < HOUR else month_name(month)[:4]


def cells_of(grid: Timeframe, month: int) -> Range:
    """Return the intervals that open in the month that begins at `month`."""
    return Range(grid.ceil(month), grid.ceil(month_start(month_index(month) + 1)))


def ready(known: Publishable, until: int) -> tuple[list[Month], list[int]]:
    """Return the months that can be published, and those that are over at `until` but have unknown intervals.

    Both are ascending; times are ms UTC. The first month may begin late, where the wanted range begins.
    """
    found: list[Month] = []
    waiting: list[int] = []
    grid, index = known.grid, month_index(known.start)
    unsettled = [*known.provisional, *subtract(known.unknown, known.unobtainable)]
    while (cells := cells_of(grid, month := month_start(index))).end <= until:
        index += 1
        cells = cells.clip(known.start, cells.end)
        if cells.start >= cells.end:
            continue
        if any(part.overlaps(cells) for part in unsettled):
            waiting.append(month)
            continue
        lacking = intersect(known.unobtainable, [cells])
        parts = [Part(part, "final") for part in subtract([cells], lacking)]
        parts += [Part(part, "unobtainable") for part in lacking]
        # If the store has not recorded when the exchange answered, the answer is known to have come after the month's
        # end.
        found.append(Month(month, tuple(sorted(parts)), max(cells.end, known.answered_at.get(month, 0))))
    return found, waiting


def decide(mine: Month, published: Sequence[Proof], known: Publishable, *, is_damaged: bool = False) -> Step:
    """Return what to do about a month; `published` are its proofs in the lake, which are wrong if `is_damaged`."""
    is_cleaned = cells_of(known.grid, mine.month).start < (known.cleaned_to or 0)
    if not published:
        # A published part of the month would count as the newer answer, and a store that has the whole month from
        # older answers could not replace it.
        return "cleaned" if is_cleaned else "publish"
    as_of = max(proof.as_of for proof in published)
    if mine.as_of <= as_of and not is_damaged:
        return "unchanged" if mine.as_of == as_of else "older"
    if is_cleaned:
        return "cleaned"
    if mine.range.start > min(proof.start for proof in published):
        return "narrower"
    return "publish" if is_damaged else "compare"


def prove(grid: Timeframe, month: Month, columns: Columns, origin: Author) -> list[Proof]:
    """Return the proofs of a month; `columns` (ascending) contain all of its candles."""
    found = []
    for (start, end), kind in month.parts:
        first, last = (bisect_left(columns.open_time, instant) for instant in (start, end))
        told = digest(columns, first, last).hex()
        intervals, candles = grid.count(start, end), last - first
        found.append(Proof(month.month, start, end, kind, intervals, candles, told, month.as_of, *origin))
    return found


def fault(grid: Timeframe, proofs: Sequence[Proof], columns: Columns) -> str | None:
    """Return what is wrong with a month of the lake, or None; `columns` are all of its candles, ascending."""
    if not proofs:
        return f"{len(columns.open_time)} candles that nothing vouches for" if columns.open_time else None
    if wrong := fault_of_coverage(grid, proofs):
        return wrong
    counted = 0
    for proof in sorted(proofs):
        first, last = (bisect_left(columns.open_time, instant) for instant in (proof.start, proof.end))
        if last - first != proof.candles:
            return f"it holds {last - first} candles, and {proof.candles} are vouched for"
        if digest(columns, first, last).hex() != proof.digest:
            return "its candles are not those that are vouched for"
        counted += last - first
    if counted != len(columns.open_time):
        return f"{len(columns.open_time) - counted} of its candles lie where nothing is vouched for"
    return None


def fault_of_coverage(grid: Timeframe, proofs: Sequence[Proof]) -> str | None:
    """Return what is wrong with the proofs of a month, or None; its candles are not looked at."""
    rows = sorted(proofs)
    cells, reached = cells_of(grid, rows[0].month), rows[0].start
    for proof in rows:
        if proof.start != reached or proof.end <= proof.start:
            return "its coverage has a hole, or overlaps"
        if proof.intervals != grid.count(proof.start, proof.end):
            return f"its coverage counts {proof.intervals} intervals instead of {grid.count(proof.start, proof.end)}"
        reached = proof.end
    if rows[0].start < cells.start or reached != cells.end:
        return "its coverage does not reach to its end"
    return None


def of_month(held: Columns, month: int) -> Columns:
    """Return those of these candles (ascending) that open in the month that begins at `month` (ms UTC)."""
    found = Columns.none()
    found.take(held, *positions(held, month))
    return found


def positions(held: Columns, month: int) -> tuple[int, int]:
    """Return the positions of the candles that open in the month that begins at `month` (ms UTC)."""
    index = month_index(month)
    first, last = (bisect_left(held.open_time, month_start(number)) for number in (index, index + 1))
    return first, last


def state_of(grid: Timeframe, proofs: Sequence[Proof]) -> State:
    """Return the state of a published month: `partial` if its proofs do not reach over every interval."""
    if any(proof.kind != "final" for proof in proofs):
        return "unobtainable"
    cells = cells_of(grid, proofs[0].month)
    return "complete" if sum(proof.intervals for proof in proofs) == grid.count(*cells) else "partial"


def batches(months: Iterable[Month], grid: Timeframe, most: int) -> Iterable[list[Month]]:
    """Yield months in groups of at most `most` intervals, or of one larger month.

    A group is read and written at once.
    """
    group: list[Month] = []
    for month in months:
        size = sum(grid.count(*one.range) for one in (*group, month))
        if group and size > most:
            yield group
            group = []
        group.append(month)
    if group:
        yield group
