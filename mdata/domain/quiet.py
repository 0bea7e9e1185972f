"""When a pair counts as quiet: it has not been traded for so long that it is requested only once a day."""

from mdata.domain.timeframe import DAY, Timeframe

# A pair without a candle for this long is quiet.
QUIET_AFTER = 30 * DAY
QUIET_EVERY = 1 * DAY
# A listed pair for which the exchange has had no candle at all for this long is quiet too.
ABSENT_FOR = 1 * DAY


def is_quiet(timeframe: Timeframe, newest: int, until: int) -> bool:
    """Whether no interval that closed in the 30 days before `until` has a candle; `newest` is the last open time."""
    return timeframe.closed_end(until) - timeframe.next(newest) > QUIET_AFTER
