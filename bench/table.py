"""The table of goals: the required value, the aim, and the measurement."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.measure import Spread, number

HEAD = ["goal", "require", "aim", "measured", ""]


@dataclass(frozen=True, slots=True)
class Row:
    """One goal. `require` and `aim` are bounds of the median: from above, or from below where `at_least`.

    A row without a measurement says in `note` why it has none.
    """

    goal: str
    require: float | None
    aim: float | None
    measured: Spread | None
    note: str = ""
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Which of the two bounds is kept."""
        if self.measured is None:
            return "–"
        if self._keeps(self.aim):
            return "aim"
        return "require" if self._keeps(self.require) else "**missed**"

    def _keeps(self, bound: float | None) -> bool:
        if bound is None or self.measured is None:
            return bound is None
        value, bound = _as_shown(self.measured.median), _as_shown(bound)
        return value >= bound if self.at_least else value <= bound

    def cells(self) -> list[str]:
        """Return the row as texts."""
        sign = "≥" if self.at_least else "≤"
        bounds = ["–" if bound is None else f"{sign} {number(bound)}" for bound in (self.require, self.aim)]
        note = f"{self.measured}; {self.note}" if self.measured and self.note else str(self.measured or self.note)
        return [self.goal, *bounds, note, self.verdict]


def _as_shown(value: float) -> float:
    """Return a number with the three digits that the table shows of it: what nobody can see does not matter."""
    return float(f"{value:.3g}")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)
