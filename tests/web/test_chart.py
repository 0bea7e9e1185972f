"""Charts: what is said of each bucket, `/candles.json`, the page of a series, and `mdata chart`."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlencode

import charted
import pytest
from conftest import Folder, stored
from hypothesis import given
from hypothesis import strategies as st
from serving import Answered, Served, with_gaps

from mdata.clock import SystemClock
from mdata.domain.calendar import days
from mdata.domain.candle import aggregate
from mdata.domain.coverage_bar import KnownRanges
from mdata.domain.interval import Range, normal, subtract
from mdata.domain.timeframe import DAY, HOUR, MINUTE, TIMEFRAMES
from mdata.domain.view import MOST, VERDICTS, LedgerRanges, buckets, choose, count, stretches
from mdata.screen import chart as screen_chart
from mdata.store import coverage
from mdata.store.opening import open_store
from mdata.store.sqlite import sqlite3

M1, H1, D1 = TIMEFRAMES["1m"], TIMEFRAMES["1h"], TIMEFRAMES["1D"]
NONE = LedgerRanges([], [], [], [], [])


def minutes(*pairs: tuple[int, int]) -> list[Range]:
    return [Range(start * MINUTE, end * MINUTE) for start, end in pairs]


def told(bucket: str, shown: int, occupied: list[int], ledger: LedgerRanges) -> list[tuple[int, int, str]]:
    whole = Range(0, shown * MINUTE)
    found = stretches(TIMEFRAMES[bucket], whole, whole, [one * MINUTE for one in occupied], ledger)
    return [(start // MINUTE, end // MINUTE, verdict) for start, end, verdict in found]


def test_every_verdict_has_its_stretch() -> None:
    ledger = LedgerRanges(
        minutes((0, 10), (30, 40)), minutes((40, 50)), minutes((3, 4)), minutes((10, 20)), minutes((20, 25))
    )
    present = [0, 1, 2, 4, *range(6, 10), *range(30, 40), *range(40, 45)]
    assert told("1m", 60, present, ledger) == [
        (3, 4, "lost"), (5, 6, "empty"), (10, 20, "in doubt"), (20, 25, "unobtainable"), (25, 30, "unknown"),
        (40, 50, "provisional"), (50, 60, "unknown"),
    ]  # fmt: skip


def test_a_lost_minute_shows_in_a_view_of_years() -> None:
    ledger = NONE._replace(final=minutes((0, 7 * 1440 * 52)), lost=minutes((100_000, 100_001)))
    found = told("1W", 7 * 1440 * 52, [], ledger)
    ((start, end),) = [(start, end) for start, end, verdict in found if verdict == "lost"]
    assert start <= 100_000 < end == start + 7 * 1440


def test_silence_shows_where_it_fills_a_bucket_and_not_where_nobody_has_answered() -> None:
    ledger = NONE._replace(final=minutes((0, 180)))
    assert told("1h", 240, [0], ledger) == [(60, 180, "empty"), (180, 240, "unknown")]


RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=5).map(
    lambda found: normal(Range(start * MINUTE, (start + length) * MINUTE) for start, length in found)
)


@given(RANGES, RANGES, RANGES, RANGES, RANGES, st.sampled_from(["1m", "5m", "15m", "1h"]))
def test_stretches_never_overlap_and_hide_nothing(
    final: list[Range],
    provisional: list[Range],
    lost: list[Range],
    doubted: list[Range],
    gone: list[Range],
    name: str,
) -> None:
    whole, bucket = Range(0, 360 * MINUTE), TIMEFRAMES[name]
    ledger = LedgerRanges(final, subtract(provisional, final), lost, doubted, gone)
    found = stretches(bucket, whole, whole, [], ledger)
    for before, after in pairwise(found):
        assert before.end <= after.start
    assert all(bucket.is_aligned(one.start) and bucket.is_aligned(one.end) for one in found)
    bad = subtract([whole], normal([*final, *provisional]))
    shown = normal(Range(one.start, one.end) for one in found if one.verdict in VERDICTS[:4])
    assert subtract(bad, shown) == []
    assert subtract(lost, normal(Range(one.start, one.end) for one in found if one.verdict == "lost")) == []


def test_the_finest_grid_that_fits() -> None:
    assert choose(M1, Range(0, MOST * MINUTE)) is M1
    assert choose(M1, Range(0, MOST * MINUTE + 1)).name == "5m"
    assert choose(M1, Range(0, 10 * 365 * DAY)).name == "1D"
    assert choose(TIMEFRAMES["1M"], Range(0, 50 * 365 * DAY)).name == "1M"
    assert [one.name for one in buckets(TIMEFRAMES["3h"])] == ["3h", "6h", "12h", "1D", "1W"]
    assert count(H1, Range(HOUR - 1, HOUR + 1)) == 2


def test_a_day_of_the_calendar_shows_its_worst() -> None:
    wanted = Range(DAY // 2, 4 * DAY + DAY // 4)
    known = KnownRanges([Range(0, 2 * DAY), Range(2 * DAY + HOUR, 5 * DAY)], [], [Range(DAY, 2 * DAY)], [3 * DAY])
    cells = [day.cell for day in days(M1, wanted, known, Range(0, 6 * DAY))]
    assert cells == ["present", "empty", "partly unknown", "lost", "present", None]
    assert days(TIMEFRAMES["1W"], wanted, known, Range(0, 6 * DAY)) == []
    inside = Range(DAY + HOUR, DAY + 2 * HOUR)
    assert [day.cell for day in days(M1, inside, known, Range(0, 3 * DAY))] == [None, "empty", None]
    assert [day.cell for day in days(D1, Range(0, 2 * DAY), known, Range(0, 2 * DAY))] == ["present", "empty"]


@pytest.fixture(scope="module")
def of_many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a store of 1,200 series; number 7 has the most unknown."""
    from mdata.sandbox.market import Market
    from mdata.sandbox.server import Sandbox

    with Sandbox(Market({})) as nobody:
        folder = Folder(tmp_path_factory.mktemp("many"), nobody)
        now = SystemClock().now() // MINUTE * MINUTE
        with open_store(folder.database) as opened, opened.write() as connection:
            for number in range(1200):
                symbol, start = f"tP{number:04}:USD", now - 100 * MINUTE
                series_id = charted.introduce(connection, symbol, start, now)
                coverage.add(
                    connection, series_id, Range(start, now - (50 + 40 * (number == 7)) * MINUTE), "final", 0
                )
        with Served(folder) as running:
            yield running


def names(served: Served, address: str) -> list[str]:
    found = re.findall(r"<h2><a[^>]*>(\S+) <span>", served.ask(address).body.decode())
    assert found == sorted(found) or "sort" in address
    return found


def test_many_series_are_found_sorted_and_turned_over(of_many: Served) -> None:
    first = names(of_many, "/")
    assert len(first) == 24
    assert names(of_many, "/?page=2")[0] > first[-1]
    assert names(of_many, "/?page=50") == names(of_many, "/?page=999"), "the last one"
    assert names(of_many, "/?search=p0011+1M") == names(of_many, "/?search=P0011")
    assert names(of_many, "/?sort=unknown")[0].startswith("tP0007")
    assert names(of_many, "/?search=nobody") == []
    page = of_many.ask("/").body
    assert len(page) < 60_000
    assert b'aria-current="page">1<' in page
    assert b'href="/?page=50"' in page


@pytest.fixture(scope="module")
def folder_with_gaps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    from mdata.sandbox.market import Market, Pair
    from mdata.sandbox.server import Sandbox

    with Sandbox(Market({"tBTCUSD": Pair("tBTCUSD"), "tSPAUSD": Pair("tSPAUSD", density=0.1)})) as live:
        folder = Folder(tmp_path_factory.mktemp("charted"), live)
        folder.settings["SYMBOLS"] = "BTCUSD,SPAUSD"
        yield with_gaps(folder)


@pytest.fixture(scope="module")
def served(folder_with_gaps: Folder) -> Iterator[Served]:
    with Served(folder_with_gaps) as running:
        yield running


def ask(served: Served, **parameters: str) -> Answered:
    wish = {"symbol": "BTCUSD", "timeframe": "1m", **parameters}
    return served.ask(f"/candles.json?{urlencode({k: v for k, v in wish.items() if v})}")


@pytest.mark.parametrize("bucket", ["1m", "5m", "1h", "1D", "1W"])
def test_buckets_add_up_to_what_is_stored(served: Served, folder_with_gaps: Folder, bucket: str) -> None:
    grid = TIMEFRAMES[bucket]
    expected: dict[int, list[tuple[float, ...]]] = {}
    for row in stored(folder_with_gaps.database, "tBTCUSD", "1m"):
        expected.setdefault(grid.floor(row[0]), []).append(row)
    answered = ask(served, bucket=bucket)
    assert answered.status == 200
    found = answered.json
    assert (found["exit"], found["bucket"], found["step"]) == (0, bucket, grid.step)
    for row, parts in zip(found["candles"], expected.values(), strict=True):
        assert row == pytest.approx(aggregate(parts, grid.floor(parts[0][0])), rel=1e-12)  # type: ignore[arg-type]


def test_the_ledger_is_told_beside_the_candles(served: Served, folder_with_gaps: Folder) -> None:
    ((start, end),) = folder_with_gaps.rows("SELECT start_time, end_time FROM data_gaps WHERE status = 'open'")
    found = ask(served, bucket="1m").json
    assert [start, end, "lost"] in found["stretches"]
    at = {row[0] for row in found["candles"]}
    for first, last, verdict in found["stretches"]:
        assert verdict in VERDICTS
        if verdict != "provisional":
            assert not at.intersection(range(first, last, MINUTE)), verdict
    sparse = ask(served, symbol="SPAUSD").json
    assert sum(last - first for first, last, verdict in sparse["stretches"] if verdict == "empty") > DAY


def test_a_far_view_is_kept_until_the_series_changes(folder: Folder) -> None:
    filled = with_gaps(folder)
    with Served(filled) as running:
        before = ask(running, bucket="1h").json["candles"]
        assert ask(running, bucket="1h").json["candles"] == before
        with sqlite3.connect(filled.database) as connection:
            connection.execute("DELETE FROM candles WHERE open_time = (SELECT max(open_time) FROM candles)")
        after = ask(running, bucket="1h").json
        assert after["candles"] != before
        assert [one for one in after["stretches"] if one[2] == "lost"]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"symbol": ""}, "select one series"),
        ({"symbol": "BTCUSD,ETHUSD"}, "select one series"),
        ({"symbol": "ETHUSD"}, "no candles of tETHUSD 1m are stored"),
        ({"bucket": "4h"}, "'4h' is not one of 1m, 5m"),
        ({"start": "2024-02", "end": "2024-01"}, "start must be earlier than end"),
        ({"start": "2014", "bucket": "1m"}, "use a shorter range or a coarser bucket"),
        ({"start": "yesterday"}, "is not a date or time"),
        ({"from": "2014"}, "is not a parameter of this address"),
        ({"start": "1970", "end": "9999"}, "an answer contains at most 5,000"),
    ],
)
def test_what_makes_no_sense_is_refused(served: Served, wish: dict[str, str], sentence: str) -> None:
    answered = ask(served, **wish)
    assert answered.status == 400
    assert sentence in answered.json["reason"]


def test_our_pages_have_no_script_inside(served: Served) -> None:
    for page in ("/", "/series/tBTCUSD/1m", "/series/tETHUSD/1m", "/?sort=none"):
        answered = served.ask(page)
        policy = answered.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        text = answered.body.decode()
        assert re.findall(r"<script(?![^>]*\ssrc=)", text) == []
        assert not re.search(r"\son\w+=", text)
        assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*', text) in (
            [], ['href="https://www.tradingview.com/', 'href="https://datasette.io/'], ['href="https://datasette.io/'],
        )  # fmt: skip
    assert "'unsafe-inline'" in served.ask("/mdata").headers["content-security-policy"].partition("style-src")[0]


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/series/BTCUSD/1m", 200), ("/series/tBTCUSD/1m?year=1999", 200), ("/series/tETHUSD/1m", 404),
        ("/series/tBTCUSD/4h", 400), ("/series/tBTCUSD/1m?year=x", 400), ("/series/tBTCUSD,tSPAUSD/1m", 400),
        ("/series/tBTCUSD/1m?x=1", 400), ("/?page=0", 400), ("/?page=99", 200), ("/?search=%00%ff", 200),
    ],
)  # fmt: skip
def test_addresses_of_pages(served: Served, address: str, status: int) -> None:
    assert served.ask(address).status == status


def test_the_links_of_a_page_lead_to_the_candles(served: Served, folder_with_gaps: Folder) -> None:
    text = served.ask("/series/tBTCUSD/1m").body.decode()
    (csv,) = re.findall(r'id="csv" href="([^"]+)"', text)
    lines = served.ask(csv.replace("&amp;", "&")).body.decode().splitlines()
    assert len(lines) - 1 == len(stored(folder_with_gaps.database, "tBTCUSD", "1m"))
    (sql,) = re.findall(r'id="sql" href="([^"]+)"', text)
    assert "first 1,000" in served.ask(sql.replace("&amp;", "&")).body.decode() or served.ask(sql).status == 200


def test_the_terminal_shows_the_same(folder_with_gaps: Folder) -> None:
    ended = folder_with_gaps.run("chart", "BTCUSD", "-t", "1h", "--json")
    assert ended.exit == 0
    (chart,) = ended.json["charts"]
    assert (chart["symbol"], chart["timeframe"], chart["source"]) == ("tBTCUSD", "1h", "1m")
    lines = folder_with_gaps.run("chart", "BTCUSD", "-t", "1h", COLUMNS="80").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("x lost" in line for line in lines)
    ledger = next(line for line in lines if set(line) <= set("#x~._? ") and "#" in line and "x" in line)
    assert ledger.count("x") == sum(one[2] == "lost" for one in chart["stretches"])
    assert len(ledger) == len(chart["candles"]) + sum(
        (one[2] == "unknown") for one in chart["stretches"] if one[0] not in {row[0] for row in chart["candles"]}
    )


@pytest.mark.parametrize("price", [1316.437, 123_456.7, 1_234_567.0, 15_234_560.0, 99.5, 0.001234567, 1.234567e-05])
def test_a_price_fits_beside_the_chart(price: float) -> None:
    text = screen_chart.price_text(price)
    assert len(text) <= screen_chart.AXIS - 3
    assert float(text.replace(",", "")) == pytest.approx(price, rel=0.005)


def test_a_chart_in_colours_and_without(folder_with_gaps: Folder) -> None:
    for width in ("80", "120"):
        code, coloured = folder_with_gaps.show(
            "chart", "BTCUSD", "--since", "-36h", TERM="xterm", COLUMNS=width, LINES="30"
        )
        assert code == 0
        assert "\x1b[32m" in coloured
        _, plain = folder_with_gaps.show(
            "chart", "BTCUSD", "--since", "-36h", TERM="xterm", COLUMNS=width, LINES="30", NO_COLOR="1"
        )
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
        bare = re.sub(r"\x1b\[[0-9;]*m", "", plain)
        assert bare.splitlines()[1:] == re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()[1:]
        assert max(map(len, bare.splitlines())) <= int(width)
        assert "┃" in bare


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["ETHUSD"], 3, "no candles of tETHUSD are stored: run `mdata backfill`"),
        (["BTCUSD", "-t", "4h"], 2, "Bitfinex has no 4h candles"),
        (["BTCUSD", "-t", "1M"], 3, "no candles of tBTCUSD for 1M are stored"),
        (["BTCUSD", "--since", "2024", "--until", "2023"], 2, "--since must be earlier than --until"),
        (["BTCUSD", "-t", "1m,1h"], 2, "a chart has only one timeframe"),
    ],
)
def test_what_cannot_be_drawn(folder_with_gaps: Folder, arguments: list[str], code: int, sentence: str) -> None:
    ended = folder_with_gaps.run("chart", *arguments)
    assert ended.exit == code
    assert sentence in ended.err


def test_a_chart_without_a_store(folder: Folder) -> None:
    ended = folder.run("chart", "--json")
    assert (ended.exit, ended.json["charts"]) == (3, [])
    assert json.loads(ended.out)["retryable"] is True


def test_doubts_and_what_cannot_be_had_are_told_where_the_ledger_has_them(folder: Folder) -> None:
    with_gaps(folder)
    rows = stored(folder.database, "tBTCUSD", "1m")
    start, middle = rows[0][0], rows[600][0]
    connection = sqlite3.connect(folder.database, isolation_level=None)
    connection.execute("DELETE FROM coverage")
    connection.execute("INSERT INTO coverage VALUES (1, ?, ?, 'final', 600)", (start, middle))
    connection.execute(
        """CREATE TABLE IF NOT EXISTS doubts (series_id INTEGER, start_time INTEGER, end_time INTEGER, kind TEXT,
                                              form TEXT, since INTEGER, asked_at INTEGER, answers INTEGER)"""
    )
    connection.execute(
        """CREATE TABLE IF NOT EXISTS unobtainable (series_id INTEGER, start_time INTEGER, end_time INTEGER,
                                                    since INTEGER)"""
    )
    doubted, gone = (middle, middle + 60 * MINUTE), (middle + 60 * MINUTE, middle + 90 * MINUTE)
    for kind, part in (("silence", doubted), ("absent", gone)):
        connection.execute(
            """INSERT INTO doubts (series_id, start_time, end_time, kind, form, since, asked_at, answers)
               VALUES (1, ?, ?, ?, '', 0, 0, 1)""",
            (*part, kind),
        )
    connection.execute("INSERT INTO unobtainable VALUES (1, ?, ?, 0)", gone)
    connection.close()
    with Served(folder) as running:
        found = ask(running, bucket="1m").json["stretches"]
    assert [*doubted, "in doubt"] in found
    assert [*gone, "unobtainable"] in found
    assert gone[1] in [start for start, _, verdict in found if verdict == "unknown"]
    until = str(gone[1] + 2 * HOUR)
    drawn = folder.run("chart", "BTCUSD", "-t", "5m", "--until", until, "--json").json["charts"][0]["stretches"]
    assert {"in doubt", "unobtainable", "unknown"} <= {verdict for _, _, verdict in drawn}


@pytest.mark.parametrize("command", ["status", "gaps", "config", "verify", "detect-gaps", "backfill"])
def test_a_pair_may_be_named_without_an_option(folder_with_gaps: Folder, command: str) -> None:
    rest = ["--dry-run"] if command in {"verify", "backfill"} else []
    named = folder_with_gaps.run(command, "SPAUSD", "--json", *rest).json
    given = folder_with_gaps.run(command, "-s", "SPAUSD", "--json", *rest).json
    for told in (named, given):
        for key in ("started_at", "finished_at", "job_id"):
            told.pop(key, None)
    assert "tBTCUSD" not in json.dumps(named)
    assert named.keys() == given.keys()
    assert named["exit"] == given["exit"]
