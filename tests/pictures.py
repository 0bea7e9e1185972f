"""`make pictures`: what README.md and docs/serving.md show of the pages, taken from a real browser."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import charted
from chart_page import READY
from chromium import Browser
from conftest import Folder
from serving import Served

from mdata.clock import SystemClock
from mdata.sandbox.market import Market
from mdata.sandbox.server import Sandbox

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
# Whose folder the store is in is of no interest.
AT_HOME = (
    "(e => e.textContent = e.textContent.replace(/^\\S+,/, '/home/you/.local/share/mdata/mdata.db,'))("
    "document.querySelector('#fresh .columns .quiet'))"
)
NEAR = "go({start: whole.end - 36 * 3600000, end: whole.end})"


@contextmanager
def page(folder: Path, name: str, minutes: int | None, browser: Browser) -> Iterator[str]:
    """Serve a store, a long one of so many minutes or that with every verdict, and give its address."""
    with Sandbox(Market({})) as nobody:
        own = Folder(folder / name, nobody)
        own.path.mkdir()
        own.settings["RATE_LIMIT_DELAY"] = "6"
        now = SystemClock().now()
        if minutes is None:
            charted.every_verdict(own.database, now)
        else:
            charted.long(own.database, now, minutes)
        with Served(own) as served:
            browser.as_desk()
            browser.open(f"{served.url}series/tBTCUSD/1m")
            browser.until(READY)
            yield served.url


def take(browser: Browser, name: str, look: str = "") -> None:
    """Move the chart, wait until it shows what it should, and store the picture."""
    if look:
        browser.evaluate(f"({look}, 0)")
    browser.evaluate("new Promise(done => setTimeout(done, 600))")
    browser.until(READY)
    browser.evaluate("new Promise(done => setTimeout(done, 300))")
    browser.screenshot(PICTURES / f"{name}.png")


def main() -> None:
    """Take all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, Browser(Path(name) / "profile") as browser:
        folder = Path(name)
        with page(folder, "verdicts", None, browser) as url:
            take(browser, "series", NEAR)
            browser.prefer("dark")
            take(browser, "series-dark", NEAR)
            browser.prefer("light")
            browser.as_phone()
            browser.open(f"{url}series/tBTCUSD/1m")
            take(browser, "series-phone")
            browser.as_desk()
            browser.open(url)
            browser.evaluate(AT_HOME)
            browser.screenshot(PICTURES / "first-page.png")
        with page(folder, "long", 5_000_000, browser):
            take(browser, "five-million-near")
            take(browser, "five-million-far", "move('all')")


if __name__ == "__main__":
    main()
