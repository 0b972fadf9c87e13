"""Row 25: who may read what. With keys every route is closed to whoever has none; without them the page's
server hands out none of the machine's files."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from sightline.serve.login import COOKIE, SignedSessions
from sightline_lab.faults import command_server
from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.rows import model_files

PUBLIC = ("/live", "/ready", "/login", "/logout")  # as the security page declares
DESCRIPTION = "/openapi.json"
# What the page is built with offers more routes than its document tells.
OF_THE_PAGE = (
    "/", "/login", "/logout", "/config", "/theme.css", "/robots.txt", "/manifest.json", "/monitoring",
    "/monitoring/summary",
    "/login_check", "/token", "/app_id", "/dev/reload", "/gradio_api/info", "/gradio_api/app_id",
    "/gradio_api/queue/join", "/gradio_api/queue/data?session_hash=x", "/gradio_api/heartbeat/x",
    "/gradio_api/startup-events", "/gradio_api/upload", "/gradio_api/upload_progress?upload_id=x",
    "/gradio_api/stream/x/1/0/playlist.m3u8", "/gradio_api/mcp/sse", "/gradio_api/call/x",
    "/gradio_api/component_server", "/gradio_api/process_recording", "/gradio_api/reset",
    "/gradio_api/cancel",
)  # fmt: skip
FILES = (
    "/gradio_api/file={}", "/file={}", "/gradio_api/file/{}", "/file/{}", "/static/{}", "/assets/{}",
    "/svelte/{}", "/gradio_api/proxy=file://{}", "/proxy=file://{}", "/custom_component/x/{}/y",
    "/gradio_api/deep_link?session_hash={}", "/{}",
)  # fmt: skip


def case(case: Case) -> int:
    """Every route of a server with keys under every wrong key; every route that might hand out a file of one
    without keys. How many requests were judged."""
    return _closed(case) + _no_files(case)


def _closed(case: Case) -> int:
    rng, own = case.rng, f"key{secrets.token_hex(12)}"
    keys, log = case.scratch / "keys.env", case.scratch / "log"
    keys.write_text(f"SIGHTLINE_KEY={own}\n")
    asked = 0
    with command_server.serving(case.prepared, log, "--keys", str(keys), tmp=case.scratch) as port:
        right = {"Authorization": f"Bearer {own}"}
        status, body = _call(port, "GET", DESCRIPTION, right)
        if status != 200:
            raise Broken(f"the right key has {status} for {DESCRIPTION}")
        told = json.loads(body)["paths"]
        routes = [(method.upper(), path) for path, methods in told.items() for method in methods]
        routes += [("GET", path) for path in (DESCRIPTION, *OF_THE_PAGE)]
        routes += [("POST", path) for path in OF_THE_PAGE]
        for method, path in routes:
            for name, headers in _wrong_keys(own, rng).items():
                for spelled in (path, _spelled(path, rng)):
                    status, body = _call(port, method, spelled, headers)
                    asked += 1
                    named = unquote(urlsplit(spelled).path)
                    # What HTTP itself forbids never gets as far as the key; the page leads to its login.
                    refused = status in (400, 401, 403) or (named == "/" and status == 303 and not body)
                    if not refused and named not in PUBLIC:
                        raise Broken(f"{method} {spelled} with {name} has {status}: {body[:80]!r}")
            status, _ = _call(port, method, path, right)
            asked += 1
            if status == 401:
                raise Broken(f"{method} {path} refuses the right key")
    if own.encode() in log.read_bytes():
        raise Broken("the log holds the key")
    return asked


def _no_files(case: Case) -> int:
    """A file beside the server and one in its own folder of temporary files, asked for by any route."""
    rng, canary = case.rng, f"canary{secrets.token_hex(12)}"
    folder = case.scratch / "page"
    (folder / "tmp" / "gradio").mkdir(parents=True)
    secret, inside = folder / "secret.txt", folder / "tmp" / "gradio" / "secret.txt"
    for path in (secret, inside):
        path.write_text(canary)
    asked = 0
    # The page is made after the API answers.
    with command_server.serving(case.prepared, folder / "log", tmp=folder / "tmp", ready="/") as port:
        for form in FILES:
            for target in (secret, inside):
                for path in _ways_to(target, folder, rng):
                    for method in ("GET", "POST", "HEAD"):
                        status, body = _call(port, method, form.format(path), {})
                        asked += 1
                        if canary.encode() in body:
                            raise Broken(f"{method} {form.format(path)} hands out a file ({status})")
                        if status >= 500:
                            raise Broken(f"{method} {form.format(path)} has {status}: {body[:80]!r}")
    return asked


def _wrong_keys(own: str, rng: np.random.Generator) -> dict[str, dict[str, str]]:
    """Fourteen ways to have no key, by their names."""
    other = f"key{rng.bytes(12).hex()}"

    def bearer(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    return {
        "no key": {}, "an empty key": bearer(""), "another key": bearer(other),
        "a key's start": bearer(own[:-1]),
        "a longer key": bearer(own + "0"), "a key in capitals": bearer(own.upper()),
        "a key of another kind": {"Authorization": f"Basic {own}"}, "a key alone": {"Authorization": own},
        "a key in another header": {"X-API-Key": own}, "a key in a cookie": {"Cookie": f"key={own}"},
        "a key as a session": {"Cookie": f"{COOKIE}={own}"},
        "another key's session": {"Cookie": f"{COOKIE}={SignedSessions([other], 60).begin(0)}"},
        "two keys": bearer(f"{other},{own}"), "a very long key": bearer(own * 100),
    }  # fmt: skip


def _spelled(path: str, rng: np.random.Generator) -> str:
    """A path as some servers take it for another one."""
    bare = path.partition("?")[0]
    at = int(rng.integers(1, max(2, len(bare))))
    forms: list[Callable[[], str]] = [
        lambda: "/" + path,
        lambda: path + "/",
        lambda: "/live/.." + path,
        lambda: "/live%2f.." + path,
        lambda: "/live;" + path,
        lambda: "/." + path,
        lambda: path + "%00",
        lambda: path + "?key=1&/live",
        lambda: bare[:at] + "".join(f"%{ord(sign):02x}" for sign in bare[at : at + 1]) + bare[at + 1 :],
        lambda: path.upper(),
        lambda: "http://localhost" + path,
        lambda: path + "#/live",
    ]
    return forms[int(rng.integers(len(forms)))]()


def _ways_to(target: Path, folder: Path, rng: np.random.Generator) -> list[str]:
    """Some spellings of a file's path."""
    up = "../" * int(rng.integers(1, 12))
    absolute, inside = str(target), str(target.relative_to(folder))
    forms = [
        absolute, quote(absolute, safe=""), inside, f"{up}{absolute[1:]}",
        f"{quote(up, safe='')}{absolute[1:]}", f"/{absolute}", f"./{inside}", f"{inside}%00.png",
        absolute.replace("/", "\\"), f"file://{absolute}",
    ]  # fmt: skip
    return [forms[at] for at in rng.choice(len(forms), 4, replace=False)]


def _call(port: int, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    body = None if method in ("GET", "HEAD") else b"{}"
    return command_server.call(port, method, path, body, {"Content-Type": "application/json", **headers})


PROMISE = Promise(
    25, "Access", "Without its key a server with keys answers nothing but whether it lives and the login of "
    "its page, whatever the route, the spelling of its path or the form of the wrong key, and never logs the "
    "key; the page's server hands out no file of the machine.", "requests", 1, 20, case, model_files.prepare,
)  # fmt: skip
