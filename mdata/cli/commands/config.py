"""`mdata config`."""

from pathlib import Path

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct
from mdata.config.listed import listing


def config(
    symbols: common.These = None,
    env_file: common.EnvFile = None,
    symbol: common.Symbols = None,
    timeframe: common.Timeframes = None,
    json: common.Json = False,
) -> None:
    """Show every setting with its value and where it comes from."""
    conduct("config", Options(env_file, common.both(symbols, symbol), timeframe, json), _config)


def _config(kit: Kit) -> Answer:

    loaded = kit.loaded
    rows = [row._asdict() for row in listing(loaded)]
    data = {"env_file": str(loaded.env_file) if loaded.env_file else None, "settings": rows}
    return Answer(data=data, show=lambda: _show(loaded.env_file, rows))


def _show(env_file: Path | None, rows: list[dict[str, str]]) -> None:
    from mdata import render

    render.table(["setting", "value", "from"], [list(row.values()) for row in rows])
    render.note(f"env file: {env_file or 'none found; `mdata init` writes one'}")
