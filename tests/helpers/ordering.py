"""Tells a running sandbox which faults to show, as a user would."""

from typing import Any

import httpx

from mdata.sandbox.server import Sandbox


def order(sandbox: Sandbox, *faults: dict[str, Any]) -> None:
    """Order faults as a user would."""
    answer = httpx.post(f"http://127.0.0.1:{sandbox.port}/sandbox/faults", json=faults)
    assert answer.json() == len(faults), answer.text
