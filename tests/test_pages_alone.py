"""A page of `serve` loads nothing from elsewhere, and the browser is told to hold it to that."""

import re

import pytest
from conftest import Folder
from test_serve import Served

PAGES = [
    "/", "/mdata", "/mdata/ohlcv", "/mdata/candles?_facet=series_id", "/mdata?sql=select+*+from+series", "/health",
    "/mdata/latest", "/nothing", "/mdata?sql=nonsense", "/mdata.json?sql=select+1", "/%00",
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
