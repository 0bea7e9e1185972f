"""A real browser for the tests: headless Chromium, driven through its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import connect

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
    "about:blank",
)  # fmt: skip


class Browser:
    """One page of a fresh Chromium; `complaints` collects what its console and network complain about."""

    def __init__(self, profile: Path) -> None:
        assert BINARY is not None
        self.complaints: list[str] = []
        self._process = subprocess.Popen(
            [BINARY, *FLAGS, f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = self._port(profile / "DevToolsActivePort")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
                (page,) = [one for one in json.load(answer) if one["type"] == "page"]
            self._held = ExitStack()
            self._socket = self._held.enter_context(connect(page["webSocketDebuggerUrl"], max_size=None))
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self._number = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def _port(self, path: Path) -> int:
        end = time.monotonic() + 60
        while True:
            lines = path.read_text().splitlines() if path.exists() else []
            if len(lines) == 2:
                return int(lines[0])
            assert self._process.poll() is None, "Chromium ended at once"
            assert time.monotonic() < end, "Chromium did not start"
            time.sleep(0.05)

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                found: dict[str, Any] = message["result"]
                return found
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        found = event["params"]
        if event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(found["exceptionDetails"]["text"])
        elif event["method"] == "Log.entryAdded" and found["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{found['entry']['text']} {found['entry'].get('url', '')}")
        elif event["method"] == "Runtime.consoleAPICalled" and found["type"] in {"error", "warning", "assert"}:
            self.complaints.append(str(found["args"]))

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + 30
        while self.evaluate(condition) is not True:
            assert time.monotonic() < end, f"{condition} did not come about"
            time.sleep(0.02)

    def leave(self, act: Callable[[], object]) -> None:
        """Do what leads to another page, and wait until that is there."""
        self.evaluate("window.stale = true")
        act()
        self.until("window.stale === undefined && document.readyState === 'complete'")

    def open(self, url: str) -> None:
        """Open an address and wait until the page is complete."""
        self.leave(lambda: self.do("Page.navigate", url=url))

    def click(self, selector: str) -> None:
        """Click with the mouse on the middle of an element."""
        x, y = self.evaluate(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getClientRects()[0]; "
            f"return [r.x + r.width / 2, r.y + r.height / 2]; }})(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key."""
        codes = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
        text = {"text": "\r"} if key == "Enter" else {}
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=codes[key], **text)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=codes[key])

    def as_phone(self) -> None:
        """Have the screen of a small phone."""
        self.do("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)

    def as_desk(self) -> None:
        """Have the screen of a desk."""
        self.do("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """Prefer "dark" or "light"."""
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """Store a picture of the whole page."""
        answer = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End the browser."""
        try:
            self.do("Browser.close")
            self._held.close()
            self._process.wait(timeout=20)
        finally:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
