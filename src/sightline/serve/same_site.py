"""Same-origin policy: through a browser only the server's own page may use it, and pages of the origins that
its operator names. Other clients send neither Origin nor Sec-Fetch-Site and must only name the right host.
"""

import ipaddress
import re
from collections.abc import Collection, Sequence

from sightline.serve.api_error import ApiError

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::\d+)?")
ORIGIN = re.compile(r"https?://(.+)")
HEADERS = re.compile(r"[a-z0-9-]+(?:, ?[a-z0-9-]+)*", re.IGNORECASE)
EVERY_ADDRESS = ("0.0.0.0", "::")
SAME_SITE = (b"same-origin", b"none")  # of Sec-Fetch-Site; none: the address was typed or a bookmark

FOREIGN = ApiError(
    403, "pages of other sites may not use this server: type its address into the browser", "foreign_site"
)


def names(host: str, more: Collection[str] = ()) -> frozenset[str]:
    """The names that a server bound to `host` answers: that very one, localhost, and `more`. One bound to all
    addresses has those of loopback, too."""
    own = f"[{host}]" if ":" in host else host.lower()
    loopback = ("127.0.0.1", "[::1]") if host in EVERY_ADDRESS else ()
    return frozenset({"localhost", *map(_plain, (own, *loopback, *more))})


def check(
    headers: Sequence[tuple[bytes, bytes]], hosts: Collection[str] | None, origins: Collection[str] = ()
) -> bytes | None:
    """Raise ApiError for a request under another host name, or that a page of another site makes. Returns the
    header Origin of one that a page of `origins` makes.

    `hosts`: the names answered; None: every name, as API keys are asked for.
    """
    host_headers = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    match = HOST.fullmatch(host_headers[0]) if len(host_headers) == 1 else None
    if match is None:
        raise ApiError(403, "expected one Host header: a name or an address, and a port", "forbidden_host")
    if hosts is not None and _plain(match[1]) not in hosts:
        accepted = " and ".join(sorted(hosts))
        raise ApiError(403, f"this server answers as {accepted} only", "forbidden_host")
    sent = [value for name, value in headers if name == b"origin"]
    if len(sent) == 1 and sent[0].decode("latin-1") in origins:
        return sent[0]
    for name, value in headers:
        origin = ORIGIN.fullmatch(value.decode("latin-1").lower()) if name == b"origin" else None
        if name == b"origin" and (origin is None or origin[1] != host_headers[0]):
            raise FOREIGN
        if name == b"sec-fetch-site" and value not in SAME_SITE:
            raise FOREIGN
    return None


def allowing(origin: bytes) -> list[tuple[bytes, bytes]]:
    """Headers that let a page of `origin` read the answer."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"retry-after"),
        (b"vary", b"Origin"),
    ]


def preflight(headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Headers that answer what a browser asks before a page's request: which methods and headers it may
    have. Which headers a client's library adds is its own affair."""
    asked = headers.get(b"access-control-request-headers", b"")
    names = asked if HEADERS.fullmatch(asked.decode("latin-1")) else b"authorization, content-type"
    return [
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", names),
        (b"access-control-max-age", b"600"),
    ]


def _plain(name: str) -> str:
    """An IPv6 address in its one short form, other names as they are."""
    try:
        return f"[{ipaddress.IPv6Address(name[1:-1])}]" if name.startswith("[") else name
    except ValueError:
        return name
