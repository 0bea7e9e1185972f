"""`mdata symbols`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct

if TYPE_CHECKING:
    from mdata.jobs.symbols import PairListing


def symbols(
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="Show only pairs whose name contains this.", show_default=False),
    ] = None,
    env_file: common.EnvFile = None,
    json: common.Json = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Fetch the list again, even if the cached one is less than a day old.")
    ] = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """List the pairs of the exchange, and what is stored of them."""
    given = Options(env_file, None, None, json, quiet, verbose)
    conduct("symbols", given, lambda kit: _symbols(kit, text or "", refresh=refresh))


def _symbols(kit: Kit, text: str, *, refresh: bool) -> Answer:
    from mdata.domain.suggest import did_you_mean
    from mdata.domain.times import iso
    from mdata.exchange import registry
    from mdata.jobs import symbols as job
    from mdata.store.opening import open_for_reading

    listing = _listing(kit, refresh=refresh)
    store = open_for_reading(kit.loaded.settings.database_path, kit.log.info)
    try:
        stored = job.stored(store)
    finally:
        if store is not None:
            store.close()
    rows = [
        {"symbol": one, "stored": stored.get(one, []), "exchange": registry.resolve(one)[0].name}
        for one in listing.symbols
        if job.matches(one, text)
    ]
    if not rows:
        pairs = [registry.pair_of(one) for one in listing.symbols]
        kit.log.warning(f"no pair has a name that contains {text!r}{did_you_mean(text.upper(), pairs)}")
    return Answer(data={"listed_at": iso(listing.listed_at), "symbols": rows}, show=lambda: _show(rows))


def _listing(kit: Kit, *, refresh: bool) -> "PairListing":
    from mdata import config
    from mdata.exchange import registry
    from mdata.exchange.registry import HOME
    from mdata.jobs import symbols as job

    url, folder = kit.loaded.settings.rest_url(HOME), config.cache_folder()
    known = job.remembered(folder / "symbols.json", url, kit.clock.now()) if folder and not refresh else None
    if known is not None:
        return known
    from mdata.cli.job_run import rate_limit

    exchange = registry.adapter(HOME).open_rest(url, kit.clock, kit.log.warning)
    try:
        found = job.ask(HOME, url, lambda: exchange, rate_limit(kit, HOME), kit.clock, kit.log)
    finally:
        exchange.close()
    if folder:
        job.remember(folder / "symbols.json", found)
    return found


def _show(rows: list[dict[str, Any]]) -> None:
    from mdata import render

    columns = ["symbol", "stored", "exchange"]
    render.table_with_exchange(columns, [[row["symbol"], " ".join(row["stored"]), row["exchange"]] for row in rows])
