"""What an exchange is stands in one place: its facts are pinned, and no other module names it or knows its habits.

The sandbox takes the size of a page and the names from the same facts. So that a wrong one is not shared by both,
each is pinned here by what documents and recordings say, and by what the sandbox, whose bounds, silence and limits
are its own, answers.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DAY, NOW, SetClock, SilentLog
from made_up import VENUE as MADE_UP
from made_up import adapter_of

from mdata.config import load
from mdata.domain.interval import Range
from mdata.domain.pace import Window
from mdata.domain.query import Query, fitted
from mdata.domain.timeframe import MINUTE, TIMEFRAMES
from mdata.domain.venue import Anchor, Channels
from mdata.errors import ConfigurationError, RateLimitedError, StorageError
from mdata.exchange import registry
from mdata.exchange.bitfinex.rest import Rest
from mdata.exchange.bitfinex.venue import BITFINEX
from mdata.fetching.wanted import targets
from mdata.sandbox.limit import RateRule
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.replay import read_recording
from mdata.sandbox.server import Sandbox

PACKAGE = Path(__file__).parents[2] / "mdata"
RECORDINGS = sorted((PACKAGE.parent / "demo" / "data").glob("*.json"))
M1 = TIMEFRAMES["1m"]


def test_every_fact_of_bitfinex_is_what_its_documents_and_recordings_say() -> None:
    assert BITFINEX._asdict() == {
        "name": "bitfinex",
        "title": "Bitfinex",
        "rest_url": "https://api-pub.bitfinex.com/v2",
        "ws_url": "wss://api-pub.bitfinex.com/ws/2",
        "timeframes": tuple(
            TIMEFRAMES[name] for name in ["1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1D", "1W", "1M"]
        ),
        "refused": BITFINEX.refused,  # sentences, of which the next line pins the names
        "page_rows": 10_000,  # documents: "limit: max 10000"
        "anchor": "asked",  # recorded: with more matches than rows, sort=-1 keeps the newest and sort=1 the oldest
        "order": "asked",  # recorded: exactly as asked by `sort`
        "lower": "inclusive",  # recorded: `start` returned the candle that opens at exactly that instant
        "upper": "inclusive",  # recorded: two hours asked for with both ends on the grid gave 25 candles of 5m
        "silence": "omitted",  # recorded: 9.4 million rows, none without volume, and holes
        "settle_seconds": 120,  # a forming candle may come from a cache, and updates 15 s late
        "depth": None,  # recordings reach back to 2013
        "window": Window(60.0, 30, 27),  # documents: 30 requests a minute
        "stream": Channels(25, 20, 5.0, 35.0),  # documents: 25 channels, 20 connects a minute; heartbeats every 15 s
    }  # fmt: skip
    assert [name for name, _ in BITFINEX.refused] == ["4h", "7d", "14d"]


@pytest.mark.parametrize("path", RECORDINGS, ids=[path.stem for path in RECORDINGS])
def test_recordings_bear_out_grids_and_silence(path: Path) -> None:
    _, timeframe, candles = read_recording(path, NOW, at_own_time=True)
    grid = BITFINEX.grid(timeframe)
    assert grid is not None
    assert all(grid.is_aligned(candle[0]) for candle in candles)
    assert all(candle[5] > 0 for candle in candles), "silence is no row"


def ask(sandbox: Sandbox, clock: SetClock, query: Query) -> tuple[str, list[int]]:
    rest = Rest(sandbox.rest_url, clock, SilentLog().warning)
    try:
        page = rest.candles(query, lambda: None)
    finally:
        rest.close()
    return sandbox.requests[-1].target, [row[0] for row in page.candles]


@pytest.mark.parametrize("newest_first", [True, False])
def test_bounds_order_and_the_end_that_is_kept_as_the_server_has_them(
    sandbox: Sandbox, clock: SetClock, newest_first: bool
) -> None:
    start = NOW // DAY * DAY
    asked = Range(start, start + 10 * MINUTE)
    target, times = ask(sandbox, clock, Query(BITFINEX, "tBTCUSD", M1, asked, newest_first, limit=4))
    assert target == (
        f"/v2/candles/trade:1m:tBTCUSD/hist?sort={-1 if newest_first else 1}"
        f"&start={start}&end={start + 9 * MINUTE}&limit=4"
    )
    kept = range(6, 10) if newest_first else range(4)
    assert times == [start + number * MINUTE for number in kept]


def test_a_page_has_as_many_rows_as_the_exchange_says(sandbox: Sandbox, clock: SetClock) -> None:
    asked = Range(NOW // DAY * DAY - 10 * DAY, NOW // DAY * DAY)
    _, times = ask(sandbox, clock, Query(BITFINEX, "tBTCUSD", M1, asked, newest_first=True, limit=10_000))
    assert len(times) == BITFINEX.page_rows == 10_000


def test_a_silent_minute_has_no_row(sandbox: Sandbox, clock: SetClock) -> None:
    asked = Range(NOW // DAY * DAY - DAY, NOW // DAY * DAY)
    _, times = ask(sandbox, clock, Query(BITFINEX, "tSPAUSD", M1, asked, newest_first=True, limit=10_000))
    assert 100 < len(times) < 200


def test_the_window_is_kept_within_what_the_server_bears(clock: SetClock) -> None:
    with Sandbox(Market({"tBTCUSD": Pair("tBTCUSD")}), clock, rule=RateRule(per_minute=30)) as sandbox:
        rest = Rest(sandbox.rest_url, clock, SilentLog().warning)
        for _ in range(BITFINEX.window.documented):
            rest.pairs(lambda: None)
        with pytest.raises(RateLimitedError):
            rest.pairs(lambda: None)
        rest.close()
    assert BITFINEX.window.most < BITFINEX.window.documented
    assert BITFINEX.window.least_delay == 2.0


# What a request asks for where the exchange always keeps the same end of a full answer, or refuses a long one.


@pytest.mark.parametrize(
    ("anchor", "newest_first", "is_open", "expected", "counts_from_newest", "stays_open"),
    [
        ("asked", False, False, (0, 9000), False, False),
        ("asked", True, True, (0, 9000), True, True),
        ("newest", True, False, (0, 9000), True, False),
        ("newest", True, True, (0, 9000), True, True),
        ("newest", False, False, (0, 1500), True, False),
        ("oldest", False, False, (0, 9000), False, False),
        ("oldest", True, False, (7500, 9000), False, False),
        ("oldest", True, True, (7500, 9000), False, False),
        ("refuses", False, False, (0, 1500), False, False),
        ("refuses", True, False, (7500, 9000), True, False),
        ("refuses", True, True, (7500, 9000), True, False),
    ],
)
def test_a_request_fits_what_the_exchange_answers(
    anchor: Anchor, newest_first: bool, is_open: bool, expected: tuple[int, int], counts_from_newest: bool,
    stays_open: bool,
) -> None:  # fmt: skip
    venue = MADE_UP._replace(anchor=anchor, page_rows=1500)
    start = NOW // MINUTE * MINUTE
    query = fitted(
        Query(venue, "tBTCUSD", M1, Range(start, start + 9000 * MINUTE), newest_first, 1500, is_open=is_open)
    )
    assert query.range == Range(*(start + number * MINUTE for number in expected))
    assert (query.newest_first, query.is_open) == (counts_from_newest, stays_open)


def test_bounds_are_named_as_the_exchange_takes_them() -> None:
    within = Range(10 * MINUTE, 20 * MINUTE)
    assert BITFINEX.bounds(M1, within) == (10 * MINUTE, 19 * MINUTE)
    assert MADE_UP.bounds(M1, within) == (10 * MINUTE - 1, 20 * MINUTE)
    assert MADE_UP._replace(lower="containing").bounds(M1, within)[0] == 10 * MINUTE


def test_what_is_not_served_any_more_is_not_wanted() -> None:
    assert BITFINEX.horizon(M1, NOW) is None
    assert MADE_UP._replace(depth=720).horizon(M1, NOW) == NOW // MINUTE * MINUTE - 719 * MINUTE


# Names


@pytest.fixture(name="two")
def two_exchanges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be two exchanges."""
    monkeypatch.setitem(registry.ADAPTERS, MADE_UP.name, adapter_of(MADE_UP))


@pytest.mark.usefixtures("two")
def test_a_pair_without_an_exchange_is_the_home_one() -> None:
    assert registry.parse_symbol("BTCUSD") == "tBTCUSD"
    assert registry.parse_symbol("bitfinex:btc/usd") == "tBTCUSD"
    assert registry.resolve("tBTCUSD") == (BITFINEX, "tBTCUSD")


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("text", ["AVAX:USD", "avax:usd", "tAVAX:USD", "bitfinex:AVAX:USD"])
def test_a_colon_of_its_own_names_no_exchange(text: str) -> None:
    assert registry.parse_symbol(text) == "tAVAX:USD"
    assert registry.resolve("tAVAX:USD") == (BITFINEX, "tAVAX:USD")


@pytest.mark.usefixtures("two")
def test_a_known_name_before_a_colon_is_the_exchange() -> None:
    assert registry.parse_symbol("made:BTCUSD") == "made:tBTCUSD"
    assert registry.resolve("made:tBTCUSD") == (MADE_UP, "tBTCUSD")
    with pytest.raises(ValueError, match="no pair of this exchange"):
        registry.parse_symbol("made:A/B")


def test_an_unknown_name_is_none() -> None:
    with pytest.raises(ValueError, match="not a trading pair"):
        registry.parse_symbol("nowhere:BTC/USD")


@pytest.mark.usefixtures("two")
def test_the_settings_name_series_of_several_exchanges(tmp_path: Path) -> None:
    given = {"SYMBOLS": "BTCUSD made:BTCUSD AVAX:USD", "TIMEFRAMES": "1m"}
    settings = load(overrides=given, environ={"HOME": str(tmp_path)}).settings
    assert [one.name for one in targets(settings)] == [
        "bitfinex:tBTCUSD 1m",
        "made:tBTCUSD 1m",
        "bitfinex:tAVAX:USD 1m",
    ]
    assert [one.as_written for one in targets(settings)] == ["tBTCUSD 1m", "made:tBTCUSD 1m", "tAVAX:USD 1m"]


@pytest.mark.usefixtures("two")
def test_a_timeframe_that_one_of_them_lacks_is_refused(tmp_path: Path) -> None:
    given = {"SYMBOLS": "BTCUSD made:BTCUSD", "TIMEFRAMES": "3h"}
    with pytest.raises(ConfigurationError, match="Made-up has no 3h candles; there are 1m 5m 1h 1D 1W 1M"):
        load(overrides=given, environ={"HOME": str(tmp_path)})


@pytest.mark.usefixtures("two")
def test_each_exchange_has_a_rate_budget_of_its_own(tmp_path: Path) -> None:
    given = {"RATE_LIMIT_STATE_PATH": str(tmp_path / "rate-limit.json")}
    settings = load(overrides=given, environ={"HOME": str(tmp_path)}).settings
    assert settings.rate_state(BITFINEX) == tmp_path / "rate-limit.json"
    assert settings.rate_state(MADE_UP) == tmp_path / "rate-limit-made.json"
    assert settings.pace_of(MADE_UP).window == MADE_UP.window


def test_a_store_with_an_exchange_that_is_not_known_says_so() -> None:
    with pytest.raises(StorageError, match="series of the exchange 'elsewhere', which this mdata does not know"):
        registry.stored_grid("elsewhere", "1m")


# No other module knows


def modules() -> Iterator[Path]:
    """Yield the modules that must not know an exchange: all but its folder, the registration, and who plays it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        is_its_own = inside.parts[:2] == ("exchange", BITFINEX.name) or inside.parts[0] == "sandbox"
        if not is_its_own and inside.as_posix() != "exchange/registry.py":
            yield path


def words_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every identifier and every text of the code, with its line; what is said in docstrings is no code."""
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield line, node.value
        for field in ("id", "attr", "name", "arg", "module", "asname"):
            if isinstance(found := getattr(node, field, None), str):
                yield line, found


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_other_module_names_an_exchange(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [
        f"{path.name}:{line}: {word}"
        for line, word in words_of(tree)
        if BITFINEX.name in re.sub(r"BITFINEX_(REST|WS)_URL", "", word).lower()
    ]
    assert not named, "an exchange is named in its own folder and in exchange/registry.py only"


# Signs of its habits: codes of its errors and notices, its paths, its events, what its symbols begin with.
CODES = {10010, 10020, 10300, 10301, 10302, 10305, 11000, 11010, 20051, 20060, 20061, 32_768}
SPELLINGS = re.compile(r"trade:|pub:|/hist\b|chanId|subscribe[d]?$|\bhb\b")


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_other_module_knows_the_habits_of_an_exchange(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        f"{path.name}:{node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and not isinstance(node.value, bool)
        and (
            (isinstance(node.value, int) and node.value in CODES)
            or (isinstance(node.value, str) and (node.value == "t" or _is_spelled(node, tree)))
        )
    ]
    found += [
        f"{path.name}:{node.lineno}: a symbol is cut"
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Slice)
        and isinstance(node.slice.lower, ast.Constant)
        and "symbol" in ast.dump(node.value)
    ]
    assert not found, "what an exchange's messages and names look like is for its own folder"


def _is_spelled(node: ast.Constant, tree: ast.AST) -> bool:
    return bool(SPELLINGS.search(str(node.value))) and not _is_docstring(node, tree)


def _is_docstring(node: ast.Constant, tree: ast.AST) -> bool:
    return any(isinstance(one, ast.Expr) and one.value is node for one in ast.walk(tree))
