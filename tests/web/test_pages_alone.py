"""A page of `serve` loads nothing from elsewhere, and shows no text of the exchange as it came."""

import re

import pytest
from conftest import Folder
from hostile_texts import FEW, Hostile, as_error, as_row, hostile, is_harmless
from serving import Served

__all__ = ["hostile"]

PAGES = [
    "/", "/mdata", "/mdata/ohlcv", "/mdata/candles?_facet=series_id", "/mdata?sql=select+*+from+series", "/health",
    "/mdata/latest", "/nothing", "/mdata?sql=nonsense", "/mdata.json?sql=select+1", "/%00", "/series/tBTCUSD/1h",
    "/candles.json?symbol=BTCUSD&timeframe=1h",
]  # fmt: skip


@pytest.fixture
def filled(folder: Folder) -> Folder:
    folder.settings |= {"BACKFILL_DAYS": "2", "TIMEFRAMES": "1h"}
    assert folder.run("backfill").exit == 0
    return folder


def test_no_page_names_another_host_and_every_answer_says_so(filled: Folder) -> None:
    with Served(filled) as server:
        for page in PAGES:
            answer = server.ask(page)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy, page
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            loaded = re.findall(
                r"<(?:script|link|img|iframe|form)\b[^>]*(?:src|href|action)=[\"']?([^\"' >]+)", answer.text
            )
            elsewhere = [one for one in loaded if re.match(r"(?:https?:)?//", one) and not one.startswith(server.url)]
            assert elsewhere == [], page


def test_no_page_shows_text_of_the_exchange_as_it_came(filled: Folder, hostile: Hostile) -> None:
    for spell in (as_error, as_row):
        hostile.body = spell(FEW)
        ended = filled.run("backfill", "--since", "2020", BITFINEX_REST_URL=hostile.url, RATE_LIMIT_MAX_RETRIES="0")
        assert ended.exit in {65, 76}
    seen = 0
    with Served(filled) as server:
        for page in (
            *PAGES,
            "/jobs",
            "/status",
            "/mdata/ingestion_jobs",
            "/mdata/rejected_rows",
            "/mdata/rejected_rows.csv",
        ):
            text = server.ask(page).text.replace("\r", "")
            assert is_harmless(text), page
            seen += "[/x]" in text
    assert seen >= 3, "the text was there"
