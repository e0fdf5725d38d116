"""A headless Chromium with the network off, controlled over a pipe by the DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

Message = dict[str, Any]

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-pipe", "--force-color-profile=srgb"),
    # No name resolves and no address answers, whatever the page or the browser itself asks for.
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"),
)
_PIPES = 'exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>&1'  # it reads from 3, writes to 4
_SECONDS = 120  # a browser that lives longer hangs


class Browser:
    """One page. Use as a context manager."""

    def __init__(self, profile: Path, seconds: float = _SECONDS) -> None:
        assert CHROMIUM is not None
        self._process = subprocess.Popen(
            ["sh", "-c", _PIPES, CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._timer = threading.Timer(seconds, self._process.kill)
        self._calls, self._buffer = 0, b""
        self._session: Message = {}
        self.events: list[Message] = []

    def __enter__(self) -> Browser:
        self._timer.start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        throughput = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.call("Network.emulateNetworkConditions", offline=True, **throughput)
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()

    def call(self, method: str, **params: object) -> Message:
        """Call one method and return its result."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params, **self._session}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while (answer := self._next()).get("id") != self._calls:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: Message = answer["result"]
        return result

    def open(self, page: Path, width: int, height: int = 900, dark: bool = False) -> None:
        """Open a file at a width and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, or that of its promise."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        while not self.evaluate(expression):
            time.sleep(0.01)

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        press = {"key": key, "windowsVirtualKeyCode": code}
        text = "\r" if key == "Enter" else ""
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **press)
        self.call("Input.dispatchKeyEvent", type="keyUp", **press)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Save what the page looks like."""
        image = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(image))

    def problems(self) -> list[str]:
        """Return errors and warnings of the console, and requests that left the machine."""
        problems = []
        for event in self.events:
            match event["method"]:
                case "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled":
                    problems.append(json.dumps(event["params"]))
                case "Network.requestWillBeSent":
                    url = event["params"]["request"]["url"]
                    if not url.startswith(("file:", "data:", "blob:")):
                        problems.append(f"request to {url}")
        return problems

    def _next(self) -> Message:
        assert self._process.stdout is not None
        while b"\0" not in self._buffer:
            part = self._process.stdout.read1(1 << 20)  # type: ignore[attr-defined]
            if not part:
                raise ConnectionError(
                    "the browser has ended, or was killed because it took too long"
                )
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: Message = json.loads(line)
        return message
