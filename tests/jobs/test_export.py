"""`export`: what is written is what is stored, and nobody takes a part for the whole."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import DAY, MDATA, UNPRIVILEGED, Ended, Folder, stored
from exported import rows_of

from mdata.clock import SystemClock
from mdata.domain.timeframe import TIMEFRAMES
from mdata.domain.times import iso
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.fetching.wanted import Target
from mdata.jobs.export import Selection, export
from mdata.reading.candles import Candles
from mdata.reading.formats import COLUMNS

HOUR = 3_600_000


def values(text: str, symbol: str = "tBTCUSD", timeframe: str = "1m") -> list[tuple[float, ...]]:
    columns = ("open", "high", "low", "close", "volume")
    return [
        (int(row["open_time"]), *(float(row[column]) for column in columns))
        for row in rows_of(text)
        if (row["symbol"], row["timeframe"]) == (symbol, timeframe)
    ]


def waits_for_its_reader(pid: int) -> bool:
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text()


@pytest.fixture
def filled(folder: Folder) -> Folder:
    """A store of a dense and a thin pair, in which more than a slice is stored."""
    folder.settings.update(SYMBOLS="BTCUSD,SPAUSD", TIMEFRAMES="1m,1h", BACKFILL_DAYS="8")
    assert folder.run("backfill").exit == 0
    return folder


def test_all_that_is_stored_is_written_and_called_complete(filled: Folder) -> None:
    ended = filled.run("export")
    assert ended.exit == 0, ended.err
    assert ended.out.startswith(",".join(COLUMNS) + "\n")
    for symbol in ("tBTCUSD", "tSPAUSD"):
        for timeframe in ("1m", "1h"):
            assert values(ended.out, symbol, timeframe) == stored(filled.database, symbol, timeframe)
            assert f"{symbol} {timeframe} is complete from " in ended.err
    assert len(values(ended.out)) > 11_000
    row = rows_of(ended.out)[0]
    assert (row["exchange"], row["time"]) == ("bitfinex", iso(int(row["open_time"])))
    assert filled.run("export", "-q").err == ""


def test_a_range_holds_what_opens_in_it(filled: Folder) -> None:
    held = stored(filled.database, "tBTCUSD", "1m")
    since, until = held[100][0], held[110][0]
    chosen = ("export", "-s", "BTCUSD", "-t", "1m", "--since")
    found = filled.run(*chosen, iso(since), "--until", iso(until))
    assert found.exit == 0
    assert values(found.out) == held[100:110]
    found = filled.run(*chosen, str(since - 1), "--until", str(until + 1))
    assert values(found.out) == held[100:111]
    for wrong in ([str(since), "--until", str(since)], ["soon"]):
        refused = filled.run(*chosen, *wrong)
        assert (refused.exit, refused.out) == (2, "")


def test_what_is_unknown_ends_with_3_and_is_told(filled: Folder) -> None:
    held = stored(filled.database, "tBTCUSD", "1m")
    filled.rows("DELETE FROM candles WHERE series_id = 1 AND open_time IN (?, ?)", held[200][0], held[-200][0])
    ended = filled.run("export", "-s", "BTCUSD", "-t", "1m", "-o", "btc.csv", "--json")
    assert ended.exit == 3
    assert f"2 of {len(held)} intervals of bitfinex:tBTCUSD 1m are unknown" in ended.json["reason"]
    assert ended.json["reason"] in ended.err
    (series,) = ended.json["series"]
    assert (series["unknown"], series["candles"], series["complete"]) == (2, len(held) - 2, False)
    assert values((filled.path / "btc.csv").read_text()) == stored(filled.database, "tBTCUSD", "1m")
    beside = filled.run(
        "export", "-s", "BTCUSD", "-t", "1m", "--since", str(held[201][0]), "--until", str(held[-201][0])
    )
    assert beside.exit == 0, beside.err


@pytest.mark.parametrize("since", ["-20d", "2020"])
def test_what_was_never_fetched_is_unknown_though_what_never_traded_is_not(filled: Folder, since: str) -> None:
    ended = filled.run("export", "-s", "BTCUSD", "-t", "1h", "--since", since)
    assert ended.exit == 3
    assert "--since" in ended.err
    filled.run("backfill", "-s", "NEWUSD", "-t", "1h", BACKFILL_DAYS="3000")
    assert filled.run("export", "-s", "NEWUSD", "-t", "1h", "--since", since, BACKFILL_DAYS="3000").exit == 0


def test_what_has_not_closed_is_no_part_of_a_range(filled: Folder) -> None:
    filled.run("update")
    now = SystemClock().now()
    hours = ("export", "-s", "BTCUSD", "-t", "1h", "--since", str(now - now % HOUR - 72 * HOUR))
    ended = filled.run(*hours, "--until", "2100", "-o", "hours.csv", "--json")
    (series,) = ended.json["series"]
    assert series["intervals"] in {72, 73}, "an hour may have passed meanwhile"
    assert iso(now - now % HOUR) <= series["end"] <= iso(SystemClock().now())


def test_a_series_of_which_nothing_is_stored_is_not_complete(folder: Folder) -> None:
    ended = folder.run("export", "-o", "none.csv", "--json")
    assert (ended.exit, ended.json["series"][0]["start"]) == (3, None)
    assert ended.json["reason"].startswith("no candles of bitfinex:tBTCUSD 1m are stored")
    assert (folder.path / "none.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert not folder.database.exists()


def test_a_series_of_which_one_page_has_come_is_not_complete(folder: Folder) -> None:
    for pages, known in ((1, 0), (2, 20_000)):  # what the first answer has said, nothing has confirmed yet
        folder.run("backfill", "--max-requests", "1")
        for more in ((), ("--since", "-30d"), ("--until", "2100")):
            ended = folder.run("export", *more, "-o", "none.csv", "--json")
            (series,) = ended.json["series"]
            assert ended.exit == 3
            assert series["candles"] <= 10_000 * pages
            # The second page repeats a few candles. What has closed since is unknown, too, where an end is named.
            assert 0 <= series["unknown"] - (series["intervals"] - known) <= 9
    assert folder.run("export", "--since", "2100").exit == 0


def test_a_range_behind_the_newest_answer_is_unknown(filled: Folder) -> None:
    filled.rows("DELETE FROM coverage WHERE kind = 'provisional'")
    filled.rows("UPDATE coverage SET end_time = end_time - ?", 3 * DAY)
    assert filled.run("export", "-s", "BTCUSD", "--since", "-4d").exit == 0
    ended = filled.run("export", "-s", "BTCUSD", "--since", "-1d")
    assert ended.exit == 3
    assert "23 of 23 intervals of bitfinex:tBTCUSD 1h are unknown" in ended.err


def test_a_clock_that_is_behind_hides_nothing(filled: Folder) -> None:
    chosen = ("export", "-s", "BTCUSD", "-t", "1h", "--until", "2100")
    behind = filled.run(*chosen, MDATA_REHEARSAL=f"{DAY},{SystemClock().boottime()},1.0")
    assert behind.out == filled.run("export", "-s", "BTCUSD", "-t", "1h").out


def test_a_series_that_is_forgotten_meanwhile_is_unknown_from_there_on(folder: Folder) -> None:
    folder.settings["BACKFILL_DAYS"] = "20"
    folder.run("backfill")
    parts: list[int] = []

    def write(candles: Candles) -> None:
        if not parts:
            folder.run("cleanup", "-s", "BTCUSD", "--all", "--yes")
            folder.run("backfill", "-s", "SPAUSD")
        parts.append(len(candles))

    asked = Selection(None, None, SystemClock().now())
    (found,) = export(folder.database, [Target(BITFINEX, "tBTCUSD", TIMEFRAMES["1m"])], asked, write)
    assert folder.rows("SELECT id, symbol FROM series") == [(2, "tSPAUSD")], "no number is given twice"
    assert parts[0] == found.candles == 10_000
    assert found.unknown == found.intervals - 10_000


def test_what_somebody_put_beside_the_grid_is_written_too(filled: Folder) -> None:
    edge = stored(filled.database, "tBTCUSD", "1m")[9_999][0]
    for beside in (1, 2):
        filled.rows(
            "INSERT INTO candles SELECT series_id, open_time + ?, open, high, low, close, volume FROM candles "
            "WHERE series_id = 1 AND open_time = ?", beside, edge,
        )  # fmt: skip
    ended = filled.run("export", "-s", "BTCUSD", "-t", "1m")
    assert values(ended.out) == stored(filled.database, "tBTCUSD", "1m")


def test_a_file_is_replaced_whole_or_not_at_all(filled: Folder, wait: Callable[..., None]) -> None:
    path = filled.path / "all.csv"
    path.write_text("old\n")
    process = filled.start("export", "-o", "all.csv")
    wait(lambda: list(filled.path.glob(".all.csv*")) or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert (process.returncode, path.read_text()) == (143, "old\n")
    assert list(filled.path.glob(".all.csv*")) == []
    ended = filled.run("export", "-o", "all.csv")
    assert (ended.exit, ended.out, ended.err.count(" is complete from ")) == (0, "", 4)
    assert path.read_text() == filled.run("export").out
    assert path.stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))


@pytest.mark.parametrize(
    "output", ["/dev/null", "/dev/stdout", "nowhere/all.csv", "circle/all.csv", "a" * 300, "mdata.db", "store"]
)
def test_what_can_be_no_file_is_refused_and_left_alone(filled: Folder, output: str) -> None:
    (filled.path / "circle").symlink_to("circle")
    (filled.path / "store").symlink_to("mdata.db")
    ended = filled.run("export", "-o", output)
    assert (ended.exit, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    assert stored(filled.database, "tBTCUSD", "1m")
    assert Path("/dev/null").is_char_device()
    assert filled.run("export", "--json").exit == 2


@pytest.mark.parametrize(
    ("folder_mode", "output"), [(0o500, "shut/all.csv"), (0, "shut/all.csv"), (0, "shut/in/all.csv")]
)
def test_a_folder_that_is_shut_is_a_matter_of_permission(filled: Folder, folder_mode: int, output: str) -> None:
    shut = filled.path / "shut"
    (shut / "in").mkdir(parents=True)
    shut.chmod(folder_mode)
    filled.before = UNPRIVILEGED
    ended = filled.run("export", "-o", output)
    shut.chmod(0o700)
    assert (ended.exit, ended.out) == (77, "")
    assert "Permission denied; check the owner and mode of its folder" in ended.err


def test_a_link_is_followed_and_a_dash_is_stdout(filled: Folder) -> None:
    chosen = ("export", "-s", "BTCUSD", "-t", "1h", "-o")
    (filled.path / "link.csv").symlink_to("all.csv")
    assert filled.run(*chosen, "link.csv").exit == 0
    assert (filled.path / "link.csv").is_symlink()
    assert filled.run(*chosen, "-").out == (filled.path / "all.csv").read_text()
    assert filled.run(*chosen, "-", "--json").exit == 2
    assert not (filled.path / "-").exists()


def test_a_reader_that_leaves_and_a_full_disk_are_no_bugs(filled: Folder) -> None:
    left = subprocess.run(
        ["bash", "-c", f"{MDATA} export | head -1; echo ${{PIPESTATUS[0]}}"],
        env=filled.environ(), cwd=filled.path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert left.stdout.splitlines() == [",".join(COLUMNS), "141"]
    assert "Traceback" not in left.stderr
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [MDATA, "export"], env=filled.environ(), cwd=filled.path, stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 74
    assert "No space left" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_signal_does_not_wait_for_a_reader_who_does_not_read(filled: Folder, wait: Callable[..., None]) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while os.write(write, b"\n" * 4096):
            pass
    os.set_blocking(write, True)
    process = subprocess.Popen(
        [MDATA, "export", "-s", "BTCUSD", "-t", "1h", "--since", "-5h"],
        env=filled.environ(), cwd=filled.path, stdout=write, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(write)
    wait(lambda: waits_for_its_reader(process.pid))
    process.send_signal(signal.SIGTERM)
    try:
        assert list(process.communicate(timeout=10)) == [None, ""]
    finally:
        os.close(read)
        process.kill()
    assert process.returncode == 143


def test_a_slow_reader_keeps_nobody_from_emptying_the_log(filled: Folder, wait: Callable[..., None]) -> None:
    process = filled.start("export")
    # It is in the middle of its rows then; more than a pipe holds is left.
    wait(lambda: waits_for_its_reader(process.pid))
    filled.rows("INSERT INTO rejected_rows (series_id, row, reason, seen_at, source) VALUES (1, 'x', 'x', 1, 'x')")
    ((busy, *_),) = filled.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert busy == 0
    out = process.communicate()[0]
    assert process.returncode == 0
    assert len(values(out)) > 11_000


def test_days_and_months_are_cut_on_their_own_grid(folder: Folder) -> None:
    folder.settings.update(TIMEFRAMES="1D,1M", BACKFILL_DAYS="100")
    folder.run("backfill")
    days, months = stored(folder.database, "tBTCUSD", "1D"), stored(folder.database, "tBTCUSD", "1M")
    since = str(days[40][0] + DAY // 2)
    found = folder.run("export", "--since", since)
    assert values(found.out, timeframe="1D") == days[41:]
    assert values(found.out, timeframe="1M") == [row for row in months if row[0] >= int(since)]


STRANGER = 54_321


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a link that belongs to somebody else")
@pytest.mark.parametrize(
    ("mode", "linker", "owner", "is_followed"),
    [
        (0o1777, STRANGER, 0, False),
        (0o1777, STRANGER, STRANGER, True),  # in a folder of one's own
        (0o1777, 0, STRANGER, True),
        (0o0777, STRANGER, 0, True),  # the kernel lets anybody replace anything there
        (0o1755, STRANGER, 0, True),
    ],
)
@pytest.mark.parametrize("planted", ["a file", "a folder"])
def test_a_link_that_a_stranger_has_planted_is_not_followed(
    filled: Folder, planted: str, mode: int, linker: int, owner: int, is_followed: bool
) -> None:
    shared, mine = filled.path / "shared", filled.path / "mine"
    shared.mkdir()
    mine.mkdir()
    victim = mine / "candles.csv"
    victim.write_text("precious")
    link = shared / ("candles.csv" if planted == "a file" else "sub")
    link.symlink_to(victim if planted == "a file" else mine)
    os.lchown(link, linker, linker)
    shared.chmod(mode)
    os.chown(shared, owner, owner)
    output = link if planted == "a file" else link / "candles.csv"
    ended = filled.run("export", "-s", "BTCUSD", "-t", "1h", "--output", str(output))
    assert ended.exit == (0 if is_followed else 77), ended.err
    assert (victim.read_text() == "precious") == (not is_followed)
    assert link.is_symlink()
    assert is_followed or f"{link} is a symbolic link that another user created" in ended.err


def test_a_name_with_harmful_characters_is_told_harmlessly(filled: Folder) -> None:
    code, screen = filled.show("export", "-o", "gone\x1b]0;t\x07\u202e/x.csv", TERM="xterm")
    assert code == 2
    assert "\\x1b]0;t\\x07\\u202e is not a folder" in screen.replace("\n", " ")
    assert not {"\x1b", "\x07", "\u202e"} & set(screen)


def test_links_in_a_circle_and_relative_ones_are_told_apart(filled: Folder) -> None:
    (filled.path / "round").symlink_to("about")
    (filled.path / "about").symlink_to("round")
    assert filled.run("export", "-t", "1h", "--output", "round").exit == 2
    (filled.path / "sub").mkdir()
    (filled.path / "sub" / "link.csv").symlink_to("../there.csv")
    assert filled.run("export", "-t", "1h", "--output", "sub/link.csv").exit == 0
    assert (filled.path / "there.csv").read_text().startswith(",".join(COLUMNS))


def test_of_a_store_that_cannot_be_read_nothing_is_written(folder: Folder) -> None:
    folder.database.write_bytes(b"hello" * 1000)
    ended = folder.run("export")
    assert (ended.exit, ended.out) == (74, "")


def test_it_needs_no_lock_and_no_right_to_write(filled: Folder) -> None:
    filled.database.chmod(0o400)
    ended: Ended = filled.run("export", "-s", "BTCUSD", "-t", "1h")
    assert ended.exit == 0, ended.err
