"""From settings to timers: cadences kept or refused, run times inside them, the shared budget."""

from typing import Any

import pytest

from mdata.config import load
from mdata.errors import ConfigurationError
from mdata.timers.timetable import SCHEDULED, Scheduled, timetable, warnings


def scheduled(**settings: str) -> dict[str, Scheduled]:
    return {
        one.job: one
        for one in timetable(load(overrides=settings, environ={"HOME": "/h", "MDATA_ENV_FILE": "/dev/null"}).settings)
    }


def test_the_defaults() -> None:
    found = scheduled()
    assert tuple(found) == SCHEDULED
    assert {one.job: (one.cadence, one.run_seconds, one.is_enabled) for one in found.values()} == {
        "backfill": (3600, 3240, True), "update": (60, 48, False), "detect-gaps": (3600, 300, True),
        "repair": (3600, 3240, True), "stream": (60, None, True), "cleanup": (86_400, 1800, False),
        "recheck": (86_400, 3600, True), "publish": (86_400, 7200, False),
        "status": (900, 60, True),
    }  # fmt: skip
    assert [one.job for one in found.values() if one.at_startup] == ["backfill"]
    first = {job: (one.times[0].hours[0], one.times[0].minutes[0]) for job, one in found.items()}
    assert first["detect-gaps"] < first["repair"]


@pytest.mark.parametrize("minutes", [1, 2, 5, 15, 16, 60, 90, 480, 1440, 10_080])
def test_runs_end_within_their_cadence(minutes: int) -> None:
    found = scheduled(BACKFILL_INTERVAL_MINUTES=str(minutes), GAP_DETECTION_INTERVAL_MINUTES=str(minutes),
                      GAP_REPAIR_INTERVAL_MINUTES=str(minutes))  # fmt: skip
    for job in ("backfill", "detect-gaps", "repair"):
        one = found[job]
        assert one.run_seconds is not None
        assert 0 < one.run_seconds <= one.cadence - max(30, one.cadence * 0.1)
        assert one.random_delay <= min(90, one.cadence / 10)


@pytest.mark.parametrize(("settings", "said"), [
    ({"BACKFILL_INTERVAL_MINUTES": "7"}, ["BACKFILL_INTERVAL_MINUTES=7", "6 or 8"]),
    ({"GAP_REPAIR_INTERVAL_MINUTES": "2880"}, ["GAP_REPAIR_INTERVAL_MINUTES=2880", "1440 or 10080"]),
    ({"GAP_DETECTION_INTERVAL_MINUTES": "44640"}, ["GAP_DETECTION_INTERVAL_MINUTES=44640", ": 10080;"]),
    ({"REST_UPDATE_ENABLED": "true", "UPDATE_INTERVAL_SECONDS": "7"}, ["UPDATE_INTERVAL_SECONDS=7", "6 or 8"]),
    ({"BACKFILL_INTERVAL_MINUTES": "7", "GAP_REPAIR_INTERVAL_MINUTES": "11"}, ["BACKFILL_INT", "GAP_REPAIR_INT"]),
    ({"REST_UPDATE_ENABLED": "true", "UPDATE_INTERVAL_SECONDS": "5"},
     ["2 series × 6 s", "= 12 s", "update needs them every 5 s", "240%", "update every 15 s would fit"]),
    ({"BACKFILL_INTERVAL_MINUTES": "1", "SYMBOLS": "BTCUSD,ETHUSD", "TIMEFRAMES": "1m,5m,15m,1h,6h,1D"},
     ["12 series × 6 s", "= 72 s", "backfill needs them every 60 s", "120%", "backfill every 2 min would fit"]),
    ({"BACKFILL_INTERVAL_MINUTES": "1", "SYMBOLS": ",".join(f"A{one}USD" for one in range(10, 40)),
      "RATE_LIMIT_DELAY": "2"},
     ["30 series × 2.22 s (at most 27 per minute)", "= 66.67 s", "111%", "backfill every 2 min would fit"]),
    ({"REST_UPDATE_ENABLED": "true", "SYMBOLS": ",".join(f"A{one}USD" for one in range(10, 29)),
      "UPDATE_INTERVAL_SECONDS": "120", "RATE_LIMIT_BURST": "1"},
     ["19 series in one run of update, 1 at once (RATE_LIMIT_BURST)", "18 × 6 s (RATE_LIMIT_DELAY) = 108 s", "96 s"]),
])  # fmt: skip
def test_what_cannot_be_kept_is_refused(settings: dict[str, str], said: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scheduled(**settings)
    for part in said:
        assert part in str(caught.value)


@pytest.mark.parametrize(("settings", "job", "expected"), [
    ({"REST_UPDATE_ENABLED": "true", "UPDATE_INTERVAL_SECONDS": "5", "RATE_LIMIT_DELAY": "2"}, "update",
     (5, 4, True)),
    ({"UPDATE_INTERVAL_SECONDS": "7"}, "update", (60, 48, False)),
    ({"RETENTION_DAYS": "30"}, "cleanup", (86_400, 1800, True)),
    ({"RETENTION_DAYS_BY_TIMEFRAME": "1m=30"}, "cleanup", (86_400, 1800, True)),
    ({"WS_INGESTION_ENABLED": "false"}, "stream", (60, None, False)),
    ({"REST_UPDATE_ENABLED": "true"}, "update", (60, 48, True)),
])  # fmt: skip
def test_switches(settings: dict[str, str], job: str, expected: tuple[Any, ...]) -> None:
    one = scheduled(**settings)[job]
    assert (one.cadence, one.run_seconds, one.is_enabled) == expected
    assert not scheduled(BACKFILL_ON_STARTUP="false")["backfill"].at_startup


@pytest.mark.parametrize(("settings", "is_doubted"), [
    ({}, False), ({"WS_INGESTION_ENABLED": "false"}, False),
    ({"WS_INGESTION_ENABLED": "false", "BACKFILL_INTERVAL_MINUTES": "90"}, True),
    ({"BACKFILL_INTERVAL_MINUTES": "480"}, False),
    ({"WS_INGESTION_ENABLED": "false", "BACKFILL_INTERVAL_MINUTES": "480", "STATUS_MAX_LAG_MINUTES": "600"}, False),
])  # fmt: skip
def test_a_check_that_must_fail_is_told(settings: dict[str, str], is_doubted: bool) -> None:
    loaded = load(overrides=settings, environ={"HOME": "/h", "MDATA_ENV_FILE": "/dev/null"})
    assert bool(warnings(loaded.settings)) is is_doubted
