"""Values of options and arguments: what Tab completes, and suggestions for mistyped ones.

Shell completion must answer at once, and must neither fail nor print, whatever the state of settings and store.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mdata.domain.suggest import did_you_mean

if TYPE_CHECKING:
    from mdata.domain.series import Series


def one_of(words: Sequence[str], metavar: str | None = None) -> dict[str, Any]:
    """Return the typer arguments that restrict an option to `words`: completion, and an error that suggests one."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in words:
            hint = did_you_mean(value, words)
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(words)}{hint}")
        return value

    return {"autocompletion": _offer(words), "callback": check, "metavar": metavar or "|".join(words)}


def _offer(words: Sequence[str]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def complete_symbol(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete symbols in the notation that the user has begun to type.

    These are stored symbols; if none fits, configured ones; and if none of these fits, those cached by `mdata
    symbols`.
    """
    for source in (_stored_symbols, _configured_symbols, _listed_symbols):
        with suppress(Exception):
            if found := [form for symbol in sorted(source(ctx)) if (form := _form(symbol, incomplete))]:
                return found
    return []


def complete_timeframe(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete stored timeframes, or if none fits, all timeframes of the exchange."""
    from mdata.exchange import registry

    stored: set[str] = set()
    with suppress(Exception):
        stored = {series.timeframe.name for series in _stored(ctx)}
    offered = [name for name in registry.timeframes() if name.startswith(incomplete)]
    return [name for name in offered if name in stored] or offered


def _form(symbol: str, begun: str) -> str | None:
    """Return the notation of `symbol` that begins with `begun`: as stored, as a pair, or in lower case."""
    from mdata.exchange import registry

    pair = registry.pair_of(symbol)
    return next((form for form in (symbol, pair, pair.lower()) if form.startswith(begun)), None)


def _stored_symbols(ctx: typer.Context) -> Iterable[str]:
    from mdata.exchange.registry import qualified

    return {qualified(series.exchange, series.symbol) for series in _stored(ctx)}


def _configured_symbols(ctx: typer.Context) -> Iterable[str]:
    return tuple(_settings(ctx).symbols)


def _listed_symbols(ctx: typer.Context) -> Iterable[str]:
    from mdata import config
    from mdata.clock import SystemClock
    from mdata.exchange.registry import HOME
    from mdata.jobs.symbols import remembered

    folder = config.cache_folder()
    url = _settings(ctx).rest_url(HOME)
    listing = remembered(folder / "symbols.json", url, SystemClock().now()) if folder else None
    return listing.symbols if listing else ()


def _stored(ctx: typer.Context) -> "Iterator[Series]":
    from mdata.store import series as table
    from mdata.store.opening import open_for_reading

    store = open_for_reading(_settings(ctx).database_path)
    if store is not None:
        with store, store.read() as connection:
            yield from table.every(connection)


def _settings(ctx: typer.Context) -> Any:
    from mdata import config

    named = ctx.params.get("env_file")
    return config.load(Path(named) if named else None).settings
