"""The alarm of failed units: on a change of state, once in six hours at most, whatever happens to its notes."""

from dataclasses import replace
from pathlib import Path

import pytest
from hostile_texts import is_harmless
from hypothesis import given
from hypothesis import strategies as st

from mdata.logs import harmless
from mdata.timers import alarm
from mdata.timers.alarm import TELL_AGAIN_AFTER, Failure, Note

HOUR = 3_600_000
START = 1_700_000_000_000
BAD_SETTING = Failure("exit-code", "78", "a" * 32)
KILLED = Failure("signal", "KILL", "b" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mdata"


def tell(folder: Path, failure: Failure, hours: float) -> str | None:
    return alarm.tell(folder, "mdata-repair", failure, "system", START + int(hours * HOUR))


def test_the_same_failure_is_told_once(folder: Path) -> None:
    alarm.note_ending(folder, "mdata-repair", 78, "SYMBOLS is invalid", BAD_SETTING.invocation_id)
    told = tell(folder, BAD_SETTING, 0)
    assert told is not None
    assert told.startswith("mdata-repair failed: exit 78 (configuration")
    assert ": SYMBOLS is invalid; read `journalctl _SYSTEMD_INVOCATION_ID=" in told
    assert [tell(folder, BAD_SETTING, hours) for hours in (0.1, 1, 5.9, 6.1, 24, 1000)] == [None] * 6


def test_a_failure_after_a_recovery_is_told_but_not_within_six_hours(folder: Path) -> None:
    assert tell(folder, BAD_SETTING, 0)
    alarm.note_ending(folder, "mdata-repair", 0, None, "c" * 32)
    assert tell(folder, BAD_SETTING, 1) is None
    # It is owed, and told as soon as it may be, although nothing changes any more.
    assert tell(folder, BAD_SETTING, 5) is None
    assert tell(folder, BAD_SETTING, 6)
    assert tell(folder, BAD_SETTING, 7) is None
    alarm.note_ending(folder, "mdata-repair", 3, "gaps remain", "d" * 32)
    assert tell(folder, BAD_SETTING, 13)


def test_what_did_not_arrive_is_tried_again_after_six_hours(folder: Path) -> None:
    assert tell(folder, BAD_SETTING, 0)
    alarm.untold(folder, "mdata-repair")
    assert tell(folder, BAD_SETTING, 5) is None
    assert tell(folder, BAD_SETTING, 6)
    assert tell(folder, BAD_SETTING, 13) is None


def test_another_failure_is_a_change(folder: Path) -> None:
    assert tell(folder, BAD_SETTING, 0)
    assert tell(folder, KILLED, 1) is None
    told = tell(folder, KILLED, 7)
    assert told is not None
    assert "mdata-repair failed: signal (KILL); read" in told


def test_the_reason_of_another_run_is_not_told(folder: Path) -> None:
    alarm.note_ending(folder, "mdata-repair", 78, "SYMBOLS is invalid", BAD_SETTING.invocation_id)
    told = tell(folder, KILLED, 0)
    assert told is not None
    assert "SYMBOLS" not in told


def test_units_do_not_silence_one_another(folder: Path) -> None:
    assert tell(folder, BAD_SETTING, 0)
    assert alarm.tell(folder, "mdata-backfill", BAD_SETTING, "user", START)
    assert (folder / "alarms" / "mdata-backfill.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("code", [0, 3, 69, 75, 129, 130, 143])
def test_what_is_green_recovers(folder: Path, code: int) -> None:
    assert tell(folder, BAD_SETTING, 0)
    alarm.note_ending(folder, "mdata-repair", code, None, "c" * 32)
    assert alarm.read(folder, "mdata-repair").has_recovered


def test_three_is_a_failure_of_the_check_alone(folder: Path) -> None:
    assert alarm.tell(folder, "mdata-status", BAD_SETTING, "system", START)
    alarm.note_ending(folder, "mdata-status", 3, "tBTCUSD 1m has no data", "c" * 32)
    note = alarm.read(folder, "mdata-status")
    assert (note.has_recovered, note.reason) == (False, "tBTCUSD 1m has no data")


def test_a_run_that_ends_well_leaves_no_note(folder: Path) -> None:
    alarm.note_ending(folder, "mdata-repair", 0, None, "c" * 32)
    assert not folder.exists()


@pytest.mark.parametrize(
    "damaged", ["", "{", "[]", "null", '{"told_at": "x"}', '{"result": 1}', '{"other": 1}', "\x00"]
)
def test_a_damaged_note_silences_nothing(folder: Path, damaged: str) -> None:
    assert tell(folder, BAD_SETTING, 0)
    (folder / "alarms" / "mdata-repair.json").write_text(damaged)
    assert tell(folder, BAD_SETTING, 1)


def test_a_clock_that_was_set_back_silences_nothing(folder: Path) -> None:
    assert tell(folder, BAD_SETTING, 0)
    assert tell(folder, KILLED, -1)


EVENTS = st.lists(
    st.tuples(st.integers(1, 5 * HOUR), st.sampled_from(["well", BAD_SETTING, KILLED])), min_size=1, max_size=60
)


@given(EVENTS)
def test_any_history(events: list[tuple[int, object]]) -> None:
    """Never twice within six hours; and after six hours every state that differs from the last one told is told."""
    note, now, told = Note(), START, list[tuple[int, object]]()
    since_told_well = True
    for wait, event in events:
        now += wait
        if isinstance(event, Failure):
            before = note
            note = note.after(event, now)
            is_told = note.told_at != before.told_at
            differs = not told or since_told_well or told[-1][1] != event
            if is_told:
                assert not told or now - told[-1][0] >= TELL_AGAIN_AFTER
                told.append((now, event))
                since_told_well = False
            elif not told or now - told[-1][0] >= TELL_AGAIN_AFTER:
                assert not differs, "this was owed"
        else:
            note = replace(note, has_recovered=True)
            since_told_well = True


def test_the_command_gets_no_control_character_whoever_sent_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    evil = "x\x1b]0;t\x07\n\r\x9b31m\u202e\u2028\ud800\udcff"
    failure = alarm.Failure(evil, evil, evil)
    sentence = alarm.tell(tmp_path, "mdata-repair", failure, "system", START)
    assert sentence is not None
    command = f'{{ cat; printf "%s\\n" "$MDATA_UNIT" "$MDATA_RESULT" "$MDATA_STATUS" "$MDATA_MESSAGE"; }} > {out}'
    assert alarm.run_command(command, f"mdata-{evil}", failure, sentence) is None
    lines = out.read_text(encoding="utf-8").split("\n")
    assert len(lines) == 6, "one line each"
    assert lines[0] == lines[4] == harmless(sentence)
    assert all(is_harmless(line) for line in lines)


def test_the_command_gets_the_sentence_and_what_happened(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = f'{{ cat; echo "$MDATA_UNIT $MDATA_RESULT $MDATA_STATUS $MDATA_MESSAGE"; }} > {out}'
    assert alarm.run_command(command, "mdata-repair", BAD_SETTING, "a 'quoted' $(sentence)") is None
    assert out.read_text() == ("a 'quoted' $(sentence)\nmdata-repair exit-code 78 a 'quoted' $(sentence)\n")
    assert alarm.run_command("exit 9", "mdata-repair", BAD_SETTING, "x") == "NOTIFY_COMMAND ended with 9"
