"""What a run may cost at most: requests, time, and bytes on disk."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

# Bytes that one candle takes in the database, including its share of the tree, measured on a million candles.
BYTES_PER_CANDLE = 65


class Estimate(NamedTuple):
    """How much a run may need at most: requests, seconds at the shared rate, bytes on disk."""

    requests: int
    seconds: float
    bytes: int

    def __add__(self, other: "Estimate") -> "Estimate":  # type: ignore[override]  # adds costs, not a concatenation
        return Estimate(self.requests + other.requests, self.seconds + other.seconds, self.bytes + other.bytes)


def estimate(intervals: int, delay: float, page_rows: int, *, is_new: bool = False) -> Estimate:
    """Return the cost of requesting this many intervals; a new series may need a request for its first candle too."""
    requests = -(-intervals // page_rows) + is_new
    return Estimate(requests, requests * delay, intervals * BYTES_PER_CANDLE)


def in_turn(costs: Iterable[Estimate], seconds: Callable[[int], float]) -> list[Estimate]:
    """Return the estimates, each with the time that it adds to the ones before it.

    `seconds` returns how long a number of requests takes in total: the first requests can be sent at once, later ones
    wait.
    """
    found, requests = [], 0
    for cost in costs:
        before, requests = seconds(requests), requests + cost.requests
        found.append(cost._replace(seconds=seconds(requests) - before))
    return found
