"""How often anything is tried or asked again, how long each wait is, and when it is given up, all in one place.

Two more things are settings: RATE_LIMIT_MAX_RETRIES (after how many retries a request has failed) and
RATE_LIMIT_MIN_BACKOFF_SECONDS. The shared budget decides when a retry is sent, so that several processes together do
not retry too fast.
"""

from collections.abc import Callable

from mdata.domain.timeframe import DAY, HOUR, MINUTE

# A request.
GARBLED_TRIES = 3  # how often a request is sent in all if none of its answers can be read
FIRST_BACKOFF, LONGEST_BACKOFF = 2.0, 120.0  # s: the first pause, doubled with each refusal; the longest
BACKOFF_SPREAD = (5.0, 20.0)  # s, random in this range: clients that resume at exactly 60 s are refused again
LONGEST_BLOCK = 15 * 60.0  # s, whatever the exchange asks for
# A pass, and a repair.
MOST_WITHOUT_NEWS = 3  # answers in a row that end a pass: its doubts wait for the next run
MOST_TRIES = 3  # requests of one run of `repair` about the same range: as many as a doubt gets without a wait
# How long to wait before asking again about a gap, or about a doubt that three answers have not resolved: the nth
# value after the nth answer that proved nothing, and the last value after every further one.
ASK_AGAIN = (1 * HOUR, 6 * HOUR, 24 * HOUR)
MOST_ATTEMPTS = 8  # then a gap is given up
# A second answer to the same request is a second opinion if it comes this much later (ms).
INDEPENDENT_AFTER = 1 * MINUTE
MOST_ANSWERS = 3  # about one doubt without waiting in between; before further answers, it waits like a gap
# When an accepted, unusually long silence is checked again. Around outages the exchange has been seen to fill in
# candles later (2021-06-30 and 2022-10-12: the daily candle has more volume than the hourly ones that had been
# downloaded before).
SILENCE_AGAIN = (1 * DAY, 7 * DAY, 30 * DAY)
FIRST_CANDLE_AGAIN = 30 * DAY
# A stream.
LONGEST_RECONNECT = 60.0  # s
TOO_MANY_CONNECTS = 60.0  # s without connects after the exchange refused one because of too many
CATCH_UP_AGAIN = 60.0  # s after a catch-up that failed after all retries
# A store that is read without locks, or copied, while another process writes.
READ_TRIES = 3


def ask_again_after(answers: int) -> int:
    """Return how long (ms) to wait after the nth answer that proved nothing."""
    return ASK_AGAIN[min(answers, len(ASK_AGAIN)) - 1]


def silence_again_at(believed_at: int, asked_at: int) -> int | None:
    """Return when a silence is due again that was believed at `believed_at`, and last asked about at `asked_at`.

    All times are ms UTC.
    """
    age = asked_at - believed_at
    return next((believed_at + after for after in SILENCE_AGAIN if after > age), None)


def longest_block(minimum: float) -> float:
    """Return the longest time (s) that any block may last."""
    return max(LONGEST_BLOCK, minimum)


def backoff(
    refusals: int, retry_after: float | None, minimum: float, jitter: Callable[[float, float], float]
) -> float:
    """Return the pause of all processes, in seconds, after the nth consecutive refusal.

    `jitter(low, high)` draws from `BACKOFF_SPREAD`, scaled down if the minimum is below 10 s, as in rehearsals.
    """
    doubled = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(refusals - 1, 10))
    wait = max(retry_after or 0.0, minimum, doubled if minimum >= 10 else min(doubled, max(minimum, 0.1)))
    spread = jitter(*BACKOFF_SPREAD) * min(1.0, minimum / 10)
    return min(wait + spread, longest_block(minimum))


def reconnect_pause(failures: int, jitter: Callable[[float, float], float]) -> float:
    """Return how many seconds to wait after this many failed connects in a row.

    With full jitter, so that clients that lost their connections at the same instant reconnect spread over the whole
    pause.
    """
    return jitter(0.0, min(LONGEST_RECONNECT, 2.0 ** min(failures, 10)))
