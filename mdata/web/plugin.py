"""The Datasette plugin: our addresses and home page, times shown as dates, errors in one sentence."""

import asyncio
import json
import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from datasette import Response, hookimpl
from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.utils.asgi import Base400, Request
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError
from markupsafe import Markup

from mdata.clock import Clock
from mdata.config import Settings
from mdata.domain.times import iso
from mdata.errors import MdataError
from mdata.running.context import JobLog
from mdata.store.schema_docs import INSTANT, TABLES
from mdata.web.answers import PATHS, answer
from mdata.web.candles import PATH as CANDLES
from mdata.web.candles import CandleAnswers
from mdata.web.guard import STRICT, Access, App, Guard
from mdata.web.home import home
from mdata.web.parameters import Parameters
from mdata.web.queries import QUERIES
from mdata.web.series_page import series_page

# The exceptions that Datasette's pages raise for parameters that they do not check.
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError)

_NOT_CACHED = {"Cache-Control": "no-store", "Vary": "Accept"}
_PAGE = {"Cache-Control": "no-store", **STRICT}

# How many requests read candles at once: a wide view of millions takes seconds, and others need a thread too.
_READERS = 2
# How long (s) a request for candles waits for its turn.
_PATIENCE = 20.0


class Plugin:
    """The hooks that Datasette calls; one object per server, registered under its name."""

    __name__ = "mdata"  # Datasette looks for a module's name

    def __init__(self, settings: Settings, clock: Clock, log: JobLog, access: Access) -> None:
        self._settings, self._clock, self._log, self._access = settings, clock, log, access
        self._candles, self._readers = CandleAnswers(settings, clock), asyncio.Semaphore(_READERS)

    @hookimpl
    def asgi_wrapper(self) -> Callable[[App], App]:
        """Put the guard in front of everything."""
        return lambda app: Guard(app, self._access, self._log)

    @hookimpl
    def register_routes(self) -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
        """Return our addresses; they take precedence over Datasette's addresses of databases."""
        return [
            ("^/$", self._home),
            (f"^{re.escape(CANDLES)}$", self._candles_of),
            ("^/series/(?P<symbol>[^/]+)/(?P<timeframe>[^/]+)$", self._series),
            *((f"^{path}$", self._answer) for path in PATHS),
        ]

    @hookimpl
    def render_cell(self, value: Any, column: str, table: str | None) -> Markup | None:
        """Show a time as a date, unless the table has a text column with it already."""
        if not isinstance(value, int) or table is None or table == "ohlcv" or table not in TABLES:
            return None
        described = TABLES[table].columns.get(column)
        if described is None or described.unit != INSTANT or not 0 <= value < 2**48:
            return None
        text = iso(value)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(text, value, text[:19].replace("T", " "))

    @hookimpl
    def handle_exception(self, datasette: Datasette, request: Request, exception: Exception) -> Awaitable[Response]:
        """Answer an error with one sentence; only a bug leaves a traceback, in the log."""
        return _refused(datasette, request, *self._explained(request, exception))

    async def _answer(self, request: Request) -> Response:
        path = request.path
        parameters = _parameters(request)
        found = await asyncio.to_thread(answer, path, parameters, self._settings, self._clock)
        if path == "/health" and _prefers_text(request):
            text = found.body["reason"] or "healthy"
            return Response.text(f"{text}\n", status=found.status, headers=_NOT_CACHED)
        return Response.json(found.body, status=found.status, headers=_NOT_CACHED)

    async def _home(self, request: Request, datasette: Datasette) -> Response:
        try:
            shown = await asyncio.to_thread(home, _parameters(request), self._settings, self._clock)
        except ValueError as error:
            return await _refused(datasette, request, 400, str(error))
        page = await datasette.render_template(
            "home.html", {**shown, "queries": QUERIES}, request=request, view_name="index"
        )
        return Response.html(page, headers=_PAGE)

    async def _candles_of(self, request: Request, datasette: Datasette) -> Response:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._readers.acquire()
        except TimeoutError:
            return await _refused(datasette, request, 503, "Too many charts are being read at once; try again later.")
        try:
            status, body = await asyncio.to_thread(self._candles.answer, _parameters(request))
        finally:
            self._readers.release()
        kind = "application/json; charset=utf-8"
        return Response(body.decode(), status=status, content_type=kind, headers=_NOT_CACHED)

    async def _series(self, request: Request, datasette: Datasette) -> Response:
        try:
            shown = await asyncio.to_thread(
                series_page, request.url_vars, _parameters(request), self._settings, self._clock
            )
        except ValueError as error:
            return await _refused(datasette, request, 400, str(error))
        if shown is None:
            return await _refused(datasette, request, 404, "No candles of this series are stored.")
        page = await datasette.render_template("series.html", shown, request=request, view_name="series")
        return Response.html(page, headers=_PAGE)

    def _explained(self, request: Request, exception: Exception) -> tuple[int, str]:
        """Return an HTTP status and a sentence for what was raised while a page was created."""
        if isinstance(exception, Base400):
            return exception.status, str(exception.args[0] if exception.args else "Not found")
        if isinstance(exception, DatasetteError):
            # A 500 from Datasette means, for example, that the column to sort by does not exist.
            return exception.status if exception.status != 500 else 400, str(exception.message)
        if isinstance(exception, MdataError):
            return 503, str(exception)
        if isinstance(exception, QueryInterrupted):
            return 400, "The query was stopped: it takes too long."
        if isinstance(exception, sqlite3.Error | sqlite3.Warning):
            return 400, f"The query was rejected: {exception}"
        if isinstance(exception, MemoryError):
            return 400, "The query was stopped: it needs too much memory."
        lines = "".join(traceback.format_exception(exception)).splitlines()
        if isinstance(exception, _NONSENSE) and request.path != "/" and request.path not in PATHS:
            for line in lines:
                self._log.debug(line)
            return 400, "This address is invalid: one of its parameters has a wrong value."
        for line in lines:
            self._log.warning(line)
        return 500, "This page could not be created; see the log of `mdata serve`."


def _parameters(request: Request) -> Parameters:
    return {name: request.args.getlist(name) for name in request.args}


def _prefers_text(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "text/" in accepted and "json" not in accepted


async def _refused(datasette: Datasette, request: Request, status: int, sentence: str) -> Response:
    if request.path.endswith(".json") or "json" in request.headers.get("accept", ""):
        body = json.dumps({"ok": False, "error": sentence, "status": status})
        return Response(body, status=status, content_type="application/json; charset=utf-8")
    page = await datasette.render_template("error.html", {"status": status, "error": sentence}, request=request)
    return Response.html(page, status=status, headers=STRICT)
