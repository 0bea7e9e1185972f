"""`mdata serve`: a real process on a real socket, asked as programs and visitors ask it."""

import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import typer
from conftest import DAY, Folder, SetClock, hurried, stored
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import Served, with_gaps

from mdata.cli.main import app
from mdata.config import load
from mdata.sandbox.market import Market, Pair
from mdata.store.schema_docs import TABLES
from mdata.store.sqlite import sqlite3
from mdata.web.answers import PATHS, answer


@pytest.fixture
def filled(folder: Folder) -> Folder:
    """A folder with such a store."""
    return with_gaps(folder)


EQUAL = [
    ("/status", ["status"]),
    ("/status?symbol=btcusd&timeframe=1m", ["status", "-s", "BTCUSD", "-t", "1m"]),
    ("/status?symbol=ETHUSD,BTCUSD&timeframe=1h", ["status", "-s", "ETHUSD", "-s", "BTCUSD", "-t", "1h"]),
    ("/health", ["status", "--check"]),
    ("/health?max_gaps=1&max_lag=2h", ["status", "--check", "--max-gaps", "1", "--max-lag", "2h"]),
    ("/gaps", ["gaps"]),
    ("/gaps?status=open", ["gaps", "--status", "open"]),
    ("/gaps?status=repaired&since=-7d", ["gaps", "--status", "repaired", "--since=-7d"]),
    ("/gaps?limit=1", ["gaps", "--limit", "1"]),
    ("/gaps?symbol=ETHUSD", ["gaps", "-s", "ETHUSD"]),
    ("/gaps?symbol=BTCUSD&timeframe=1m", ["gaps", "-s", "BTCUSD", "-t", "1m"]),
    ("/gaps?since=2099", ["gaps", "--since", "2099"]),
    ("/jobs", ["jobs"]),
    ("/jobs?outcome=ok", ["jobs", "--outcome", "ok"]),
    ("/jobs?command=repair", ["jobs", "--command", "repair"]),
    ("/jobs?limit=1&since=2020", ["jobs", "--limit", "1", "--since", "2020"]),
]  # fmt: skip


def test_http_answers_equal_the_commands(filled: Folder) -> None:
    with Served(filled) as server:
        for target, command in EQUAL:
            # The clock moves on between two looks; what the command says before and after, HTTP says in between.
            for _ in range(20):
                before = filled.run(*command, "--json")
                between = server.ask(target)
                after = filled.run(*command, "--json")
                if before.json == after.json:
                    break
            assert between.json == before.json == after.json, target
            assert between.status == (503 if before.exit else 200), target
            assert between.headers["content-type"].startswith("application/json")
        rows = server.ask("/gaps?status=open").json["gaps"]
        assert [(row["status"], row["intervals"]) for row in rows] == [("open", 6)]


def test_health_from_nothing_over_stale_to_healthy(folder: Folder) -> None:
    """The server is there first: it never makes the store, and serves it as soon as a job has made it."""
    folder.settings.update(TIMEFRAMES="1h", BACKFILL_DAYS="3")
    with Served(folder) as server:
        for _ in range(2):
            nothing = server.ask("/health")
            assert (nothing.status, nothing.json["exit"]) == (503, 3)
            assert "tBTCUSD 1h has no data" in nothing.json["reason"]
            assert "Nothing is stored yet" in server.ask("/").text
            assert server.ask("/mdata/ohlcv").status == 404
            assert server.ask("/gaps").json["gaps"] == []
        assert list(folder.path.glob("mdata.db*")) == []
        five_days_ago = f"{time.time_ns() // 1_000_000 - 5 * DAY},{time.clock_gettime(time.CLOCK_BOOTTIME)},1"
        assert folder.run("backfill", MDATA_REHEARSAL=five_days_ago).exit == 0
        stale = server.ask("/health", Accept="text/plain")
        assert stale.status == 503
        assert "lags by " in stale.text
        assert stale.headers["content-type"].startswith("text/plain")
        assert folder.run("update").exit == 0
        healthy = server.ask("/health", Accept="text/html,*/*")
        assert (healthy.status, healthy.text) == (200, "healthy\n")
        assert server.ask("/mdata/ohlcv").status == 200
        assert server.ask("/health", method="HEAD").status == 200


BAD = [
    "/gaps?status=opened", "/gaps?status=open&status=open", "/gaps?since=whenever", "/gaps?symbol=../../x",
    "/gaps?symbol=", "/gaps?timeframe=4h", "/gaps?limit=0", "/jobs?limit=0", "/jobs?limit=-1", "/jobs?limit=many",
    "/jobs?outcome=good", "/jobs?since=1", "/jobs?command=repare",
    "/jobs?symbol=BTCUSD", "/status?status=open", "/status?symbol=%00", "/health?max_lag=ten",
    "/health?max_gaps=-1", "/health?check=1", "/gaps?%1b%5b31m=1",
]  # fmt: skip


@pytest.mark.parametrize("target", BAD)
def test_a_bad_parameter_gets_400_and_one_sentence(web: tuple[Any, SetClock], target: str) -> None:
    from urllib.parse import parse_qs

    parts = urlsplit(target)
    given = parse_qs(parts.query, keep_blank_values=True)
    found = answer(parts.path, given, *web)
    assert (found.status, found.body["exit"], found.body["outcome"]) == (400, 2, "failed")
    assert found.body["reason"].isprintable()
    assert next(iter(given)).isprintable() is False or next(iter(given)) in found.body["reason"]


@pytest.mark.parametrize("path", PATHS)
def test_every_option_that_filters_is_a_parameter(path: str) -> None:
    """What an option of the command can choose, HTTP can choose too."""
    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), "status" if path == "/health" else path[1:])  # type: ignore[attr-defined]
    options = {one.name for one in command.params} - {
        "env_file", "json", "quiet", "verbose", "help", "check", "prometheus", "watch", "revisions",
        "symbols",  # as --symbol
    }  # fmt: skip
    allowed, _ = PATHS[path]
    assert set(allowed) == options - ({"max_lag", "max_gaps", "complete"} if path == "/status" else set())


@pytest.fixture
def web(tmp_path: Path) -> tuple[Any, SetClock]:
    """The settings of a store that is not there, and a clock."""
    overrides = {"DATABASE_PATH": str(tmp_path / "no.db"), "RATE_LIMIT_STATE_PATH": str(tmp_path / "rate.json")}
    return load(overrides=overrides, environ={"HOME": str(tmp_path)}).settings, SetClock()


NAMES = st.sampled_from([*sorted({name for allowed, _ in PATHS.values() for name in allowed}), "x"])
TEXTS = st.text(max_size=20) | st.sampled_from(["open", "2024", "-7d", "5", "BTCUSD", "1m", "10m"])


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(list(PATHS)), given_=st.dictionaries(NAMES, st.lists(TEXTS, max_size=3), max_size=3))
def test_whatever_is_asked_gets_an_answer(path: str, given_: dict[str, list[str]], tmp_path_factory: Any) -> None:
    base = tmp_path_factory.getbasetemp()
    overrides = {"DATABASE_PATH": str(base / "no.db"), "RATE_LIMIT_STATE_PATH": str(base / "rate.json")}
    loaded = load(overrides=overrides, environ={"HOME": str(base)})
    found = answer(path, given_, loaded.settings, SetClock())
    assert found.status in ({400, 503} if path == "/health" else {200, 400})
    assert json.loads(json.dumps(found.body))["command"] in {"status", "gaps", "jobs"}
    assert (found.body["reason"] is None) == (found.status == 200)


@pytest.mark.parametrize("name", ["status.db", "gaps.db", "health.db", "mdata", "-.db", "a b?#%41.db"])
def test_no_name_of_the_file_gets_in_the_way(folder: Folder, name: str) -> None:
    database = str(folder.path / name)
    folder.settings.update(DATABASE_PATH=database, BACKFILL_DAYS="2", TIMEFRAMES="1h")
    assert folder.run("backfill").exit == 0
    with Served(folder) as server:
        assert server.ask("/status").json["database"]["path"] == database
        assert server.ask("/health").status == 200
        assert "gaps" in server.ask("/gaps").json
        assert server.ask("/mdata/series.json?_shape=array").json[0]["symbol"] == "tBTCUSD"
        assert server.ask("/mdata").status == 200


WRITES = [
    "INSERT INTO series (id) VALUES (9)", "DELETE FROM candles", "UPDATE candles SET open = 1", "DROP TABLE candles",
    "WITH x AS (SELECT 1) DELETE FROM candles", "WITH x AS (SELECT 1) INSERT INTO lost_candles SELECT 1, 1",
    "ATTACH DATABASE '/tmp/other.db' AS other", "VACUUM INTO '/tmp/copy.db'", "PRAGMA journal_mode=DELETE",
    "PRAGMA user_version=7", "CREATE TABLE x (y)", "CREATE TEMP TABLE x (y)", "SELECT 1; DELETE FROM candles",
    "SELECT load_extension('/tmp/x.so')", "SELECT * FROM pragma_journal_mode", "SELECT readfile('/etc/passwd')",
    "REPLACE INTO series (id) VALUES (1)", "EXPLAIN DELETE FROM candles", "BEGIN EXCLUSIVE",
    "/* */ DELETE FROM candles",
    "SELECT * FROM nothing", "SELECT", "SELEC 1", "SELECT writefile('/tmp/x', 'y')",
]  # fmt: skip
COSTLY = [
    "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x",
    "WITH RECURSIVE x(t) AS (SELECT 'aaaaaaaa' UNION ALL SELECT t || t FROM x LIMIT 40) SELECT max(length(t)) FROM x",
    "SELECT length(hex(zeroblob(900000000)))",
    "SELECT printf('%.*c', 10000000, 'x') FROM candles",
    "SELECT zeroblob(10000000) FROM candles",
    "SELECT length(printf('%.*c', 900000000, 'x'))",
    "SELECT count(*) FROM candles a, candles b, candles c",
]  # fmt: skip
PATH_TRICKS = [
    "/-/mdata/../../../etc/passwd", "/-/mdata/%2e%2e/%2e%2e/etc/passwd", "/-/mdata//etc/passwd",
    "/-/mdata/..%2fserver.py", "/-/static/../app.py", "/../../etc/passwd", "/mdata/..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd", "/_internal", "/_internal/databases", "/_memory", "/mdata.db", "/nothing",
    "/mdata/sqlite_master", "/-/permissions", "/-/nothing",
]  # fmt: skip


def test_what_must_not_be_is_refused_and_changes_nothing(filled: Folder) -> None:
    before = filled.rows("SELECT count(*), sum(open), (SELECT count(*) FROM sqlite_master) FROM candles")
    names = sorted(path.name for path in filled.path.iterdir())
    with Served(filled, "-v") as server:
        for sql in (*WRITES, *COSTLY):
            refused = server.sql(sql)
            assert 400 <= refused.status < 500, (sql, refused.status, refused.text)
            assert "Traceback" not in refused.text
        for target in PATH_TRICKS:
            refused = server.ask(target)
            assert 300 <= refused.status < 500, (target, refused.status)
            assert "root:" not in refused.text
            assert "import" not in refused.text
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            refused = server.ask("/mdata", method=method, body=b"x" * 1000)
            assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
        assert server.sql(f"SELECT '{'x' * 9000}'").status == 414
        assert server.ask(f"/{'x' * 40_000}").status == 414
        assert server.sql("SELECT '\x1b[31mred\u202e' FROM nothing").status == 400
        assert server.ask("/health").json["command"] == "status"
        assert server.sql("SELECT count(*) FROM candles").json["rows"][0][0] == before[0][0]
        code, err = server.end()
    assert code == 143
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert filled.rows("SELECT count(*), sum(open), (SELECT count(*) FROM sqlite_master) FROM candles") == before
    new = {path.name for path in filled.path.iterdir()} - set(names)
    assert new <= {"mdata.db-wal", "mdata.db-shm"}
    assert not Path("/tmp/copy.db").exists()


ODD = [
    "/mdata/candles?_sort=nothing", "/mdata/candles.json?_sort_desc=%27", "/mdata/ohlcv?_timelimit=soon",
    "/mdata/coverage.csv?_timelimit=-1&kind=x", "/mdata/data_gaps?_through=1", "/mdata/data_gaps?_through=%5B%5D",
    "/mdata/ingestion_jobs?id__gt=999999999999999999999999999", "/mdata.csv", "/mdata/latest?_timelimit=x",
    "/mdata/ohlcv?_next=x", "/mdata/ohlcv?_size=-1", "/mdata/series/x", "/mdata/candles/1", "/mdata/candles/a,b",
    "/mdata/ohlcv?_where=nonsense", "/mdata/ohlcv?_facet=nothing", "/mdata/series?_col=nothing", "/mdata/nothing",
    "/mdata/ohlcv.xml", "/mdata?sql=select+1&_shape=odd", "/mdata.json?sql=select+1&_shape=odd", "/%00", "/mdata/%ff",
]  # fmt: skip


def test_an_odd_address_is_told_so(filled: Folder) -> None:
    rng = random.Random(5)
    keys = [
        "_next", "_size", "_sort", "_facet", "_shape", "_col", "_where", "_through", "_timelimit", "_trace", "sql",
        "_labels", "_facet_date", "_facet_array", "_blob_column", "symbol__exact", "open__gt", "x__in", "_nl",
    ]  # fmt: skip
    values = ["", "-1", "x", "'", "[1", "{}", "9" * 30, "1e999", "\x00", "é", "<script>alert(1)</script>", "1,2"]
    paths = ["/", "/mdata", "/mdata/ohlcv", "/mdata/candles", "/mdata/data_gaps", "/mdata/latest", "/mdata/series/1"]

    def drawn() -> str:
        asked = [(rng.choice(keys), rng.choice(values)) for _ in range(rng.randint(1, 3))]
        return f"{rng.choice(paths)}{rng.choice(['', '', '.json', '.csv'])}?{urlencode(asked)}"

    with Served(filled) as server:
        for target in ODD + [drawn() for _ in range(200)]:
            found = server.ask(target)
            assert found.status < 500, (target, found.text)
            if found.headers.get("content-type", "").startswith("text/html"):
                assert "<script>alert" not in found.text, target
        _, err = server.end()
    # What a visitor does wrong is told to the visitor; it does not fill the log.
    assert len(err.splitlines()) < 10, err


def test_a_request_of_ten_megabytes_does_no_harm(filled: Folder) -> None:
    with Served(filled) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            head = b"GET /mdata?sql=select+1" + b"+" * 10_000_000
            received = b""
            try:
                connection.sendall(head)
                received = connection.recv(1000)
            except OSError:
                pass  # The server has hung up while we were still talking, as it should.
        assert received[:12] in {b"", b"HTTP/1.1 400"}
        assert server.ask("/status").status == 200


def test_every_table_and_column_is_described(filled: Folder) -> None:
    schema: dict[str, list[str]] = {}
    for name, column in filled.rows(
        """SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c
           WHERE m.type IN ('table', 'view') AND m.name NOT LIKE '%sqlite\\_%' ESCAPE '\\' ORDER BY m.name, c.cid"""
    ):
        schema.setdefault(name, []).append(column)
    assert {name: list(table.columns) for name, table in TABLES.items()} == schema
    with Served(filled) as server:
        tables = server.ask("/-/metadata.json").json["databases"]["mdata"]["tables"]
        assert set(schema) <= set(tables)
        for name, columns in schema.items():
            page = server.ask(f"/mdata/{name}").text
            assert TABLES[name].title in page
            assert all(f"<dt>{column}</dt>" in page for column in columns)


def test_tables_facets_queries_and_downloads(filled: Folder) -> None:
    rows = stored(filled.database, "tBTCUSD", "1m")
    with Served(filled) as server:
        series = "exchange=bitfinex&symbol=tBTCUSD&timeframe=1m"
        newest = server.ask(f"/mdata/ohlcv.json?{series}&_sort_desc=open_time&_shape=array").json[0]
        assert (newest["open_time"], newest["close"]) == (rows[-1][0], rows[-1][4])
        many = server.sql("SELECT * FROM candles").json
        assert (len(many["rows"]), many["truncated"]) == (1000, True)
        csv = server.ask("/mdata/ohlcv.csv?_stream=1&_dl=1")
        assert "attachment" in csv.headers["content-disposition"]
        assert len(csv.text.splitlines()) == len(rows) + 1
        facets = server.ask("/mdata/data_gaps.json").json["facet_results"]["status"]["results"]
        assert {one["value"]: one["count"] for one in facets} == {"open": 1, "repaired": 1}
        narrowed = server.ask("/mdata/data_gaps?status=open").text
        assert narrowed.count("<time datetime=") >= 3
        queries = [one["name"] for one in server.ask("/mdata.json").json["queries"]]
        assert len(queries) >= 5
        for name in queries:
            found = server.ask(f"/mdata/{name}.json?_shape=array")
            assert found.status == 200, (name, found.text)
            assert found.json, name
            assert server.ask(f"/mdata/{name}").status == 200
        (latest,) = server.ask("/mdata/latest.json?symbol=tBTCUSD&timeframe=1m&_shape=array&_size=1").json[:1]
        assert latest["close"] == rows[-1][4]
        day = server.ask("/mdata/daily.json?_shape=array").json[1]
        whole = [row for row in rows if row[0] // DAY == rows[-1][0] // DAY - 1]
        assert (day["candles"], day["open"], day["close"]) == (len(whole), whole[0][1], whole[-1][4])
        assert (day["high"], day["low"]) == (max(row[2] for row in whole), min(row[3] for row in whole))


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Folder]:
    """A folder with an exchange on a clock that runs sixty times as fast as life, for all processes alike."""
    market = Market({"tBTCUSD": Pair("tBTCUSD"), "tSPAUSD": Pair("tSPAUSD", density=0.3)})
    with hurried(market, 60.0) as (sandbox, clock):
        folder = Folder(tmp_path, sandbox)
        folder.settings |= clock | {"SYMBOLS": "BTCUSD,SPAUSD", "BACKFILL_DAYS": "120", "RATE_LIMIT_DELAY": "2"}
        yield folder


def test_pages_are_read_while_jobs_write(fast: Folder, wait: Callable[..., None]) -> None:
    folder = fast
    targets = [
        "/", "/health", "/status", "/gaps", "/jobs", "/mdata", "/mdata/ohlcv?symbol=tBTCUSD", "/mdata/latest",
        "/mdata/coverage", "/mdata/ledger", "/mdata/ingestion_jobs.json", "/mdata/daily",
    ]  # fmt: skip
    wrong: list[tuple[str, int, str]] = []
    asked = 0
    done = threading.Event()
    with Served(folder) as server:

        def visit(number: int) -> None:
            nonlocal asked
            while not done.is_set():
                target = targets[number % len(targets)]
                found = server.ask(target)
                if found.status != 200 and not (target == "/health" and found.status == 503):
                    wrong.append((target, found.status, found.text))
                number, asked = number + 1, asked + 1

        first, stream = folder.start("backfill"), folder.start("stream", "--for", "8m")
        wait(lambda: server.ask("/mdata/series").status == 200)
        visitors = [threading.Thread(target=visit, args=(begin,)) for begin in range(0, 12, 4)]
        for visitor in visitors:
            visitor.start()
        _, first_err = first.communicate(timeout=120)
        jobs = [folder.run(command) for command in ("backfill", "update", "detect-gaps", "repair")]
        _, stream_err = stream.communicate(timeout=120)
        done.set()
        for visitor in visitors:
            visitor.join()
        code, err = server.end()
    assert wrong == []
    assert (first.returncode, stream.returncode) == (0, 0), (first_err, stream_err)
    written = folder.rows("SELECT outcome, candles_written > 0 FROM ingestion_jobs WHERE command = 'stream'")
    assert written == [("ok", 1)]
    assert [job.exit for job in jobs] == [0, 0, 0, 0], [job.err for job in jobs]
    assert asked > 50
    assert (code, "Traceback" in err) == (143, False)
    assert folder.rows("PRAGMA integrity_check") == [("ok",)]
    unsound = """SELECT series_id FROM coverage GROUP BY series_id HAVING sum(candles) <>
                 (SELECT count(*) FROM candles WHERE candles.series_id = coverage.series_id)"""
    assert folder.rows(unsound) == []


@pytest.mark.parametrize("engine", ["pysqlite3", "sqlite3"])
def test_what_each_job_writes_is_seen_after_it_has_ended(filled: Folder, engine: str) -> None:
    """A job that ends must not take the log away under the server's open connections (locks of one process)."""
    if engine == "sqlite3":
        # As on machines for which there is no wheel of the other; older SQLites lose such locks more easily.
        (filled.path / "sitecustomize.py").write_text("import sys\nsys.modules['pysqlite3'] = None\n")
        filled.settings["PYTHONPATH"] = str(filled.path)
    with Served(filled) as server:
        version = pytest.importorskip(engine).sqlite_version
        assert server.ask("/-/versions.json").json["sqlite"]["version"] == version
        assert f"SQLite {version}" in filled.run("--version").out
        for _ in range(6):
            assert filled.run("backfill", "--since", "-3d", TIMEFRAMES="1D").exit == 0
            connection = sqlite3.connect(filled.database)
            with connection:
                connection.execute("UPDATE series SET wanted_start = wanted_start + 1")
            connection.close()
            expected = filled.rows("SELECT sum(wanted_start) FROM series")[0][0]
            assert server.ask("/status").status == 200
            seen = {server.sql("SELECT sum(wanted_start) FROM series").json["rows"][0][0] for _ in range(8)}
            assert seen == {expected}


def test_another_file_in_its_place(filled: Folder) -> None:
    with Served(filled) as server:
        one_day = "/mdata.json?sql=select+count(*)+from+candles&_shape=arrays"
        assert server.ask(one_day).json["rows"][0][0] > 2000
        elsewhere = filled.path / "other.db"
        assert filled.run("backfill", DATABASE_PATH=str(elsewhere), TIMEFRAMES="1D").exit == 0
        for name in ("mdata.db-wal", "mdata.db-shm"):
            (filled.path / name).unlink(missing_ok=True)
        elsewhere.replace(filled.database)
        for _ in range(8):
            assert server.ask(one_day).json["rows"][0][0] < 10
        filled.database.unlink()
        assert server.ask("/health").status == 503
        assert "Nothing is stored yet" in server.ask("/").text
        assert server.ask("/mdata/series").status == 404
        assert not filled.database.exists()


def test_a_store_that_cannot_be_read(filled: Folder) -> None:
    with Served(filled) as server:
        assert server.ask("/mdata/series").status == 200
        connection = sqlite3.connect(filled.database)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        for path in PATHS:
            refused = server.ask(path)
            assert (refused.status, refused.json["exit"]) == (503, 78)
            assert "newer mdata" in refused.json["reason"]
        assert "newer mdata" in server.ask("/").text
    refused_start = filled.run("serve", "--port", "0")
    assert (refused_start.exit, refused_start.out) == (78, "")
    assert "newer mdata" in refused_start.err
    for name in ("mdata.db-wal", "mdata.db-shm"):
        (filled.path / name).unlink(missing_ok=True)
    filled.database.write_text("<html>no database</html>")
    assert filled.run("serve", "--port", "0").exit == 74


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_cleanly(filled: Folder, number: int, code: int) -> None:
    with Served(filled) as server:
        assert server.ask("/").status == 200
        ended, err = server.end(number)
    assert ended == code
    assert err.splitlines()[-1] == "mdata: the server has stopped"
    assert "Traceback" not in err


def test_a_port_in_use_and_other_places(folder: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = folder.run("serve", "--port", str(taken.getsockname()[1]))
    assert (ended.exit, ended.out) == (75, "")
    assert "is in use" in ended.err
    assert len(ended.err.splitlines()) == 2  # nothing is stored yet, and this
    assert folder.run("serve", "--host", "192.0.2.1").exit == 2
    assert folder.run("serve", "--host", "no such host").exit == 2
    with Served(folder, "--host", "0.0.0.0") as server:
        assert server.ask("/status", Host="store.example.org").status == 200
        _, err = server.end()
    assert "everyone who can reach 0.0.0.0 can read the whole store" in err


def test_it_answers_to_its_own_names_only(folder: Folder) -> None:
    with Served(folder, "--allow-host", "Store.example.org") as server:
        for host in ("127.0.0.1", "localhost:8001", "LOCALHOST", "[::1]:80", "store.example.org", "10.1.2.3"):
            assert server.ask("/status", Host=host).status == 200, host
        for host in ("evil.example", "store.example.org.evil.example", "127.0.0.1.evil.example", "", "x@localhost"):
            refused = server.ask("/status", Host=host)
            assert refused.status in {400, 421}, host


def test_without_datasette_it_says_how_to_get_it(folder: Folder) -> None:
    code = (
        "import sys\nsys.modules['datasette'] = None\nsys.argv = ['mdata', 'serve']\n"
        "from mdata.cli.main import run\nrun()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=folder.environ(), cwd=folder.path, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 78
    assert f"`{sys.executable} -m pip install 'datasette>=0.65,<1'`" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
