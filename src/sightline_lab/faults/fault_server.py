"""A local HTTP server that misbehaves on order."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from sightline_lab.faults.local_server import serving

DRIPS_S = 8.0  # of an answer: far longer than anybody waits for it, and an end for a client that would


class FaultServer:
    """Serves `files` (path -> bytes). Each request takes the next entry of `faults`, a dict with any of:

    status, headers (replaced or added), cut (bytes sent before the connection ends), ignore_range, no_length,
    lie (added to Content-Length), trickle (seconds a byte), content_range, body. Empty, or none left: honest.
    """

    port = 0

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.etag: str | None = '"one"'
        self.headers: dict[str, str] = {}  # of every answer
        self.etags: dict[str, str | None] = {}  # path -> its ETag, where files must differ in it

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def fault_server() -> Iterator[FaultServer]:
    server = FaultServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.requests.append((self.path, dict(self.headers)))
            fault = server.faults.pop(0) if server.faults else {}
            _answer(server, self, fault)
            self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    with serving(Handler) as server.port:
        yield server


@contextmanager
def dripping(head: bytes, seconds: float = 0.02) -> Iterator[int]:
    """The port of a server that answers with `head`, then a letter every `seconds`, for DRIPS_S."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                link, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(link,), daemon=True).start()

    def drip(link: socket.socket) -> None:
        with link:
            try:
                link.sendall(head)
                end = time.monotonic() + DRIPS_S
                while not over.wait(seconds) and time.monotonic() < end:
                    link.sendall(b"x")
            except OSError:
                return  # the client had enough

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()


def _answer(server: FaultServer, handler: BaseHTTPRequestHandler, fault: dict[str, Any]) -> None:
    body = fault.get("body", server.files.get(handler.path))
    status = fault.get("status", 200 if body is not None else 404)
    body = body or b""
    etag = server.etags.get(handler.path, server.etag)
    headers = server.headers | ({"ETag": etag} if etag else {})
    wanted = handler.headers.get("Range")
    fresh = handler.headers.get("If-Range") in (None, etag)
    if status == 200 and wanted and fresh and not fault.get("ignore_range"):
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            status, headers["Content-Range"], body = 416, f"bytes */{len(body)}", b""
        else:
            status = 206
            headers["Content-Range"] = fault.get(
                "content_range", f"bytes {start}-{len(body) - 1}/{len(body)}"
            )
            body = body[start:]
    if not fault.get("no_length"):
        headers["Content-Length"] = str(len(body) + fault.get("lie", 0))
    body = body[: fault.get("cut", len(body))]
    try:
        handler.send_response(status)
        for name, value in (headers | fault.get("headers", {})).items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if "trickle" in fault:
            for byte in body:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(fault["trickle"])
        else:
            handler.wfile.write(body)
        server.sent += len(body)
    except OSError:
        pass  # the client hung up, which some faults want
