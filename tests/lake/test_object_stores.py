"""A lake in an object store: what it holds, which stores are refused, and what a server's moods lead to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Folder
from servers import BUCKET, Unkind, credentials, moto, needs_moto, needs_s3rver, s3rver

pytestmark = [pytest.mark.lake, needs_moto]
LAKE = f"s3://{BUCKET}/candles/of-mdata"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with moto(tmp_path_factory.mktemp("moto")) as found:
        yield found


@pytest.fixture
def filled(folder: Folder, port: int) -> Folder:
    folder.settings.update(
        TIMEFRAMES="1h,1W", SYMBOLS="BTCUSD,SPAUSD", BACKFILL_DAYS="100", PUBLISH_AFTER_DAYS="0", **credentials(port)
    )
    assert folder.run("backfill").exit == 0
    return folder


@pytest.fixture
def lake(request: pytest.FixtureRequest) -> str:
    return f"{LAKE}/{re.sub('[^a-z0-9]', '-', request.node.name)}"


def test_a_lake_in_a_bucket(filled: Folder, lake: str) -> None:
    assert filled.run("publish", "--dry-run", lake, "--json").json["published"]["remaining"] > 10
    ended = filled.run("publish", lake, "--json")
    assert ended.exit == 0, ended.err
    assert ended.json["published"]["months"] > 10
    checked = filled.run("lake", "check", lake, "--json")
    assert (checked.exit, checked.json["checked"]["faults"]) == (0, [])
    assert checked.json["checked"]["candles"] == ended.json["published"]["candles"] > 2000
    assert filled.run("publish", lake, "--json").json["published"]["months"] == 0
    before = filled.rows("SELECT symbol, timeframe, open_time, close FROM ohlcv")
    for path in filled.path.glob("mdata.db*"):
        path.unlink()
    assert (
        filled.run("lake", "restore", lake, "--json").json["restored"]["candles"]
        == (ended.json["published"]["candles"])
    )
    assert set(filled.rows("SELECT symbol, timeframe, open_time, close FROM ohlcv")) <= set(before)
    assert filled.run("lake", "vacuum", lake).exit == 0


@needs_s3rver
def test_a_store_that_ignores_conditional_puts_is_refused(filled: Folder, tmp_path: Path) -> None:
    with s3rver(tmp_path) as port:
        ended = filled.run("publish", LAKE, **credentials(port))
        assert ended.exit == 78
        assert "has no conditional puts" in ended.err
        assert "Nothing was published" in ended.err
        left = [path for path in (tmp_path / "root" / BUCKET).rglob("*") if path.is_file()]
        assert left == []
        assert filled.run("lake", "status", LAKE, **credentials(port)).exit == 3


def test_what_cannot_be(filled: Folder, port: int) -> None:
    assert filled.run("publish", LAKE, AWS_ENDPOINT_URL="http://127.0.0.1:9").exit == 69
    ended = filled.run("publish", "s3://nobucket/lake")
    assert (ended.exit, "does not exist" in ended.err) == (78, True)
    assert port


@pytest.mark.parametrize(
    ("how", "every", "exits"),
    [
        ("500", 1, {69}), ("503", 1, {69}), ("403", 1, {77}), ("401", 1, {77}), ("cut", 1, {69}),
        ("unanswered", 1, {69}),
        ("500", 3, {0}), ("503", 3, {0}), ("slow", 1, {0}), ("403", 40, {77}), ("cut", 7, {0, 69}),
        ("unanswered", 9, {0, 3, 69}),
    ],
)  # fmt: skip
def test_the_moods_of_a_server(filled: Folder, lake: str, port: int, how: str, every: int, exits: set[int]) -> None:
    before = Unkind(port)
    before.how, before.every = how, every
    ended = filled.run("publish", lake, "--json", AWS_ENDPOINT_URL=f"http://127.0.0.1:{before.port}")
    before.close()
    assert before.count > 0
    assert ended.exit in exits, ended.err
    assert "Traceback" not in ended.err
    # Nothing that looks complete is not, and the next run completes it.
    seen = filled.run("lake", "check", lake, "--json")
    if seen.exit == 3 and "checked" in seen.json:
        assert {one["reason"].partition(" ")[2] for one in seen.json["checked"]["faults"]} == {
            "candles that nothing vouches for"
        }
    assert filled.run("publish", lake).exit == 0
    checked = filled.run("lake", "check", lake, "--json")
    assert (checked.exit, json.loads(checked.out)["checked"]["faults"]) == (0, [])
    due = {row[0] for row in filled.rows("SELECT count(*) FROM series")}
    assert due == {checked.json["checked"]["series"]}


def test_what_denies_reading_is_told(filled: Folder, lake: str, port: int) -> None:
    assert filled.run("publish", lake).exit == 0
    before = Unkind(port)
    before.how = "403"
    for command in ("status", "check", "vacuum"):
        ended = filled.run("lake", command, lake, AWS_ENDPOINT_URL=f"http://127.0.0.1:{before.port}")
        assert (ended.exit, "Traceback" in ended.err) == (77, False), ended.err
    before.close()
