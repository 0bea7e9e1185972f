"""`mdata serve` as a process, and what it answers."""

import http.client
import json
import signal
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import pytest
from conftest import Folder, stored

from mdata.store.sqlite import sqlite3


class Answered:
    """One answer: status, headers, body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A running `mdata serve` of a folder."""

    def __init__(self, folder: Folder, *arguments: str, **given: str) -> None:
        place = () if "--socket" in arguments else ("--port", "0")
        self.process = folder.start("serve", *place, *arguments, **given)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            _, err = self.process.communicate(timeout=30)
            pytest.fail(f"no address was printed: {err}")
        self.port = urlsplit(self.url).port

    def ask(self, target: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return Answered(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def sql(self, sql: str) -> Answered:
        return self.ask(f"/mdata.json?{urlencode({'sql': sql, '_shape': 'arrays'})}")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End the server and return its exit code and what it said."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            _, err = self.process.communicate(timeout=30)
        finally:
            self.process.kill()
        return self.process.returncode, err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def with_gaps(folder: Folder) -> Folder:
    """Fill the store of a folder with two days, a gap that was found, and one that was repaired."""
    folder.settings["BACKFILL_DAYS"] = "2"
    assert folder.run("backfill").exit == 0
    middle = stored(folder.database, "tBTCUSD", "1m")[1000][0]
    for _ in range(2):
        connection = sqlite3.connect(folder.database)
        with connection:
            connection.execute(
                """DELETE FROM candles WHERE series_id = (SELECT id FROM series WHERE symbol = 'tBTCUSD')
                   AND open_time BETWEEN ?1 AND ?1 + 5 * 60000""",
                (middle,),
            )
        connection.close()
        assert folder.run("detect-gaps").exit == 0
        if folder.rows("SELECT count(*) FROM data_gaps") == [(1,)]:
            assert folder.run("repair").exit == 0
    assert sorted(folder.rows("SELECT status FROM data_gaps")) == [("open",), ("repaired",)]
    return folder
