"""Instants and durations: read as people write them, checked against the calendar of the standard library."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mdata.domain.times import human_duration, iso, parse_duration, parse_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = 1_717_243_443_123
MILLISECOND = timedelta(milliseconds=1)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)).map(  # noqa: DTZ001 - the zone comes next
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)


def ms(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // MILLISECOND  # type: ignore[arg-type,misc]  # mypy: star before keyword


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024", ms(2024, 1, 1)), ("2024-03", ms(2024, 3, 1)), ("2024-02-29", ms(2024, 2, 29)),
        ("2024-03-01T12:30", ms(2024, 3, 1, 12, 30)), ("2024-03-01T12:30Z", ms(2024, 3, 1, 12, 30)),
        ("2024-03-01 12:30:15", ms(2024, 3, 1, 12, 30, 15)),
        ("2024-03-01T12:30:15.25Z", ms(2024, 3, 1, 12, 30, 15) + 250),
        ("2024-03-01T00:30+02:00", ms(2024, 2, 29, 22, 30)), ("2024-12-31T23:30-01:00", ms(2025, 1, 1, 0, 30)),
        ("1970", 0), ("1364774820000", ms(2013, 4, 1, 0, 7)), ("1717243443123", NOW),
        ("-90s", NOW - 90_000), ("-10m", NOW - 600_000), ("-36h", NOW - 129_600_000), ("-7d", NOW - 604_800_000),
    ],
)  # fmt: skip
def test_instants_are_read_in_every_documented_form(text: str, instant: int) -> None:
    assert parse_instant(text, NOW) == instant


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "-", "-7", "-7x", "-d", "--7d", "7d", "20 24", "24", "202", "2024-", "2024-1", "2024-13",
        "2024-00", "2023-02-29", "2024-04-31", "2024-03-01T25:00", "2024-03-01T12:60", "2024-03-01T12:30:61",
        "2024-03-01TZ", "2024/03/01", "01.03.2024", "0", "1e12", "1717243443", "2024-03-01\n", "２０２４",
        "yesterday", "9" * 5000,
        "0001", "1969", "-36500d", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00+01:00",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused_in_one_short_printable_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a date or time; |is not a duration; |is before 1970") as refused:
        parse_instant(text, NOW)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 160


def test_seconds_where_milliseconds_belong_are_answered_with_what_was_meant() -> None:
    with pytest.raises(ValueError, match="write milliseconds: 1717243443000"):
        parse_instant("1717243443", NOW)


@given(MOMENTS)
def test_an_instant_is_shown_as_the_calendar_has_it_and_read_back(moment: datetime) -> None:
    instant = (moment - EPOCH) // MILLISECOND
    shown = iso(instant)
    assert shown.endswith("Z")
    assert datetime.fromisoformat(shown) == moment
    assert parse_instant(shown, NOW) == instant


@given(MOMENTS, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_a_zone_is_subtracted(moment: datetime, minutes: int) -> None:
    instant = (moment - EPOCH) // MILLISECOND
    assume(abs(minutes) * 60_000 <= instant)
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_instant(local.isoformat(), NOW) == instant


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (NOW, "2024-06-01T12:04:03.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (ms(2024, 2, 29), "2024-02-29T00:00:00Z"),
    ],
)
def test_milliseconds_are_shown_only_where_there_are_any(instant: int, shown: str) -> None:
    assert iso(instant) == shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("90", 90), ("0", 0), ("36525d", 36_525 * 86_400)],
)
def test_durations_are_read_in_every_documented_form(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-5s",
        "+5s",
        "5 s",
        " 5s",
        "5s\n",
        "1.5h",
        "1h30m",
        "1w",
        "1e3",
        "nan",
        "inf",
        "٥s",
        "36526d",
        "9" * 99,
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; |more than a century; ") as refused:
        parse_duration(text)
    assert str(refused.value).isprintable()


def test_a_duration_in_capitals_is_answered_with_what_was_meant() -> None:
    with pytest.raises(ValueError, match=r"did you mean 10m\?"):
        parse_duration("10M")


@given(st.text() | st.text("0123456789-:TZ+smhd. ", max_size=30))
def test_whatever_comes_in_the_answer_is_an_instant_or_a_sentence(text: str) -> None:
    try:
        instant = parse_instant(text, NOW)
    except ValueError as refused:
        assert str(refused).isprintable()  # noqa: PT017 - either end is right, and both are checked
    else:
        assert 0 <= instant < ms(9999, 12, 31) + 86_400_000


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"), (0.4, "0 s"), (-3, "0 s"), (45, "45 s"), (59.6, "1 min"), (106, "1 min 46 s"), (7200, "2 h"),
        (7500, "2 h 5 min"), (7501, "2 h 5 min"), (86_400 + 59, "1 d"), (3 * 86_400 + 4 * 3600 + 5, "3 d 4 h"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown
