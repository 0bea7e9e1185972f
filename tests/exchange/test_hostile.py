"""Text from the exchange is harmless in every output: a terminal, a pipe, JSON, the store."""

import io
import json
import re
from collections.abc import Callable

import pytest
from conftest import Folder
from hostile_texts import FEW, Hostile, as_error, as_row, is_harmless
from hostile_texts import hostile as hostile  # a fixture  # noqa: PLC0414
from hypothesis import given
from hypothesis import strategies as st

from mdata import render
from mdata.domain.interval import Range
from mdata.domain.query import Query
from mdata.domain.timeframe import TIMEFRAMES
from mdata.errors import MdataError
from mdata.exchange.bitfinex import wire
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.logs import StderrLog, harmless

HOSTILE = [
    "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\y", "\x1b[2J", "\x1bc", "\x1b[?1049h", "\x1b[6n",
    "\x1bP0;1|17/ab\x1b\\", "\x1b_G\x1b\\", "\x1b]52;c;YQ==\x07", "\x9b31m", "\x9d0;t\x9c", "\x90q\x9c", "\x85",
    "\u202egpj", "\u202a", "\u2066\u2069", "\u200f", "\u061c", "\u200b", "\ufeff", "\xad", "\ufff9", "\U000e0041",
    "\u2028", "\u2029", "\ud800", "\udfff", "\ue000", "\U0010ffff", "\x00", "\x07", "\x08\x08", "\x7f", "\r", "\x0b",
    "\x0c", "\n<3>forged", "\nmdata: backfill outcome=ok", '" outcome=ok exit=0', "\\", "[/x]", "[bold red]on",
    "[link=http://x]y[/link]", "{0}{x!r}", "%s%n", "'; DROP TABLE candles; --", "=cmd|' /C calc'!A0", "$(reboot)",
    "`reboot`", "<script>alert(1)</script>", "a" * 10_000,
]  # fmt: skip


def as_object(text: str) -> bytes:
    return json.dumps({"error": text, "code": 3}).encode()


def as_garbage(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def as_listing(text: str) -> bytes:
    return json.dumps([[f"BTC{text}", "BTCUSD"], [text]]).encode()


ANSWERS = [as_error, as_object, as_garbage, as_row, as_listing]


def sentence_about(body: bytes) -> str:
    """Return what the wire makes of an answer: the error's sentence, or what it says of refused rows."""
    query = Query(BITFINEX, "tBTCUSD", TIMEFRAMES["1m"], Range(0, 2**53), newest_first=True, limit=10_000)
    try:
        payload = wire.decode(body)
        wire.raise_for_error(payload, 200)
        page = wire.read_page(query, payload, 1_700_000_000_000)
    except MdataError as error:
        return str(error)
    return "; ".join(f"{refused.reason}: {refused.text}" for refused in page.refused)


@pytest.mark.parametrize("spell", ANSWERS, ids=lambda one: one.__name__)
def test_every_string_in_every_answer_is_one_harmless_line(spell: Callable[[str], bytes]) -> None:
    for text in HOSTILE:
        said = sentence_about(spell(text))
        stream = io.StringIO()
        StderrLog(stream, "DEBUG", priorities=True).error(said)
        assert stream.getvalue().count("\n") == 1, text
        assert stream.getvalue().startswith("<3>")
        assert is_harmless(stream.getvalue()), text
        assert len(stream.getvalue()) < 600, "a sentence is short, whatever the exchange sends"
        said.encode()  # fit for the store too


def test_a_table_of_such_text_is_harmless_too(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(["reason"], [[text] for text in HOSTILE])
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert len(shown.splitlines()) == len(HOSTILE) + 1


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp"])))
def test_whatever_the_text_what_is_shown_is_harmless_and_tells_it_apart(text: str) -> None:
    shown = harmless(text)
    assert is_harmless(shown.replace("\n", "\x00").replace("\t", "\x00"))
    shown.encode()
    if text.isprintable():
        assert shown == text


ASKING = [
    ["backfill"],
    ["update"],
    ["repair"],
    ["stream", "--for", "1s"],
    ["symbols", "--refresh"],
    ["symbols", "--refresh", "btcusx"],
]
READING = [["jobs"], ["gaps"], ["gaps", "--revisions"], ["status"], ["logs"]]


@pytest.mark.parametrize("spell", ANSWERS, ids=lambda one: one.__name__)
def test_no_command_lets_it_through(folder: Folder, hostile: Hostile, spell: Callable[[str], bytes]) -> None:
    folder.settings |= {"BACKFILL_DAYS": "1", "RATE_LIMIT_MAX_RETRIES": "0"}
    assert folder.run("backfill").exit == 0
    folder.rows("DELETE FROM candles WHERE open_time % 3600000 = 0")
    assert folder.run("detect-gaps").exit == 0
    hostile.body = spell(FEW)
    folder.settings |= {"BITFINEX_REST_URL": hostile.url, "SYMBOLS": "BTCUSD,ETHUSD"}
    for arguments in [*ASKING, *READING]:
        make_due(folder)
        told = folder.run(*arguments, "--json")
        assert is_harmless(told.out + told.err), arguments
        assert told.out.isascii()
        assert json.loads(told.out)["exit"] == told.exit != 1, (arguments, told.err)
        make_due(folder)
        shown = folder.show(*arguments, TERM="xterm")[1]
        # Colours, and the moves of a progress bar, are ours; nothing else that begins with an escape is.
        assert is_harmless(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)), arguments
        assert "\x1b[31mred" not in shown
        assert "Traceback" not in told.err + shown
    for arguments in READING:
        piped = folder.run(*arguments)
        assert is_harmless(piped.out + piped.err), arguments


def make_due(folder: Folder) -> None:
    """Let `repair` ask about all gaps again."""
    folder.rows("UPDATE data_gaps SET status = 'open', attempts = 0, next_attempt_at = NULL")


def test_headers_are_text_too(folder: Folder, hostile: Hostile) -> None:
    hostile.headers = {"Content-Encoding": "x\x1b[31m", "Retry-After": "\x1b]0;t\x07", "Date": "\x9b31m"}
    folder.settings["BITFINEX_REST_URL"] = hostile.url
    for status in (200, 302, 429, 503):
        hostile.status = status
        ended = folder.run("backfill", RATE_LIMIT_MAX_RETRIES="0")
        assert ended.exit in {69, 75, 76}
        assert is_harmless(ended.out + ended.err)
