"""The exchange's time, which a stream takes from the frames: one wrong timestamp changes nothing."""

from conftest import NOW, SetClock

from mdata.streaming.feed import ExchangeTime

HOUR = 3_600_000


class Told:
    """An exchange's time on a set clock, and the warnings about it."""

    def __init__(self) -> None:
        self.clock, self.warnings = SetClock(), list[str]()
        self.time = ExchangeTime(self.clock, self.warnings.append)

    def frames(self, *ahead: int, every: int = 1_000) -> None:
        """Take frames whose timestamps are so far (ms) ahead of the local clock."""
        for one in ahead:
            self.clock.advance(every)
            self.time.seen(self.clock.now() + one)

    @property
    def ahead(self) -> int:
        return self.time.now() - self.clock.now()


def test_without_a_frame_it_is_the_local_time() -> None:
    told = Told()
    assert (told.time.now(), told.time.at()) == (NOW, NOW)


def test_two_frames_agree_on_a_local_clock_that_is_wrong_by_hours() -> None:
    for wrong in (-5 * HOUR, 5 * HOUR):
        told = Told()
        told.frames(wrong, wrong + 40)
        assert told.ahead == wrong + 40


def test_until_two_agree_nothing_is_later_than_the_local_clock() -> None:
    told = Told()
    told.frames(HOUR)
    assert told.ahead == 0
    assert told.time.at() - told.clock.now() == HOUR, "rows of that frame are judged by its own time"
    told.frames(0)
    assert (told.ahead, told.time.at()) == (0, told.clock.now())


def test_one_frame_from_the_future_changes_nothing() -> None:
    for wrong in (60_000, HOUR, 5 * HOUR):
        told = Told()
        told.frames(0, 30, wrong, 20)
        assert told.ahead == 20
        told.frames(wrong)
        assert told.ahead == 20
        told.frames(*[10, wrong] * 30)
        assert told.ahead == 10


def test_a_clock_that_all_frames_show_for_ten_seconds_is_believed() -> None:
    told = Told()
    told.frames(0, 0, *[HOUR] * 10)
    assert told.ahead == 0
    told.frames(HOUR)
    assert told.ahead == HOUR


def test_frames_that_disagree_about_a_leap_do_not_confirm_each_other() -> None:
    told = Told()
    told.frames(0, 0, *[HOUR, 2 * HOUR] * 20)
    assert told.ahead == 0


def test_frames_that_were_held_up_set_it_back_at_once() -> None:
    told = Told()
    told.frames(0, 0, -8_000)
    assert told.ahead == -8_000


def test_a_minute_of_it_is_warned_about_once() -> None:
    told = Told()
    told.frames(*[HOUR] * 61)
    assert told.warnings == []
    told.frames(*[HOUR] * 60)
    (warning,) = told.warnings
    assert "3600 s behind the exchange's clock" in warning
