"""A real Chromium, driven over the W3C WebDriver protocol by the standard library."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

BINARY, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")


class Browser:
    """One headless window."""

    def __init__(self, server: str, width: int, height: int, dark: bool = False) -> None:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        flags += [f"--window-size={width},{height}", "--hide-scrollbars", "--no-first-run"]
        flags += ["--disable-background-networking", "--disable-component-update"]
        options = {"binary": BINARY, "args": flags + (["--force-dark-mode"] if dark else [])}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }
        self._server = server
        found = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{found['sessionId']}"

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *values):
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": list(values)})

    def wait(self, script: str, seconds: float = 30.0):
        """The first true value of a JavaScript expression."""
        end = time.monotonic() + seconds
        while not (found := self.run(f"return {script}")):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.1)
        return found

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._devtools("Emulation.setDeviceMetricsOverride", metrics)

    def click_tab(self, name: str) -> None:
        self.run(
            "[...document.querySelectorAll('button[role=tab]')].find(b=>b.textContent.trim()===arguments[0])"
            ".click()",
            name,
        )

    def picture(self, path) -> None:
        """The whole page as a PNG file."""
        found = self._devtools("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(found["data"]))

    def log(self, kind: str) -> list[dict]:
        return self._call("POST", f"{self._session}/se/log", {"type": kind})

    def addresses(self) -> list[str]:
        """Every address that the page asked for since the last call."""
        told = [json.loads(line["message"])["message"] for line in self.log("performance")]
        return [
            line["params"]["request"]["url"] for line in told if line["method"] == "Network.requestWillBeSent"
        ]

    def close(self) -> None:
        self._call("DELETE", self._session)

    def _devtools(self, command: str, params: dict):
        body = {"cmd": command, "params": params}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def _call(self, method: str, path: str, body: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:600]) from error


@contextmanager
def chromium(width: int = 1280, height: int = 900, dark: bool = False):
    """A browser, and nothing of it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        browser = Browser(f"http://127.0.0.1:{port}", width, height, dark)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait(20)
