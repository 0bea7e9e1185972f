"""What may be published, and which of two stores is believed: pure decisions."""

from collections.abc import Callable
from hashlib import sha256
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lakes import APRIL, DAY, MARCH, MAY

from mdata.domain.columns import Columns
from mdata.domain.digest import digest
from mdata.domain.interval import Range
from mdata.domain.publication import (
    Author,
    Month,
    Part,
    Proof,
    Publishable,
    batches,
    cells_of,
    decide,
    fault,
    month_name,
    month_named,
    period_of,
    prove,
    ready,
    state_of,
)
from mdata.domain.share import Share
from mdata.domain.timeframe import HOUR, TIMEFRAMES, Timeframe

H1, M1, W1, MO1 = (TIMEFRAMES[name] for name in ("1h", "1m", "1W", "1M"))
JUNE = MAY + 31 * DAY
ORIGIN = Author("store", "host", "1")
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


def columns_of(*rows: tuple[float, ...]) -> Columns:
    found = Columns.none()
    for row in rows:
        found.add((int(row[0]), *row[1:]))  # type: ignore[arg-type]
    return found


def known(grid: Timeframe = H1, start: int = MARCH, **more: Any) -> Publishable:
    nothing: dict[str, Any] = {
        "cleaned_to": None,
        "provisional": [],
        "unknown": [],
        "unobtainable": [],
        "answered_at": {},
    }
    return Publishable(grid, start, **{**nothing, **more})


def hourly(start: int, end: int, price: float = 1.0) -> Columns:
    return columns_of(*((time, price, price, price, price, 1.0) for time in range(start, end, HOUR)))


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), *[NUMBERS] * 5)))
def test_the_digest_is_the_documented_one(rows: list[tuple[float, ...]]) -> None:
    expected = sha256(b"".join(pack("<q5d", *row) for row in rows)).digest()
    assert digest(columns_of(*rows), 0, len(rows)) == expected


def test_names_of_months_and_partitions() -> None:
    assert (month_name(APRIL), month_named("2024-04")) == ("2024-04", APRIL)
    assert [period_of(grid, APRIL) for grid in (M1, H1, W1, MO1)] == ["2024-04", "2024", "2024", "2024"]


def test_weeks_belong_to_the_month_in_which_they_open() -> None:
    assert cells_of(W1, APRIL) == (APRIL, APRIL + 35 * DAY)
    assert W1.count(*cells_of(W1, APRIL)) == 5
    assert MO1.count(*cells_of(MO1, APRIL)) == 1


def test_a_month_is_ready_when_it_is_over_and_nothing_of_it_is_open() -> None:
    months, waiting = ready(known(), JUNE)
    assert ([month_name(one.month) for one in months], waiting) == (["2024-03", "2024-04", "2024-05"], [])
    assert [one.month for one in ready(known(), JUNE - 1)[0]] == [MARCH, APRIL]
    for open_ in ("provisional", "unknown"):
        more: dict[str, Any] = {open_: [Range(MAY - HOUR, MAY)]}
        months, waiting = ready(known(**more), JUNE)
        assert ([one.month for one in months], waiting) == ([MARCH, MAY], [APRIL])


def test_the_first_month_begins_where_candles_are_wanted() -> None:
    months, _ = ready(known(start=APRIL + 10 * DAY), JUNE)
    assert months[0] == Month(APRIL, (Part(Range(APRIL + 10 * DAY, MAY), "final"),), MAY)
    proofs = prove(H1, months[0], hourly(APRIL + 10 * DAY, MAY), ORIGIN)
    assert state_of(H1, proofs) == "partial"
    assert state_of(H1, prove(H1, months[1], hourly(MAY, JUNE), ORIGIN)) == "complete"


def test_what_cannot_be_had_is_published_and_never_complete() -> None:
    lacking = Range(APRIL + 2 * DAY, APRIL + 4 * DAY)
    months, waiting = ready(known(unknown=[lacking], unobtainable=[lacking]), MAY)
    assert waiting == []
    assert months[1].parts == (
        Part(Range(APRIL, lacking.start), "final"), Part(lacking, "unobtainable"),
        Part(Range(lacking.end, MAY), "final"),
    )  # fmt: skip
    held = columns_of(
        *(row for row in zip(*hourly(APRIL, MAY), strict=True) if not lacking.start <= row[0] < lacking.end)
    )
    proofs = prove(H1, months[1], held, ORIGIN)
    assert [(one.kind, one.intervals, one.candles) for one in proofs] == [
        ("final", 48, 48), ("unobtainable", 48, 0), ("final", 624, 624)
    ]  # fmt: skip
    assert state_of(H1, proofs) == "unobtainable"
    assert fault(H1, proofs, held) is None


def published(as_of: int, start: int = APRIL) -> list[Proof]:
    return prove(H1, Month(APRIL, (Part(Range(start, MAY), "final"),), as_of), Columns.none(), ORIGIN)


def test_the_later_answer_wins_and_never_proves_less() -> None:
    mine = Month(APRIL, (Part(Range(APRIL, MAY), "final"),), MAY + 5)
    assert decide(mine, [], known()) == "publish"
    assert decide(mine, published(MAY + 4), known()) == "compare"
    assert decide(mine, published(MAY + 5), known()) == "unchanged"
    assert decide(mine, published(MAY + 6), known()) == "older"
    later = mine._replace(parts=(Part(Range(APRIL + HOUR, MAY), "final"),))
    assert decide(later, published(MAY + 4), known(start=APRIL + HOUR)) == "narrower"
    assert decide(later, published(MAY + 4), known(start=APRIL + HOUR, cleaned_to=APRIL + HOUR)) == "cleaned"
    assert decide(later, published(MAY + 4, APRIL + 2 * HOUR), known(start=APRIL + HOUR)) == "compare"


def test_a_part_that_cleanup_has_left_is_not_published() -> None:
    part = Month(APRIL, (Part(Range(APRIL + HOUR, MAY), "final"),), MAY)
    assert decide(part, [], known(start=APRIL + HOUR)) == "publish"
    assert decide(part, [], known(start=APRIL + HOUR, cleaned_to=APRIL + HOUR)) == "cleaned"


def test_what_is_damaged_is_mended_by_whoever_can() -> None:
    mine = Month(APRIL, (Part(Range(APRIL, MAY), "final"),), MAY)
    assert decide(mine, published(MAY + 9), known(), is_damaged=True) == "publish"
    assert decide(mine, published(MAY + 9), known(cleaned_to=APRIL + 1), is_damaged=True) == "cleaned"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows, proofs: (rows[1:], proofs), "it holds 719 candles, and 720 are vouched for"),
        (lambda rows, proofs: ([(*rows[0][:5], 2.0), *rows[1:]], proofs), "its candles are not those"),
        (lambda rows, proofs: ([rows[0], *rows], proofs), "it holds 721 candles"),
        (lambda rows, _: (rows, []), "720 candles that nothing vouches for"),
        (lambda rows, proofs: (rows, [proofs[0]._replace(intervals=719)]), "its coverage counts 719 intervals"),
        (lambda rows, proofs: (rows, [proofs[0]._replace(end=MAY - HOUR, intervals=719)]), "does not reach"),
        (lambda rows, proofs: (rows, [proofs[0], proofs[0]]), "its coverage has a hole, or overlaps"),
    ],
)  # fmt: skip
def test_every_fault_of_a_month_is_found(change: Callable[[Any, Any], Any], said: str) -> None:
    rows = list(zip(*hourly(APRIL, MAY), strict=True))
    month = Month(APRIL, (Part(Range(APRIL, MAY), "final"),), MAY)
    proofs = prove(H1, month, columns_of(*rows), ORIGIN)
    assert fault(H1, proofs, columns_of(*rows)) is None
    rows, proofs = change(rows, proofs)
    assert said in (fault(H1, proofs, columns_of(*rows)) or "")


def test_months_are_written_in_groups_that_fit_into_memory() -> None:
    months = [Month(start, (Part(cells_of(H1, start), "final"),), 0) for start in (MARCH, APRIL, MAY)]
    assert [[one.month for one in group] for group in batches(months, H1, 1500)] == [[MARCH, APRIL], [MAY]]
    assert [[one.month for one in group] for group in batches(months, H1, 1)] == [[MARCH], [APRIL], [MAY]]


def test_each_symbol_has_one_share_and_keeps_it() -> None:
    symbols = [f"t{base}{quoted}" for base in ("BTC", "ETH", "XRP", "ADA", "SOL") for quoted in ("USD", "EUR", "GBP")]
    shares = [Share(number, 4) for number in range(1, 5)]
    assert sorted(symbol for share in shares for symbol in share.of_these(symbols)) == sorted(symbols)
    assert [share for share in shares if share.has("tBTCUSD")] == [Share(crc32(b"tBTCUSD") % 4 + 1, 4)]
