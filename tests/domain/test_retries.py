"""The retry policy: each of its numbers is what the documentation promises, and how the waits follow from them."""

from pathlib import Path

import pytest

from mdata.domain import retries
from mdata.domain.retries import ask_again_after, backoff, longest_block, reconnect_pause, silence_again_at
from mdata.domain.timeframe import DAY, HOUR, MINUTE

DOCS = Path(__file__).parents[2] / "docs"
SETTING = 60.0  # s, the default of RATE_LIMIT_MIN_BACKOFF_SECONDS


# The name of a number, the number, the page that promises it, and in which words.
PROMISES = [
    ("GARBLED_TRIES", 3, "design", "read at all | the request is sent up to three times"),
    ("FIRST_BACKOFF", 2.0, "design", "all processes pause for 2 s"),
    ("LONGEST_BACKOFF", 120.0, "design", "each further refusal in a row up to 120 s"),
    ("BACKOFF_SPREAD", (5.0, 20.0), "design", "then 5 to 20 s more, at random"),
    ("LONGEST_BLOCK", 15 * 60.0, "design", "never longer than 15 minutes"),
    ("MOST_WITHOUT_NEWS", 3, "design", "ends after three answers in a row without news"),
    ("MOST_TRIES", 3, "design", "about one range | at most three requests in a run"),
    ("ASK_AGAIN", (1 * HOUR, 6 * HOUR, 24 * HOUR), "design", "again after 1 h, 6 h, 24 h and every further 24 h"),
    ("ASK_AGAIN", (1 * HOUR, 6 * HOUR, 24 * HOUR), "SCHEDULING", "again after 1 h, 6 h, 24 h and so on"),
    ("MOST_ATTEMPTS", 8, "design", "given up after eight attempts"),
    ("MOST_ATTEMPTS", 8, "SCHEDULING", "given up after eight attempts"),
    ("INDEPENDENT_AFTER", 1 * MINUTE, "design", "is independent of the first if it is sent at least a minute later"),
    ("INDEPENDENT_AFTER", 1 * MINUTE, "reference", "to different requests or a minute apart"),
    ("MOST_ANSWERS", 3, "design", "a doubt | up to three answers without a wait"),
    ("SILENCE_AGAIN", (1 * DAY, 7 * DAY, 30 * DAY), "design", "a day, a week and a month (30 days) after"),
    ("SILENCE_AGAIN", (1 * DAY, 7 * DAY, 30 * DAY), "reference", "a day, a week and a month after it was"),
    ("FIRST_CANDLE_AGAIN", 30 * DAY, "design", "first candle of a series | again every month (30 days)"),
    ("LONGEST_RECONNECT", 60.0, "design", "doubled by each further failure up to 60 s"),
    ("TOO_MANY_CONNECTS", 60.0, "design", 'after "too many connections" a minute more'),
    (
        "TOO_MANY_CONNECTS",
        60.0,
        "stream",
        'After "too many connections" (429), the stream waits for at least a minute',
    ),
    ("CATCH_UP_AGAIN", 60.0, "design", "catch-up that has failed | again a minute later"),
    ("READ_TRIES", 3, "design", "without locks, or copied | is read up to three times"),
]


@pytest.mark.parametrize(("number", "value", "page", "promise"), PROMISES)
def test_each_number_is_promised(number: str, value: object, page: str, promise: str) -> None:
    """Whoever changes a number changes the sentence, too: the two stand in one row here."""
    assert getattr(retries, number) == value
    assert promise in " ".join((DOCS / f"{page}.md").read_text().split())


def test_every_number_of_the_policy_has_a_promise() -> None:
    numbers = {name for name in vars(retries) if name.isupper()} - {"DAY", "HOUR", "MINUTE"}
    assert {number for number, *_ in PROMISES} == numbers


def least(low: float, _: float) -> float:
    return low


def most(_: float, high: float) -> float:
    return high


@pytest.mark.parametrize(("answers", "hours"), [(1, 1), (2, 6), (3, 24), (4, 24), (100, 24)])
def test_each_answer_without_proof_is_followed_by_a_longer_wait(answers: int, hours: int) -> None:
    assert ask_again_after(answers) == hours * HOUR


@pytest.mark.parametrize(
    ("asked", "due"),
    [(0, 1), (DAY - 1, 1), (DAY, 7), (7 * DAY - 1, 7), (7 * DAY, 30), (30 * DAY, None), (99 * DAY, None)],
)
def test_a_silence_is_due_at_the_first_of_its_days_after_it_was_last_asked_about(asked: int, due: int | None) -> None:
    believed = 1_000_000
    expected = None if due is None else believed + due * DAY
    assert silence_again_at(believed, believed + asked) == expected


@pytest.mark.parametrize(
    ("refusals", "seconds"), [(1, 12), (3, 12), (4, 16), (5, 32), (6, 64), (7, 120), (8, 120), (10**18, 120)]
)
def test_a_pause_is_doubled_by_each_refusal_up_to_two_minutes_and_never_below_the_setting(
    refusals: int, seconds: float
) -> None:
    assert backoff(refusals, None, 12.0, least) == seconds + 5
    assert backoff(refusals, None, 12.0, most) == seconds + 20
    assert backoff(refusals, None, SETTING, least) == max(seconds, SETTING) + 5


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(None, 60), (0.0, 60), (59.0, 60), (61.0, 61), (600.0, 600), (1e9, 900)]
)
def test_a_pause_is_as_long_as_the_exchange_says_up_to_a_quarter_of_an_hour(
    retry_after: float | None, seconds: float
) -> None:
    assert backoff(1, retry_after, SETTING, least) == min(seconds + 5, 900)


def test_a_block_lasts_for_a_quarter_of_an_hour_at_most_unless_the_setting_is_longer() -> None:
    assert longest_block(SETTING) == longest_block(900.0) == 900
    assert longest_block(901.0) == 901
    assert backoff(1, None, 1000.0, most) == 1000


@pytest.mark.parametrize(
    ("minimum", "refusals", "seconds", "share"),
    [
        # From a minimum of 10 s on, pauses double, and the whole random part is added.
        (10.0, 1, 10, 1), (10.0, 5, 32, 1), (20.0, 1, 20, 1),
        # Below that, in rehearsals, they do not.
        (9.0, 5, 9, 0.9), (9.5, 5, 9.5, 0.95), (1.0, 1, 1, 0.1), (1.0, 9, 1, 0.1),
        (0.05, 1, 0.1, 0.005), (0.0, 1, 0.1, 0), (0.0, 9, 0.1, 0),
    ],
)  # fmt: skip
def test_in_rehearsals_a_pause_is_the_minimum_and_the_random_part_shrinks(
    minimum: float, refusals: int, seconds: float, share: float
) -> None:
    assert backoff(refusals, None, minimum, least) == pytest.approx(seconds + 5 * share)
    assert backoff(refusals, None, minimum, most) == pytest.approx(seconds + 20 * share)


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (7, 60), (10**18, 60)])
def test_a_reconnect_waits_for_any_time_from_none_to_a_minute_that_doubles_with_each_failure(
    failures: int, seconds: float
) -> None:
    assert reconnect_pause(failures, least) == 0
    assert reconnect_pause(failures, most) == seconds
