"""How a server is set up: limits, and the errors that clients see, in the form of OpenAI's API."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """What one server takes. A request beyond them is refused before it costs anything."""

    host: str = "127.0.0.1"  # what is listened on; without API keys only it and localhost are answered
    batch: int = 8  # rows of every model call; the shape never changes, so no answer feels its neighbours
    queue: int = 64  # requests inside at once; the next one is answered 429
    timeout_s: float = 30.0  # from the first byte of a request to its answer
    body_bytes: int = 12 << 20
    inside_bytes: int = 64 << 20  # bodies of all requests inside together
    picture_bytes: int = 8 << 20
    pixels: int = 13_000_000  # a 12-megapixel photograph; about 100 MB while it is decoded
    aspect: int = 50  # a picture longer than this many times its width would grow when it is scaled
    inputs: int = 64  # texts or pictures of one embeddings request
    results: int = 100  # of one search
    captions: int = 10  # beside which a question is read; each costs another reading
    drain_s: float = 20.0  # for requests under way when the server is told to stop
    connections: int = 512  # at once; half of the files that a process may usually have open
    peer_connections: int = 256  # of one address
    header_bytes: int = 32 << 10  # of a request's headers, and of all else that is no body
    header_s: float = 10.0  # until the headers are whole
    idle_s: int = 15  # between two requests
    write_s: float = 30.0  # for a client to read its answer
    sessions: int = 100  # of the page; the one unused for longest is forgotten
    session_bytes: int = 64 << 20  # pictures that were chosen on the page, of all sessions together


class ApiError(Exception):
    """An answer that is an error: HTTP status, OpenAI's `type` and `code`, the field at fault."""

    def __init__(
        self, status: int, message: str, code: str = "", param: str | None = None, retry_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_s = status, message, code, param, retry_s

    def body(self) -> dict[str, Any]:
        return error_body(self.status, self.message, self.code or None, self.param)


KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_body(status: int, message: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """The object that OpenAI's clients read errors from."""
    kind = KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
