"""`mdata symbols`: one request through the shared budget, remembered for a day, and what can go wrong with it."""

import json

import pytest
from conftest import Folder

from mdata.sandbox.faults import Fault


def test_what_the_exchange_lists_and_what_is_stored_of_it(folder: Folder) -> None:
    folder.run("backfill", TIMEFRAMES="1h,1D", BACKFILL_DAYS="1")
    ended = folder.run("symbols", "--json")
    assert ended.exit == 0, ended.err
    assert ended.json["symbols"] == [
        {"symbol": symbol, "stored": names, "exchange": "bitfinex"}
        for symbol, names in (("tBTCUSD", ["1h", "1D"]), ("tNEWUSD", []), ("tSPAUSD", []))
    ]
    assert folder.run("symbols", "btc/u").out == "symbol\tstored\texchange\ntBTCUSD\t1h 1D\tbitfinex\n"


def test_it_is_asked_once_a_day_and_when_told_to(folder: Folder) -> None:
    for arguments, requests in ((["symbols"], 1), (["symbols", "usd"], 1), (["symbols", "--refresh"], 2)):
        assert folder.run(*arguments).exit == 0
        assert len(folder.sandbox.requests) == requests
    cache = folder.path / ".cache" / "mdata" / "symbols.json"
    kept = json.loads(cache.read_text())
    for change in ({"listed_at": kept["listed_at"] - 86_400_001}, {"listed_at": kept["listed_at"] + 10**9},
                   {"url": "https://example.org/v2"}, {"symbols": 3, "listed_at": None}):  # fmt: skip
        cache.write_text(json.dumps({**kept, **change}))
        requests = len(folder.sandbox.requests)
        assert folder.run("symbols").exit == 0
        assert len(folder.sandbox.requests) == requests + 1, change
    cache.write_text("[" * 100_000)
    assert folder.run("symbols").exit == 0


def test_its_request_is_counted_with_all_others(folder: Folder) -> None:
    folder.run("backfill", "--max-requests", "1", RATE_LIMIT_DELAY="1")
    assert folder.run("symbols", RATE_LIMIT_DELAY="1").exit == 0
    first, second = folder.sandbox.requests
    assert second.boottime - first.boottime >= 0.95


def test_a_home_that_cannot_be_written_is_no_obstacle(folder: Folder) -> None:
    (folder.path / "taken").write_text("a file")
    ended = folder.run("symbols", XDG_CACHE_HOME=str(folder.path / "taken"))
    assert (ended.exit, ended.err) == (0, "")


def test_nothing_found_suggests_a_pair(folder: Folder) -> None:
    ended = folder.run("symbols", "btcusx")
    assert ended.exit == 0
    assert "did you mean BTCUSD?" in ended.err


@pytest.mark.parametrize(("kind", "code"), [
    ("maintenance", 69), ("cloudflare", 69), ("rate-limit-429", 75), ("rate-limit-object", 75), ("html", 76),
    ("null", 76), ("empty", 76),
])  # fmt: skip
def test_what_goes_wrong_is_told_with_its_code(folder: Folder, kind: str, code: int) -> None:
    folder.sandbox.faults = [Fault(kind)]
    # A block that outlasts the next command, however busy the machine.
    folder.settings["RATE_LIMIT_MIN_BACKOFF_SECONDS"] = "60"
    ended = folder.run("symbols", "--json")
    assert (ended.exit, ended.json["exit"]) == (code, code)
    assert ("retry " in ended.json["reason"]) == (code in {69, 75})
    assert "Traceback" not in ended.err
    assert not (folder.path / ".cache" / "mdata" / "symbols.json").exists()
    if code == 75:
        assert folder.run("status", "--json").json["rate_limit"]["blocked_until"]
