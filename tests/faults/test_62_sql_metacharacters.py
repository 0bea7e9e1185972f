"""SQL in every text from outside: it is refused, or stored as the text that it is, and nothing else happens."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Folder
from hostile_texts import Hostile, hostile
from killing import assert_sound

__all__ = ["hostile"]

SQL = [
    "'", "''", '"', "`", ";", "--", "/*", "*/", "\\", "%", "_", "?", "?1", ":name", "@name", "$name", "NULL", "rowid",
    "'; DROP TABLE candles; --", '"; DROP TABLE candles; --', "' OR '1'='1", "1; DELETE FROM coverage", "1 OR 1=1",
    "') ; ATTACH 'x.db' AS x; --", "x' UNION SELECT sql FROM sqlite_master --", "'||load_extension('x')||'",
    "'; PRAGMA journal_mode=DELETE; --", "'; PRAGMA writable_schema=ON; --", "'; VACUUM INTO 'stolen.db'; --",
    "'/**/OR/**/1=1--", "0x27", "char(39)", "\x00'; DROP TABLE series; --", "tBTCUSD'; --", "tBTCUSD' OR 'a'='a",
    "[candles]", "{0}", "%s", "{{x}}", "a" * 5000 + "'", "'\n;\nDROP TABLE jobs", "‘", "＇; DROP TABLE candles; --",
    "ʼ OR ʼ1ʼ=ʼ1", "\u0000", "'; SELECT randomblob(1000000000); --", "(SELECT 1)", "1e999", "-1", "NaN",
]  # fmt: skip
Record = Callable[[str, object], None]
FOR_PROCESSES = [text for text in SQL if "\x00" not in text]


def schema(folder: Folder) -> list[tuple[object, ...]]:
    return folder.rows("SELECT type, name, sql FROM sqlite_master ORDER BY name")


@pytest.fixture
def filled(folder: Folder) -> Folder:
    folder.settings |= {"BACKFILL_DAYS": "2", "TIMEFRAMES": "1h", "RATE_LIMIT_MAX_RETRIES": "0"}
    assert folder.run("backfill").exit == 0
    return folder


def assert_untouched(folder: Folder, before: list[tuple[object, ...]], candles: int) -> None:
    assert schema(folder) == before
    assert folder.rows("SELECT count(*) FROM candles")[0][0] >= candles
    assert folder.rows("PRAGMA journal_mode") == [("wal",)]
    assert not {"stolen.db", "x.db"} & {path.name for path in folder.path.iterdir()}
    assert_sound(folder)


@pytest.mark.parametrize(
    "texts",
    [pytest.param(FOR_PROCESSES[::16], id="few"), pytest.param(FOR_PROCESSES, marks=pytest.mark.slow, id="all")],
)
def test_in_options_and_settings_it_is_refused(filled: Folder, texts: list[str]) -> None:
    before, ((candles,),) = schema(filled), filled.rows("SELECT count(*) FROM candles")
    for text in texts:
        for command in ("backfill --symbol=", "gaps --symbol=", "backfill --since=", "jobs --command=",
                        "cleanup --all --yes --symbol=", "export --timeframe="):  # fmt: skip
            arguments = f"{command}{text}".split(" ", command.count(" "))
            ended = filled.run(*arguments)
            # An instant may be so many milliseconds.
            assert ended.exit in {2, 78} or re.fullmatch(r"-?\d+", text), (arguments, ended.exit, ended.err)
            assert "Traceback" not in ended.err
    for text in texts:
        assert filled.run("update", SYMBOLS=text).exit == 78
        assert filled.run("update", TIMEFRAMES=text).exit == 78
    assert_untouched(filled, before, candles)
    assert len(filled.rows("SELECT * FROM series")) == 1


def as_error(text: str) -> bytes:
    return json.dumps(["error", 10020, text]).encode()


def as_row(text: str) -> bytes:
    return json.dumps([[text, 1, 1, 1, 1, 1]]).encode()


@pytest.mark.parametrize("spell", [as_error, as_row], ids=["error", "row"])
@pytest.mark.parametrize(
    "texts", [pytest.param(SQL[::12], id="few"), pytest.param(SQL, marks=pytest.mark.slow, id="all")]
)
def test_from_the_exchange_it_is_stored_as_text(
    filled: Folder, hostile: Hostile, spell: Callable[[str], bytes], texts: list[str], record_property: Record
) -> None:
    before, ((candles,),) = schema(filled), filled.rows("SELECT count(*) FROM candles")
    filled.settings["BITFINEX_REST_URL"] = hostile.url
    for text in texts:
        hostile.body = spell(text)
        ended = filled.run("backfill", "--since", "2020", "--json")
        assert ended.exit in {65, 76}, (text, ended.err)
        (told,) = filled.rows("SELECT error FROM ingestion_jobs ORDER BY id DESC LIMIT 1")[0]
        assert told == ended.json["reason"]
    assert_untouched(filled, before, candles)
    record_property("texts", len(texts))
    # What lists jobs and gaps again binds it too.
    for arguments in (["jobs", "--json"], ["gaps", "--json"], ["status", "--json"]):
        assert filled.run(*arguments).exit in {0, 3}


def test_from_systemd_it_is_not_stored(filled: Folder) -> None:
    before, ((candles,),) = schema(filled), filled.rows("SELECT count(*) FROM candles")
    for number, text in enumerate(FOR_PROCESSES[::4]):
        # As under systemd: what is said goes to the journal, and the run has the journal's id.
        with (filled.path / "journal").open("w") as journal:
            status = os.fstat(journal.fileno())
            environment = filled.environ(JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino}", INVOCATION_ID=text)
            assert filled.start_into(journal, "update", environment=environment) == 0
        (stored,) = filled.rows("SELECT invocation_id FROM ingestion_jobs ORDER BY id DESC LIMIT 1")
        assert stored == ((text,) if text.isascii() and text.isalnum() else (None,)), number
    assert_untouched(filled, before, candles)


@pytest.mark.parametrize(
    "name",
    [
        "it's.db",
        "a?mode=memory.db",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ('a"b.db', "a;--.db", "a#b.db", "a%27.db", "file:x.db", ":memory:.db")
        ),
    ],
)
def test_a_database_may_bear_such_a_name(folder: Folder, name: str) -> None:
    folder.database = folder.path / name
    folder.settings |= {"DATABASE_PATH": str(folder.database), "BACKFILL_DAYS": "1", "TIMEFRAMES": "1h"}
    for arguments in (
        ["backfill"],
        ["detect-gaps"],
        ["verify"],
        ["cleanup", "--yes"],
        ["status", "--json"],
        ["export"],
    ):
        ended = folder.run(*arguments)
        assert ended.exit == 0, (arguments, ended.err)
    assert Path(folder.database).stat().st_size > 0
    databases = [path.name for path in folder.path.iterdir() if path.suffix == ".db"]
    assert databases == [name]
