"""`mdata lake status`, `check`, `vacuum` and `restore`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct, duration

if TYPE_CHECKING:
    from mdata.jobs.lake import Checked, PublishedSeries, Vacuumed

# A file younger than this may be one that a publisher is about to commit.
_LEAST_AGE = 86_400

lake = typer.Typer(
    name="lake",
    help="Look after what is published.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@lake.command("status")
def status(lake: common.Lake = None, env_file: common.EnvFile = None, json: common.Json = False) -> None:
    """Show what is published and proven of each series."""
    url = common.lake_url(lake)
    conduct("lake", Options(env_file, json=json), lambda kit: _status(kit, url))


@lake.command("check")
def check(
    lake: common.Lake = None,
    env_file: common.EnvFile = None,
    json: common.Json = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Read the whole lake, and check that each month is what its proof says.

    Counts the candles of each month, computes their digest, and looks for holes in the coverage; no store is needed.
    Ends with 3 and names the months that differ; the next `publish` mends them.
    """
    url = common.lake_url(lake)
    conduct("lake", Options(env_file, json=json, quiet=quiet, verbose=verbose), lambda kit: _check(kit, url))


@lake.command("vacuum")
def vacuum(
    lake: common.Lake = None,
    env_file: common.EnvFile = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than",
            metavar="DURATION",
            help="Remove only versions that were replaced longer ago than this (at least 1d).",
        ),
    ] = "30d",
) -> None:
    """Delete the files of replaced months; old table versions then become unreadable.

    A reader that still uses one of these versions then gets an error. The output says which versions can no longer be
    read.
    """
    url, seconds = common.lake_url(lake), duration(older_than, "--older-than")
    if seconds < _LEAST_AGE:
        raise typer.BadParameter("younger files may be in use still: give 1d or more", param_hint="--older-than")
    conduct("lake", Options(env_file, json=json), lambda kit: _vacuum(kit, url, seconds, dry_run=dry_run))


@lake.command("restore")
def restore(
    lake: common.Lake = None,
    env_file: common.EnvFile = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Make a fresh store of what the lake has proven.

    Restores candles and ledger of the pairs and timeframes in the settings; there must be no store yet. Afterwards
    `backfill` only requests what the lake has not proven.
    """
    url = common.lake_url(lake)
    given = Options(env_file, json=json, quiet=quiet, verbose=verbose)
    conduct("lake", given, lambda kit: _restore(kit, url, dry_run=dry_run))


def _url(kit: Kit, given: str | None) -> str:
    from mdata.jobs.publish import url_of

    return url_of(given, kit.loaded.settings.lake_url)


def _status(kit: Kit, given: str | None) -> Answer:
    from dataclasses import asdict

    from mdata.domain.times import iso
    from mdata.jobs.lake import status as work

    found = work(_url(kit, given))
    data = [{**asdict(one), "as_of": iso(one.as_of)} for one in found]
    return Answer(data={"lake": data}, show=lambda: _show_status(found))


def _show_status(found: "list[PublishedSeries]") -> None:
    from mdata import render
    from mdata.domain.times import iso

    columns = ["series", "first", "last", "months", "complete", "missing", "candles", "as of (UTC)", "hosts"]
    cells = [
        [
            *(f"{one.symbol} {one.timeframe}", one.first, one.last, one.months, one.complete, one.missing),
            *(one.candles, iso(one.as_of), " ".join(one.hosts)),
        ]
        for one in found
    ]
    render.table(columns, cells)


def _check(kit: Kit, given: str | None) -> Answer:
    from mdata.cli.job_run import progress
    from mdata.domain.next_attempt import AT_ONCE
    from mdata.exit_codes import OK, WORK_REMAINS
    from mdata.jobs.lake import check as work
    from mdata.running.context import Progress

    url = _url(kit, given)
    with progress() as report:
        found = work(url, lambda done, of: report(Progress(done, of, "series read", 0.0)))
    reason = None
    if found.faults:
        names = [f"{one.symbol} {one.timeframe} {one.month} ({one.reason})" for one in found.faults[:5]]
        more = f", and {len(found.faults) - 5} more" if found.faults[5:] else ""
        reason = f"{_differing(len(found.faults))} from the proof: {', '.join(names)}{more}; "
        reason += f"`mdata publish {url}` mends what it can; {AT_ONCE}"
        kit.log.warning(reason)
    data: dict[str, Any] = {"series": found.series, "months": found.months, "candles": found.candles}
    data["faults"] = [one._asdict() for one in found.faults]
    return Answer(WORK_REMAINS if reason else OK, reason, {"checked": data}, lambda: _show_check(found))


def _differing(months: int) -> str:
    return "1 month differs" if months == 1 else f"{months} months differ"


def _show_check(found: "Checked") -> None:
    from mdata import render

    text = f"{found.candles:,} candles in {found.months} months of {found.series} series"
    render.line(f"{text}; {_differing(len(found.faults))}")
    if found.faults:
        render.table(["symbol", "timeframe", "month", "reason"], [[*one] for one in found.faults])


def _vacuum(kit: Kit, given: str | None, seconds: int, *, dry_run: bool) -> Answer:
    from mdata.domain.times import iso
    from mdata.jobs.lake import vacuum as work

    found = work(_url(kit, given), seconds // 3600, kit.clock.now(), dry_run=dry_run)
    data: dict[str, Any] = {"dry_run": True} if dry_run else {}
    data["removed"] = [
        {**one._asdict(), "at": None if one.at is None else iso(one.at), "parts": [*one.parts]} for one in found
    ]
    return Answer(data=data, show=lambda: _show_vacuum(found, dry_run=dry_run))


def _show_vacuum(found: "list[Vacuumed]", *, dry_run: bool) -> None:
    from mdata import render
    from mdata.domain.times import iso

    for one in found:
        text = f"{one.table}: {one.files} files {'would be' if dry_run else 'were'} removed"
        if one.version is not None and one.at is not None:
            text += (
                f"; versions before version {one.version} (which was committed {iso(one.at)}) "
                f"{'could' if dry_run else 'can'} no longer be read"
            )
        render.line(text + (f": {', '.join(one.parts)}" if one.parts else ""))


def _restore(kit: Kit, given: str | None, *, dry_run: bool) -> Answer:
    from mdata.cli.job_run import progress
    from mdata.domain.next_attempt import AT_ONCE
    from mdata.exit_codes import OK, WORK_REMAINS
    from mdata.jobs.salvage import plan, salvage
    from mdata.running.context import Progress

    settings, url = kit.loaded.settings, _url(kit, given)
    if dry_run:
        found = plan(settings, url)
    else:
        with progress() as report:
            found = salvage(
                settings, url, kit.log.warning, lambda done, of: report(Progress(done, of, "series read", 0.0))
            )
    reason = None
    if found.faults:
        reason = f"{_differing(len(found.faults))} from the proof in {url}; "
        reason += f"`mdata backfill` fetches what was left out; {AT_ONCE}"
        kit.log.warning(reason)
    data: dict[str, Any] = {"dry_run": True} if dry_run else {}
    data["restored"] = {"series": found.series, "months": found.months, "candles": found.candles}
    data["restored"]["faults"] = [one._asdict() for one in found.faults]
    text = f"{found.candles:,} candles in {found.months} months of {found.series} series"
    text = f"would create {settings.database_path} with {text}" if dry_run else f"{settings.database_path}: {text}"
    return Answer(WORK_REMAINS if reason else OK, reason, data, lambda: _show_line(text))


def _show_line(text: str) -> None:
    from mdata import render

    render.line(text)
