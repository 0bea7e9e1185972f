"""How a job ends for a person at a terminal, and what a line that repeats becomes there."""

import io
import re

import pytest
from conftest import NOW, Folder

from mdata.cli.closing import sentence
from mdata.logs import StderrLog
from mdata.running.result import JobResult
from mdata.store.jobs import Tally


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_that_repeats_is_counted_at_a_terminal() -> None:
    screen = Terminal()
    log = StderrLog(screen, "INFO", priorities=False)
    for _ in range(9):
        log.info("the exchange cannot be reached; trying again")
    log.info("there it is")
    log.info("the exchange cannot be reached; trying again")
    assert screen.getvalue().splitlines() == [
        "mdata: the exchange cannot be reached; trying again",
        *(f"mdata: the same message, {count} times so far" for count in (2, 4, 8)),
        "mdata: there it is",
        "mdata: the exchange cannot be reached; trying again",
    ]


def test_a_pipe_gets_every_line() -> None:
    pipe = io.StringIO()
    log = StderrLog(pipe, "INFO", priorities=False)
    for _ in range(9):
        log.info("trying again")
    assert pipe.getvalue().splitlines() == ["mdata: trying again"] * 9


@pytest.mark.parametrize(
    ("tally", "words", "told"),
    [
        (Tally(), "", "update: nothing new"),
        (Tally(requests=1, candles_written=1), "", "update: 1 candle in 1 request"),
        (Tally(requests=6, candles_written=53_671), "", "update: 53,671 candles in 6 requests"),
        (Tally(gaps_opened=2), "", "update: 2 gaps found"),
        (Tally(), "candles=1200 refused_rows=0 doubts=3", "update: 1,200 candles, 3 doubts"),
    ],
)
def test_what_was_done(tally: Tally, words: str, told: str) -> None:
    assert sentence(JobResult("update", 0, "ok", None, 0, 0, None, tally), words, [], NOW) == told


def test_the_end_of_a_job_is_a_sentence_at_a_terminal_only(folder: Folder) -> None:
    folder.settings["BACKFILL_DAYS"] = "1"
    code, shown = folder.show("backfill", "BTCUSD", TERM="dumb")
    assert code == 0
    assert re.search(
        r"mdata: backfill: [0-9,]+ candles in \d+ requests?; the series is complete since \d+ \w{3}\b", shown
    )
    assert "outcome=" not in shown
    assert "mdata: backfill outcome=ok exit=0" in folder.run("backfill").err
    _, shown = folder.show("backfill", "ETHUSD", "--max-requests", "1", TERM="dumb")
    assert "; the limit of 1 request was reached; run `mdata backfill` again to continue" in shown
