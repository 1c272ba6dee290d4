"""A headless Chromium driven over its own debugging protocol: open a page, wait for words, take a picture.

Nothing is installed and nothing of a person's browser is touched: each has a profile of its own.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
    "--hide-scrollbars", "--window-size=1600,1000",
)  # fmt: skip


class Browser:
    """One tab. Every wait has a deadline in seconds."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        until = time.monotonic() + 60
        while True:
            answer = json.loads(self._socket.recv(timeout=max(0.1, until - time.monotonic())))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def script(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def text(self) -> str:
        """What a person can read on the page."""
        return str(self.script("document.body ? document.body.innerText : ''"))

    def wait_for(self, *words: str, deadline: float = 60) -> str:
        until = time.monotonic() + deadline
        while True:
            text = self.text()
            missing = [word for word in words if word not in text]
            if not missing:
                return text
            assert time.monotonic() < until, f"not on the page: {missing}; it says:\n{text[:3000]}"
            time.sleep(0.5)

    def click(self, words: str) -> None:
        """Click the innermost element whose text is exactly that."""
        found = self.script(
            "(() => { const all = [...document.querySelectorAll('*')].filter(e => e.innerText?.trim() === "
            f"{json.dumps(words)}); const one = all[all.length - 1]; if (one) one.click(); return !!one }})()"
        )
        assert found, f"nothing to click says {words!r}"

    def picture(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "no Chromium on this machine: run `python -m deploy.setup test-tools`"
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_debugger(profile), max_size=2**26) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _debugger(profile: Path) -> str:
    """The address of the only tab, once the browser is up."""
    until = time.monotonic() + 30
    written = profile / "DevToolsActivePort"
    while True:
        try:
            port = written.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                pages = [row for row in json.load(answer) if row["type"] == "page"]
            return str(pages[0]["webSocketDebuggerUrl"])
        except (OSError, IndexError, ValueError):
            assert time.monotonic() < until, "Chromium did not come up"
            time.sleep(0.2)
