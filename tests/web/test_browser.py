"""`mdata serve` in a real browser, against a store of its own: by mouse, keyboard and phone, light and dark.

`make browser` installs Chromium where it is missing.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import browser as browser  # a fixture  # noqa: PLC0414
from chromium import BINARY, Browser
from conftest import Folder
from serving import Served, with_gaps

from mdata.sandbox.market import Market
from mdata.sandbox.server import Sandbox

pytestmark = pytest.mark.skipif(BINARY is None, reason="there is no Chromium on this machine: `make browser`")

PAGES = [
    "", "mdata", "mdata/ohlcv", "mdata/latest", "mdata/daily", "mdata/ledger", "mdata/gaps_now", "mdata/gaps_by_day",
    "mdata/data_gaps", "mdata/ingestion_jobs", "mdata/series", "mdata/series/1", "mdata/coverage", "mdata/candles",
    "series/tBTCUSD/1m", "series/tSPAUSD/1m", "?search=spa&sort=lag",
    "mdata?sql=select+*+from+series", "mdata/data_gaps?status=failed", "nothing",
]  # fmt: skip

# The worst contrast of text on the page, and where it is; the nearest ancestor with a background paints it.
CONTRAST = """(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor, parts = channels(colour);
      if (parts.length < 4 || parts[3] > 0.99) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)";
  };
  let worst = [21, ""];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script, style, select, .CodeMirror-measure")) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, `${element.outerHTML.slice(0, 120)}`];
  }
  return worst;
})()"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from mdata.sandbox.market import Pair

    market = Market({"tBTCUSD": Pair("tBTCUSD"), "tSPAUSD": Pair("tSPAUSD", density=0.1)})
    with Sandbox(market) as live:
        folder = Folder(tmp_path_factory.mktemp("served"), live)
        folder.settings["SYMBOLS"] = "BTCUSD,SPAUSD"
        with_gaps(folder)
        with Served(folder) as running:
            yield running


def test_the_home_page_leads_on(server: Served, browser: Browser) -> None:
    browser.open(server.url)
    verdict = browser.evaluate("document.querySelector('.verdict').innerText").splitlines()
    assert verdict[:2] == ["Not healthy", "1 gap is open (limit 0): run `mdata repair`"]
    cards = browser.evaluate("[...document.querySelectorAll('ul.series h2')].map(e => e.innerText)")
    assert cards == ["tBTCUSD 1m", "tSPAUSD 1m"]
    answered = browser.evaluate("document.querySelector('.answered').innerText")
    assert answered.endswith("known · 6 intervals unknown · 1 gap open")
    assert browser.evaluate("document.querySelectorAll('li:first-child .strip .lost').length") == 1
    browser.leave(lambda: browser.click("ul.series li:nth-child(2) a[href*=latest]"))
    assert browser.evaluate("document.querySelector('h1').innerText") == "Latest candles"
    assert browser.evaluate("document.querySelectorAll('tbody tr').length") == 100
    assert set(browser.evaluate("[...document.querySelectorAll('td.col-symbol')].map(e => e.innerText)")) == {
        "tSPAUSD"
    }
    browser.leave(lambda: browser.click(".pages a[href='/mdata/data_gaps']"))
    assert browser.evaluate("document.querySelectorAll('.rows-and-columns tbody tr').length") == 2
    browser.leave(lambda: browser.click(".facet-info a[href*='status=open']"))
    assert "status=open" in browser.evaluate("location.search")
    assert browser.evaluate("document.querySelectorAll('.rows-and-columns tbody tr').length") == 1
    assert browser.evaluate("document.querySelector('td.col-status').innerText") == "open"
    assert browser.complaints == []


def test_the_home_page_shows_every_column_at_a_desk(server: Served, browser: Browser) -> None:
    browser.open(server.url)
    # As under systemd, where the next run of each command is known.
    browser.evaluate("""for (const row of document.querySelectorAll("[aria-label='Table of the last runs'] tbody tr"))
        row.lastElementChild.textContent = row.querySelector("time").textContent""")
    sizes = browser.evaluate("[...document.querySelectorAll('.columns *')].map(e => [e.scrollWidth, e.clientWidth])")
    assert len(sizes) > 30
    assert [size for size in sizes if size[0] > size[1] > 0] == []


def test_a_query_is_written_and_run(server: Served, browser: Browser) -> None:
    browser.open(f"{server.url}mdata")
    browser.evaluate("document.querySelector('.CodeMirror').CodeMirror.setValue('select 6 * 7 as answer')")
    browser.leave(lambda: browser.click("form.sql input[type=submit]"))
    assert browser.evaluate("document.querySelector('td.col-answer').innerText.trim()") == "42"
    assert browser.complaints == []


def test_without_a_mouse(server: Served, browser: Browser) -> None:
    browser.open(f"{server.url}mdata/ohlcv")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.innerText") == "Skip to the content"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    browser.press("Enter")
    browser.until("document.activeElement.id === 'content'")
    reached: list[Any] = []
    while "Menu of the column timeframe" not in reached:
        assert len(reached) < 60, reached
        browser.press("Tab")
        outline = browser.evaluate(
            "(e => getComputedStyle(e.closest('.select-wrapper') || e).outlineStyle)(document.activeElement)"
        )
        assert outline == "solid", browser.evaluate("document.activeElement.outerHTML")
        reached.append(browser.evaluate("document.activeElement.getAttribute('aria-label')"))
    browser.press("Enter")
    assert browser.evaluate("document.activeElement.innerText") == "Sort ascending"
    browser.press("Tab")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.innerText") == "Facet by this"
    browser.leave(lambda: browser.press("Enter"))
    assert browser.evaluate("location.search") == "?_facet=timeframe"
    assert browser.evaluate("document.querySelector('.facet-info li a').innerText") == "1m"
    assert browser.complaints == []


def test_every_page_on_a_phone_and_in_the_dark(server: Served, browser: Browser) -> None:
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        for page in PAGES:
            browser.as_desk()
            browser.open(server.url + page)
            ratio, where = browser.evaluate(CONTRAST)
            assert ratio >= 4.5, (page, scheme, ratio, where)
            browser.as_phone()
            wide, room = browser.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide <= room == 360, (page, wide, room)
            ratio, where = browser.evaluate(CONTRAST)
            assert ratio >= 4.5, (page, scheme, ratio, where)
    browser.open(server.url)
    red, green, blue = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(red, green, blue) < 64
    assert [one for one in browser.complaints if "/nothing" not in one] == []
