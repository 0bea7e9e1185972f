"""The rules of the pace, one at a time: the burst, the delay, the limit of a minute, and what is assumed."""

import pytest

from mdata.domain.pace import Pace, Past
from mdata.exchange.bitfinex.venue import BITFINEX

DEFAULT = Pace(6.0, 15, BITFINEX.window)
FASTEST = Pace(2.0, 27, BITFINEX.window)  # the shortest delay at which the limit of a minute applies
REHEARSED = Pace(1.0, 27, BITFINEX.window)  # shorter: it does not
NOW = 1000.0


def ms(*seconds: float) -> tuple[int, ...]:
    return tuple(int(one * 1000) for one in seconds)


def steadily(count: int, newest: float = NOW) -> tuple[int, ...]:
    """Return so many arrivals, one a second."""
    return ms(*(newest - number for number in reversed(range(count))))


@pytest.mark.parametrize(
    ("delay", "counts", "spacing", "sustained"),
    [(6.0, True, 0.1, 6.0), (2.0, True, 0.1, 60 / 27), (1.999, False, 0.1, 1.999), (0.05, False, 0.05, 0.05)],
)
def test_the_limit_of_a_minute_applies_from_two_seconds_on(
    delay: float, counts: bool, spacing: float, sustained: float
) -> None:
    pace = Pace(delay, 15, BITFINEX.window)
    assert (pace.counts_windows, pace.spacing) == (counts, spacing)
    assert pace.sustained == pytest.approx(sustained)


def test_after_a_refusal_requests_are_evenly_spaced_and_a_tenth_further_apart() -> None:
    assert DEFAULT.calmed() == Pace(pytest.approx(6.6), 1, BITFINEX.window)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pace", "requests", "free", "seconds"),
    [
        (DEFAULT, 0, 15, 0.0), (DEFAULT, 1, 15, 0.1), (DEFAULT, 15, 15, 1.5), (DEFAULT, 16, 15, 6.0),
        (DEFAULT, 2, 0, 12.0), (DEFAULT, 115, 15, 600.0),
        # At the shortest delay, 27 leave in each minute.
        (FASTEST, 27, 27, 2.7), (FASTEST, 28, 27, 60.0), (FASTEST, 54, 27, 60.0), (FASTEST, 55, 27, 120.0),
        (REHEARSED, 55, 27, 28.0), (Pace(0.05, 1, BITFINEX.window), 1, 1, 0.05),
    ],
)  # fmt: skip
def test_how_long_it_takes_follows_from_the_strictest_rule(
    pace: Pace, requests: int, free: int, seconds: float
) -> None:
    assert pace.seconds(requests, free) == pytest.approx(seconds)


def test_the_most_that_can_have_been_sent_is_a_burst_just_now_and_one_in_each_delay_before() -> None:
    # Nine in the last minute before the burst: the tenth arrived a minute ago and is not counted any more.
    before = ms(946, 952, 958, 964, 970, 976, 982, 988, 994)
    assert DEFAULT.fullest(NOW) == Past(15.0, NOW, (*before, *[1_000_000] * 15))
    # No more than the limit of a minute, though the delay alone would allow it.
    shortest = FASTEST._replace(burst=15).fullest(NOW)
    assert shortest.arrivals == (*ms(*range(976, 1000, 2)), *[1_000_000] * 15)
    assert FASTEST.fullest(NOW) == Past(27.0, NOW, (1_000_000,) * 27)


def test_a_request_counts_as_one_that_arrives_two_seconds_later_until_its_answer_comes() -> None:
    left = Past(3.0, NOW, ms(900)).leaving(DEFAULT, NOW)
    assert left == Past(4.0, NOW, ms(900, 1002))
    assert left.arrived(NOW, NOW + 0.5) == Past(4.0, NOW, ms(900, 1000.5))
    assert left.arrived(NOW, NOW + 30) == Past(4.0, NOW, ms(900, 1030))
    assert left.arrived(NOW - 1, NOW + 0.5) == left, "that request is not known: another version wrote the file"
    both = left.leaving(DEFAULT, NOW + 1).arrived(NOW + 1, NOW + 1.5)
    assert both.arrivals == ms(900, 1001.5, 1002), "ascending, whichever answer comes first"


def test_instants_are_rounded_up_to_whole_ms() -> None:
    assert Past().leaving(DEFAULT, 0.0001).arrivals == (2001,)


def test_only_as_many_requests_are_remembered_as_a_minute_allows() -> None:
    past = Past(0.0, NOW, steadily(27))
    assert past.leaving(DEFAULT, NOW).arrivals == (*steadily(26), 1_002_000)
    assert past._replace(arrivals=steadily(25)).leaving(DEFAULT, NOW).arrivals == (*steadily(25), 1_002_000)


@pytest.mark.parametrize(
    ("spent", "later", "level"),
    [(3.0, 0.0, 4.0), (3.0, 6.0, 3.0), (3.0, 9.0, 2.5), (3.0, 18.0, 1.0), (3.0, 600.0, 1.0)],
)
def test_a_burst_becomes_available_again_by_one_in_each_delay(spent: float, later: float, level: float) -> None:
    past = Past(spent, NOW).leaving(DEFAULT, NOW + later)
    assert (past.level, past.at) == (level, NOW + later)


@pytest.mark.parametrize(
    ("found", "clamped"),
    [
        (Past(3.5, 900.0), Past(3.5, 900.0)), (Past(27.0, NOW), Past(27.0, NOW)), (Past(99.0, NOW), Past(27.0, NOW)),
        (Past(-1.0, NOW), Past(0.0, NOW)), (Past(0.5, NOW + 1), Past(0.5, NOW)),
        (Past(0.0, NOW, ms(939, 940, 940.001, 1000, 1002, 1002.001)), Past(0.0, NOW, ms(940.001, 1000, 1002))),
        (Past(0.0, NOW, ms(1000, 950, 970)), Past(0.0, NOW, ms(950, 970, 1000))),
        (Past(0.0, NOW, steadily(30)), Past(0.0, NOW, steadily(27))),
    ],
)  # fmt: skip
def test_what_a_file_says_delays_nobody_for_longer_than_the_rules_allow(found: Past, clamped: Past) -> None:
    assert found.clamped(NOW, BITFINEX.window) == clamped


@pytest.mark.parametrize(
    ("level", "kept", "later"),
    [
        (0.0, 0, 0.1), (14.0, 0, 0.1), (14.5, 0, 3.0), (15.0, 0, 6.0),
        # Never longer than a delay, however much is spent.
        (16.0, 0, 6.0), (27.0, 0, 6.0), (27.0, 3, 6.0),
        (11.0, 3, 0.1), (11.5, 3, 3.0), (12.0, 3, 6.0),
        # One request may always leave after a pause.
        (0.0, 15, 0.1), (0.5, 15, 3.0), (1.0, 15, 6.0), (0.5, 99, 3.0),
    ],
)  # fmt: skip
def test_after_the_burst_the_next_request_leaves_one_delay_later(level: float, kept: int, later: float) -> None:
    assert Past(level, NOW).ready_at(DEFAULT, kept) == pytest.approx(NOW + later)


def test_all_of_the_burst_is_free_unless_some_is_to_be_kept() -> None:
    assert Past(14.0, NOW).ready_at(DEFAULT) == pytest.approx(NOW + 0.1)
    assert Past(15.0, NOW).ready_at(DEFAULT) == pytest.approx(NOW + 6.0)


@pytest.mark.parametrize(
    ("pace", "arrivals", "later"),
    [
        # The 27th newest request leaves the minute that begins with it.
        (FASTEST, steadily(27), 60 - 26), (FASTEST, steadily(28), 60 - 26), (FASTEST, steadily(26), 0.1),
        (REHEARSED, steadily(27), 0.1), (FASTEST, steadily(27, NOW - 50), 0.1),
    ],
)  # fmt: skip
def test_a_28th_request_leaves_when_the_first_of_27_is_a_minute_old(
    pace: Pace, arrivals: tuple[int, ...], later: float
) -> None:
    assert Past(0.0, NOW, arrivals).ready_at(pace) == pytest.approx(NOW + later)


@pytest.mark.parametrize(
    ("level", "later", "free"),
    [
        (0.0, 0.0, 15), (3.0, 0.0, 12), (3.0, 5.9, 12), (3.0, 6.0, 13), (3.0, 600.0, 15),
        (14.5, 0.0, 0), (15.0, 0.0, 0), (15.0, 5.9, 0), (15.0, 6.0, 1), (20.0, 5.9, 0), (20.0, 6.0, 1),
    ],
)  # fmt: skip
def test_as_many_are_free_as_are_left_of_the_burst_and_one_after_each_delay(
    level: float, later: float, free: int
) -> None:
    assert Past(level, NOW).free(DEFAULT, NOW + later) == free


def test_of_a_burst_that_is_back_nothing_is_lost_to_the_last_digit_of_a_float() -> None:
    pace = Pace(0.1, 3, BITFINEX.window)
    assert 0.3 / pace.delay < 3
    assert Past(3.0, 0.0).free(pace, 0.3) == 3


@pytest.mark.parametrize(
    ("pace", "arrivals", "free"),
    [
        (FASTEST, (), 27), (FASTEST, steadily(20), 7), (FASTEST, steadily(27), 0), (FASTEST, steadily(30), 0),
        (FASTEST, ms(939, 940, 940.001, 950), 25), (REHEARSED, steadily(20), 27),
    ],
)  # fmt: skip
def test_no_more_are_free_than_a_minute_allows(pace: Pace, arrivals: tuple[int, ...], free: int) -> None:
    assert Past(0.0, NOW - 60, arrivals).free(pace, NOW) == free


@pytest.mark.parametrize("delay", [0.5, 1.0, 6.0])
def test_the_burst_comes_back_by_one_in_each_delay_however_short_that_is(delay: float) -> None:
    pace = Pace(delay, 3, BITFINEX.window)
    assert [Past(3.0, NOW).free(pace, NOW + number * delay) for number in range(5)] == [0, 1, 2, 3, 3]


def test_without_a_delay_the_whole_burst_is_always_free() -> None:
    assert Past(99.0, NOW).free(Pace(0.0, 3, BITFINEX.window), NOW) == 3


def test_nothing_has_been_sent_before_the_first_request() -> None:
    assert Past() == Past(0.0, 0.0, ())
    assert Past().free(DEFAULT, 0.0) == 15
