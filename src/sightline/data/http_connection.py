"""One HTTP connection, to an address that was checked before.

Private, loopback and link-local addresses are refused for `public_only`, however they are written: the
decision is taken on the resolved address, and the socket is opened to that very address.
"""

import base64
import http.client
import ipaddress
import socket
import ssl
import threading
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, unquote, urlsplit

PORTS = {"http": 80, "https": 443}
# What IANA's registries of special-purpose addresses hold and Python's tables up to 3.11.9 call public
# (CVE-2024-4032), and 6to4 addresses, which stand for an IPv4 address: a gateway would connect to that.
SPECIAL = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20"))
)
UNICAST6 = ipaddress.ip_network("2000::/3")  # the only range of IPv6 that is given to anybody
LOOPBACK = ("127.0.0.0/8", "::1/128")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FetchError(ValueError):
    """A file that could not be fetched. `reason` is a stable code: address, scheme, status, hash, cut, ..."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def split_url(url: str) -> SplitResult:
    """The parts of a URL; raises FetchError if it is none."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise FetchError("url", f"{url}: {error}") from error


def open_connection(
    url: SplitResult, timeout_s: float, public_only: bool, allow: Collection[str]
) -> http.client.HTTPConnection:
    """An unopened connection for `url`. Raises FetchError if it must not be made, OSError for unknown names.

    Plain http is for this machine alone, and for `public_only`, whose files no hash protects anyway. A proxy
    of the environment is used for https unless `public_only`: through one, the address could not be checked.
    """
    text = url.geturl()
    if url.scheme not in PORTS:
        raise FetchError("scheme", f"{text}: expected https://, got {url.scheme or 'no scheme'}")
    try:
        host, port = url.hostname, url.port or PORTS[url.scheme]
    except ValueError as error:
        raise FetchError("url", f"{text}: {error}") from error
    if not host or url.username is not None or url.password is not None:
        raise FetchError("url", f"{text}: expected a host, without user or password")
    if not public_only and url.scheme == "https":
        proxied = _through_proxy(host, port, timeout_s)
        return proxied or http.client.HTTPSConnection(host, port, timeout=timeout_s)
    addresses = _resolve(text, host, port)
    for address in addresses:
        if not _permitted(address, allow if public_only else LOOPBACK, public_only):
            kind = "is not a public address" if public_only else "is not this machine: use https://"
            raise FetchError("address", f"{text}: {address} {kind}; refused")
    return (_CheckedHTTPS if url.scheme == "https" else _CheckedHTTP)(host, port, addresses, timeout_s)


class _CheckedHTTP(http.client.HTTPConnection):
    """Connects to the first of the given addresses that answers; never looks the name up again."""

    def __init__(self, host: str, port: int, addresses: list[Address], timeout_s: float) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self.addresses = addresses

    def connect(self) -> None:
        for number, address in enumerate(self.addresses):
            try:
                self.sock = socket.create_connection((str(address), self.port), self.timeout)
                return
            except OSError:
                if number == len(self.addresses) - 1:
                    raise


class _CheckedHTTPS(_CheckedHTTP):
    def connect(self) -> None:
        super().connect()
        try:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
        except OSError:
            self.sock.close()
            raise


@contextmanager
def cut_off_after(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Connect, and end the connection `seconds` from now, whatever is waited for inside. The timeout of a
    socket counts from byte to byte: a server that sends one now and then never meets it.

    Raises TimeoutError where it was ended, also where nothing inside noticed.
    """
    over, sockets = threading.Event(), set[socket.socket]()

    def end() -> None:
        over.set()
        for one in sockets | {connection.sock}:
            try:
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # not that of TLS, which would say good-bye
            except (OSError, TypeError):
                pass  # it is not connected yet, or no longer

    timer = threading.Timer(max(seconds, 0.0), end)
    timer.daemon = True
    timer.start()
    late = f"no whole answer within {seconds:.1f} s"
    try:
        connection.connect()
        sockets.add(connection.sock)  # http.client gives it to the response and forgets it
        if over.is_set():
            raise TimeoutError(late)
        yield
    except (OSError, http.client.HTTPException) as error:
        if over.is_set():
            raise TimeoutError(late) from error
        raise
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError(late)


def _resolve(text: str, host: str, port: int) -> list[Address]:
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise FetchError("url", f"{text}: not a host name") from error
    return [ipaddress.ip_address(entry[4][0]) for entry in entries]


def _permitted(address: Address, allow: Collection[str], public: bool) -> bool:
    if any(address in ipaddress.ip_network(network) for network in allow):
        return True
    return public and _is_public(address)


def _is_public(address: Address) -> bool:
    local = address.is_multicast or address.is_reserved or any(address in network for network in SPECIAL)
    given = address.version == 4 or address in UNICAST6
    return address.is_global and given and not local


def _through_proxy(host: str, port: int, timeout_s: float) -> http.client.HTTPConnection | None:
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not parts.hostname:
        raise FetchError("url", "the proxy of the environment (https_proxy): expected a host")
    headers = {}
    if parts.username:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    proxy_port = parts.port or PORTS[parts.scheme]
    connection = http.client.HTTPSConnection(parts.hostname, proxy_port, timeout=timeout_s)
    connection.set_tunnel(host, port, headers)
    return connection
