"""The page of a series in a real browser: from the strip to any day of its history, by mouse and by keyboard.

`make browser` installs Chromium where it is missing, and `make axe` what looks for hindrances.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import charted
import pytest
from browsing import browser
from chart_page import READY
from chromium import BINARY, Browser
from conftest import Folder, hurried
from serving import Served

from mdata.clock import SystemClock
from mdata.sandbox.market import Market, Pair
from mdata.sandbox.server import Sandbox

pytestmark = pytest.mark.skipif(BINARY is None, reason="there is no Chromium on this machine: `make browser`")

AXE = Path(__file__).parents[2] / ".envs" / "axe" / "package" / "axe.min.js"

WATCH_FRAMES = """(() => {
  window.frames_ = [];
  let before = performance.now();
  const see = (now) => { frames_.push(now - before); before = now; requestAnimationFrame(see); };
  requestAnimationFrame(see);
})()"""

__all__ = ["browser"]  # a fixture


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Sandbox(Market({"tBTCUSD": Pair("tBTCUSD"), "tSPAUSD": Pair("tSPAUSD", density=0.02)})) as live:
        folder = Folder(tmp_path_factory.mktemp("charted"), live)
        # Hours, so that more than a year of them is soon there.
        folder.settings |= {"SYMBOLS": "BTCUSD", "TIMEFRAMES": "1h", "BACKFILL_DAYS": "900"}
        assert folder.run("backfill").exit == 0
        assert folder.run("backfill", "SPAUSD", "-t", "1m", BACKFILL_DAYS="3").exit == 0
        assert folder.run("backfill", "BTCUSD", "-t", "1M").exit == 0
        with Served(folder) as running:
            yield running


def shown(browser: Browser) -> tuple[str, str, str]:
    """Return the grid, the beginning and the end of what is shown."""
    text = browser.evaluate("document.getElementById('shown').innerText")
    found = re.search(r"candles of (\S+) from (\S+ \S+) to (\S+ \S+),", text)
    assert found, text
    return found[1], found[2], found[3]


def until_shown(browser: Browser, condition: Callable[[tuple[str, str, str]], bool]) -> tuple[str, str, str]:
    end = time.monotonic() + 30
    while True:
        browser.until(READY)
        if condition(found := shown(browser)):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


def drag(browser: Browser, by: int) -> None:
    """Pull the chart to the right by so many pixels."""
    x, y = browser.evaluate("(r => [r.left + 40, r.top + 120])(box.getBoundingClientRect())")
    mouse = {"y": y, "button": "left", "buttons": 1}
    browser.do("Input.dispatchMouseEvent", type="mousePressed", x=x, clickCount=1, **mouse)
    for step in range(1, 11):
        browser.do("Input.dispatchMouseEvent", type="mouseMoved", x=x + by * step / 10, **mouse)
    browser.do("Input.dispatchMouseEvent", type="mouseReleased", x=x + by, clickCount=1, **mouse)


def test_from_the_strip_a_year_back_and_to_another_timeframe(server: Served, browser: Browser) -> None:
    browser.open(server.url)
    browser.leave(lambda: browser.click("ul.series li:first-child .strip"))
    assert browser.evaluate("document.querySelector('h1').innerText") == "tBTCUSD 1h"
    _, _, newest = until_shown(browser, lambda _: True)
    browser.click("[data-bucket='12h']")
    until_shown(browser, lambda found: found[0] == "12h")
    year, rest = int(newest[:4]), newest[4:10]
    drags = 0
    while shown(browser)[2][:10] > f"{year - 1}{rest}":
        drag(browser, 800)
        drags += 1
        assert drags < 40, shown(browser)
        time.sleep(0.15)
    until_shown(browser, lambda found: found[2][:10] <= f"{year - 1}{rest}")
    browser.click("[data-bucket='1D']")
    _, start, _ = until_shown(browser, lambda found: found[0] == "1D")
    assert start[:10] < f"{year - 1}{rest}" < newest[:10], "it stays where it was"
    assert browser.evaluate("document.querySelector('[aria-pressed=true]').innerText") == "1D"
    csv, sql = browser.evaluate("[csv.href, new URL(sql.href).searchParams.get('sql')]")
    assert re.search(r"open_time__gte=\d{13}&open_time__lt=\d{13}", csv)
    assert "open_time >= " in sql
    assert browser.complaints == []


def test_by_keyboard_alone(server: Served, browser: Browser) -> None:
    browser.open(f"{server.url}series/tBTCUSD/1h")
    _, start, newest = until_shown(browser, lambda _: True)
    for _ in range(60):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.id") == "chart":
            break
    assert browser.evaluate("getComputedStyle(box).outlineStyle") == "solid"
    browser.press("ArrowLeft")
    until_shown(browser, lambda found: found[2] < newest)
    browser.press("Home")
    until_shown(browser, lambda found: found[1] < start[:4])
    browser.press("End")
    until_shown(browser, lambda found: found[2] == newest)
    # The calendar is one stop; the arrow keys go from day to day, and Enter shows one.
    for _ in range(60):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.closest('.calendar') !== null"):
            break
    last = browser.evaluate("document.activeElement.getAttribute('aria-label')")
    browser.press("ArrowLeft")
    day = browser.evaluate("document.activeElement.getAttribute('aria-label')")
    assert day[:3] == last[:3], "a week before"
    assert re.fullmatch(r"\w{3} \d{4}-\d\d-\d\d: \w+( \w+)?", day)
    browser.press("Enter")
    date = day[4:14]
    until_shown(browser, lambda found: found[1][:10] <= date <= found[2][:10] and found[2] < newest)
    assert browser.complaints == []


def test_the_newest_candle_comes_while_a_stream_writes(tmp_path: Path, browser: Browser) -> None:
    with hurried(Market({"tBTCUSD": Pair("tBTCUSD")}), 60) as (live, settings):
        folder = Folder(tmp_path, live)
        folder.settings |= {**settings, "BACKFILL_DAYS": "1"}
        assert folder.run("backfill").exit == 0
        stream = folder.start("stream", "--for", "10h")
        try:
            with Served(folder) as running:
                browser.open(f"{running.url}series/tBTCUSD/1m")
                browser.until(READY)
                before = browser.evaluate("held.candles.at(-1)[0]")
                browser.until(f"held.candles.at(-1)[0] > {before + 3 * 60_000}")
                newest = browser.evaluate("new Date(held.candles.at(-1)[0]).toISOString().slice(0, 16)")
                until_shown(browser, lambda found: found[2] >= newest.replace("T", " "))  # the view follows
        finally:
            stream.terminate()
            stream.communicate(timeout=30)
    assert browser.complaints == []


def test_silence_is_a_stretch_with_a_pattern_and_a_line_of_text(server: Served, browser: Browser) -> None:
    browser.open(f"{server.url}series/tSPAUSD/1m")
    browser.until(READY)
    text = browser.evaluate("document.getElementById('stretches').textContent")
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d – \d{4}-\d\d-\d\d \d\d:\d\d: proven empty", text)
    patterns = browser.evaluate(
        "[...document.querySelectorAll('canvas.swatch')].map(c => c.toDataURL()).length + ' ' + "
        "new Set([...document.querySelectorAll('canvas.swatch')].map(c => c.toDataURL())).size"
    )
    assert patterns == "6 6"


def test_months_have_no_constant_length(server: Served, browser: Browser) -> None:
    browser.open(f"{server.url}series/tBTCUSD/1M")
    grid, start, end = until_shown(browser, lambda _: True)
    assert grid == "1M"
    assert int(end[:4]) - int(start[:4]) >= 2
    assert browser.evaluate("held.candles.length") > 24
    assert browser.evaluate("held.times.every(t => new Date(t).getUTCDate() === 1)")
    browser.click("[data-move=back]")
    until_shown(browser, lambda found: found[1] < start)
    assert browser.evaluate("document.querySelector('.calendar')") is None
    assert browser.complaints == []


def test_the_first_page_refreshes_itself(server: Served, browser: Browser) -> None:
    browser.open(f"{server.url}?sort=candles")
    browser.evaluate("document.querySelector('.verdict').textContent = 'old'")
    browser.evaluate("document.querySelector('[name=search]').focus()")
    browser.evaluate("refresh()")
    assert browser.evaluate("document.querySelector('.verdict').textContent") == "old", "somebody types"
    browser.evaluate("document.activeElement.blur()")
    browser.evaluate("refresh()")
    assert "ealthy" in browser.evaluate("document.querySelector('.verdict').textContent")
    assert browser.complaints == []


@pytest.mark.readers
@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not here: `make axe`")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["", "series/tBTCUSD/1h", "series/tSPAUSD/1m"])
def test_axe_finds_no_hindrance(server: Served, browser: Browser, page: str, scheme: str) -> None:
    browser.prefer(scheme)
    for screen in (browser.as_desk, browser.as_phone):
        screen()
        browser.open(server.url + page)
        if page:
            browser.until(READY)
        browser.evaluate(f"{AXE.read_text()};0")
        found = browser.evaluate("axe.run().then(r => r.violations.map(v => [v.id, v.impact, v.nodes[0].html]))")
        assert found == []


@pytest.mark.slow
def test_five_million_candles(tmp_path: Path, browser: Browser) -> None:
    """The first far view within three seconds, the same again in a tenth of one, and no frame that stutters."""
    with Sandbox(Market({})) as nobody:
        folder = Folder(tmp_path, nobody)
        charted.long(folder.database, SystemClock().now(), 5_000_000)
        with Served(folder) as running:
            browser.open(f"{running.url}series/tBTCUSD/1m")
            browser.until(READY)
            ask = (
                "(async () => { const began = performance.now();"
                " await (await fetch('/candles.json?symbol=BTCUSD&timeframe=1m&bucket=1D')).json();"
                " return performance.now() - began; })()"
            )
            first, *again = [browser.evaluate(ask) for _ in range(6)]
            browser.evaluate(WATCH_FRAMES)
            for grid in ("1D", "1m"):
                browser.click(f"[data-bucket='{grid}']")
                until_shown(browser, lambda found, grid=grid: found[0] == grid)  # type: ignore[misc]
                for _ in range(8):
                    drag(browser, 700)
                    time.sleep(0.3)
            frames = sorted(browser.evaluate("frames_"))
    typical, worst = frames[len(frames) // 2], frames[len(frames) * 95 // 100]
    print(  # noqa: T201 - the figures of docs/serving.md
        f"first far view {first / 1000:.2f} s, kept {max(again):.0f} ms; "
        f"{len(frames)} frames, median {typical:.0f} ms, p95 {worst:.0f} ms"
    )
    assert first <= 3000
    assert max(again) <= 100
    assert worst <= 50
    assert browser.complaints == []
