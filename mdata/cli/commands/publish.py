"""`mdata publish`."""

from typing import TYPE_CHECKING, Any

from mdata.cli import options as common
from mdata.cli.entry import Answer, Kit, Options, conduct

if TYPE_CHECKING:
    from mdata.cli.job_run import More
    from mdata.publisher import Published
    from mdata.running.context import Context
    from mdata.running.result import JobResult


def publish(
    lake: common.Lake = None,
    env_file: common.EnvFile = None,
    json: common.Json = False,
    dry_run: common.DryRun = False,
    max_runtime: common.MaxRuntime = None,
    wait_lock: common.WaitLock = "30s",
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Publish whole months to a lake that other engines read.

    A month (UTC) is published when each of its intervals is final and it has been over for PUBLISH_AFTER_DAYS, and
    again when it has changed. If two stores have the same month, the one with the later answer wins. `mdata lake`
    looks after what is published.
    """
    given = Options(env_file, json=json, quiet=quiet, verbose=verbose)
    url = common.lake_url(lake)
    if dry_run:
        conduct("publish", given, lambda kit: _plan(kit, url))
    from mdata.cli.job_run import limits_of, run_job_with_more

    run_job_with_more("publish", given, limits_of(max_runtime, None), wait_lock, lambda one: _work(one, url))


def _work(context: "Context", given: str | None) -> "tuple[JobResult, More]":
    from mdata.cli.job_run import More
    from mdata.jobs.publish import publish as work
    from mdata.jobs.publish import url_of

    result, found = work(context, url_of(given, context.settings.lake_url))
    words = f"months={found.months} published_candles={found.candles} left={len(found.left)} waiting={found.waiting}"
    return result, More(words, _data(found), lambda: _show(found))


def _plan(kit: Kit, given: str | None) -> Answer:
    from mdata.domain.timeframe import DAY
    from mdata.jobs.publish import plan, url_of
    from mdata.publisher import Published
    from mdata.store.opening import open_for_reading

    settings = kit.loaded.settings
    url, store, found = url_of(given, settings.lake_url), open_for_reading(settings.database_path), Published()
    if store is not None:
        with store:
            found = plan(store, url, kit.clock.now() - settings.publish_after_days * DAY)
    return Answer(data={"dry_run": True, **_data(found)}, show=lambda: _show(found))


def _data(found: "Published") -> dict[str, Any]:
    from dataclasses import asdict

    return {"published": {**asdict(found), "left": [one._asdict() for one in found.left]}}


def _show(found: "Published") -> None:
    import sys

    from mdata import render

    if not sys.stdout.isatty():
        # When cron runs this command, it prints nothing.
        return
    if found.remaining:
        render.line(f"{found.remaining} months are to be published, or compared with what the lake has")
    else:
        render.line(
            f"{found.months} months published with {found.candles:,} candles, {found.confirmed} confirmed, "
            f"{len(found.left)} left as they were; {found.waiting} more have ended but are not completely final"
        )
