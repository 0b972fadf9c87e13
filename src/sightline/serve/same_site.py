"""Same-origin policy: through a browser only the server's own page may use it. Other clients send neither
Origin nor Sec-Fetch-Site and must only name the right host.
"""

import ipaddress
import re
from collections.abc import Collection, Sequence

from sightline.serve.limits import ApiError

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::\d+)?")
ORIGIN = re.compile(r"https?://(.+)")
SAME_SITE = (b"same-origin", b"none")  # of Sec-Fetch-Site; none: the address was typed or a bookmark

FOREIGN = ApiError(
    403, "pages of other sites may not use this server: type its address into the browser", "foreign_site"
)


def names(host: str) -> frozenset[str]:
    """The names that a server bound to `host` answers: that very one, and localhost."""
    return frozenset({_plain(f"[{host}]" if ":" in host else host.lower()), "localhost"})


def check(headers: Sequence[tuple[bytes, bytes]], hosts: Collection[str] | None) -> None:
    """Raise ApiError for a request under another host name, or that a page of another site makes.

    `hosts`: the names answered; None: every name, as API keys are asked for.
    """
    host_headers = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    match = HOST.fullmatch(host_headers[0]) if len(host_headers) == 1 else None
    if match is None:
        raise ApiError(403, "expected one Host header: a name or an address, and a port", "forbidden_host")
    if hosts is not None and _plain(match[1]) not in hosts:
        accepted = " and ".join(sorted(hosts))
        raise ApiError(403, f"without API keys this server answers as {accepted} only", "forbidden_host")
    for name, value in headers:
        origin = ORIGIN.fullmatch(value.decode("latin-1").lower()) if name == b"origin" else None
        if name == b"origin" and (origin is None or origin[1] != host_headers[0]):
            raise FOREIGN
        if name == b"sec-fetch-site" and value not in SAME_SITE:
            raise FOREIGN


def _plain(name: str) -> str:
    """An IPv6 address in its one short form, other names as they are."""
    try:
        return f"[{ipaddress.IPv6Address(name[1:-1])}]" if name.startswith("[") else name
    except ValueError:
        return name
