"""Cadences as calendar times: even to the second, or not offered; systemd itself agrees."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdata.domain.cadence import Times, crontab_times, is_even, neighbours, on_calendar, times
from mdata.domain.times import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, WEEK_SECONDS

EVEN = [cadence for cadence in range(5, DAY_SECONDS + 1) if is_even(cadence)]


def runs(found: list[Times]) -> list[int]:
    return sorted(
        h * HOUR_SECONDS + m * MINUTE_SECONDS + s
        for one in found
        for h in one.hours
        for m in one.minutes
        for s in one.seconds
    )


@settings(deadline=None)
@given(st.sampled_from(EVEN), st.integers(0, DAY_SECONDS))
def test_runs_are_even_round_the_clock(cadence: int, offset: int) -> None:
    found = runs(times(cadence, offset))
    assert len(found) == len(set(found)) == DAY_SECONDS // cadence
    assert {after - before for before, after in zip(found, [*found[1:], found[0] + DAY_SECONDS], strict=True)} == {
        cadence
    }
    assert offset % cadence == found[0]
    assert len(times(cadence, offset)) <= 12, "a cadence that takes pages of lines is no cadence for a unit"


@given(st.integers(1, 44_640))
def test_every_whole_number_of_minutes_is_even_or_has_even_neighbours(minutes: int) -> None:
    cadence = minutes * MINUTE_SECONDS
    below, above = neighbours(cadence, MINUTE_SECONDS)
    if not is_even(cadence):
        assert below is not None
        assert is_even(below)
        assert below % MINUTE_SECONDS == 0
        assert below < cadence
        assert above is None or (cadence < above and is_even(above))
        assert not any(
            is_even(one * MINUTE_SECONDS)
            for one in range(below // MINUTE_SECONDS + 1, (above or cadence) // MINUTE_SECONDS)
        )


def test_what_can_be_kept() -> None:
    assert [one // MINUTE_SECONDS for one in EVEN if one % MINUTE_SECONDS == 0][:16] == [
        1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 30,
    ]  # fmt: skip
    assert neighbours(7 * MINUTE_SECONDS, MINUTE_SECONDS) == (6 * MINUTE_SECONDS, 8 * MINUTE_SECONDS)
    assert neighbours(30_000 * MINUTE_SECONDS, MINUTE_SECONDS) == (WEEK_SECONDS, None)
    assert neighbours(7) == (6, 8)
    assert is_even(5)


KNOWN = [
    (5, 0, ["*-*-* *:*:00/5 UTC"]),
    (60, 0, ["*-*-* *:*:00 UTC"]),
    (3600, 240, ["*-*-* *:04:00 UTC"]),
    (900, 240, ["*-*-* *:04/15:00 UTC"]),
    (5400, 240, ["*-*-* 00/3:04:00 UTC", "*-*-* 01/3:34:00 UTC"]),
    (86_400, 15_600, ["*-*-* 04:20:00 UTC"]),
    (WEEK_SECONDS, 240, ["Mon *-*-* 00:04:00 UTC"]),
    (40, 0, ["*-*-* *:00/2:00,40 UTC", "*-*-* *:01/2:20 UTC"]),
]  # fmt: skip


@pytest.mark.parametrize(("cadence", "offset", "expected"), KNOWN)
def test_known_ones(cadence: int, offset: int, expected: list[str]) -> None:
    assert [on_calendar(one) for one in times(cadence, offset)] == expected


def test_crontab() -> None:
    assert [crontab_times(one) for one in times(5400, 240)] == ["4 0-23/3 * * *", "34 1-23/3 * * *"]
    assert [crontab_times(one) for one in times(60)] == ["* * * * *"]
    assert [crontab_times(one) for one in times(WEEK_SECONDS, 240)] == ["4 0 * * 1"]
    assert [crontab_times(one) for one in times(900, 240)] == ["4-59/15 * * * *"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze on this machine")
def test_systemd_reads_them_as_they_are_meant() -> None:
    for cadence in (5, 20, 40, 75, 90, 60, 300, 900, 960, 1920, 3600, 5400, 17_280, 28_800, DAY_SECONDS):
        found = times(cadence, 547)
        instants = set()
        for one in found:
            answer = subprocess.run(
                ["systemd-analyze", "calendar", "--base-time=2024-02-28 00:00:00 UTC", "--iterations=20",
                 on_calendar(one)],
                capture_output=True, text=True, check=True, env={"TZ": "UTC", "LC_ALL": "C.UTF-8"},
            ).stdout  # fmt: skip
            clocks = re.findall(r"\w{3} (\d{4}-\d\d-\d\d) (\d\d):(\d\d):(\d\d) UTC", answer)
            assert len(clocks) >= 20
            days = {"2024-02-28": 0, "2024-02-29": DAY_SECONDS}
            for day, hour, minute, second in clocks:
                if day in days:
                    instants.add(days[day] + int(hour) * HOUR_SECONDS + int(minute) * MINUTE_SECONDS + int(second))
        # The base time itself is not counted as an elapse by systemd.
        due = [run + day for day in (0, DAY_SECONDS) for run in runs(found) if run + day > 0]
        last = min(max(instants), 20 * cadence)
        assert sorted(one for one in instants if one <= last) == [one for one in due if one <= last]
