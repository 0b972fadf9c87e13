"""A process in a network of its own, where all addresses are its own: `python -m ...canary_network`.

To be started by `unshare`, so that nothing leaves the machine. Listeners on every address count connections.
Reads a line of JSON for each try, {"url", "names", "location"}, and answers with what came of it. `names`: a
name to the addresses of its first, second, ... look-up; `location`: where the public server redirects to.
"""

import ipaddress
import json
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from sightline.cli import picture_input
from sightline.data import fetch
from sightline.data.http_transfer import Transfer
from sightline.data.image_workers import ImageWorkers
from sightline.data.intake.pictures import PictureFolder
from sightline.serve import image_input
from sightline.serve.api_error import ApiError
from sightline.serve.deploy import environments

PUBLIC = "93.184.216.34"
PRIVATE = (
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.9", "198.18.0.1",
    "203.0.113.1", "192.88.99.1", "fd00::1", "fd00:ec2::254", "fe80::1", "64:ff9b::a00:1", "2002:a00:1::1",
    "3fff::1", "2001:db8::1",
)  # fmt: skip
PORTS = (80, 443, 8080, 21, 70)
TIMEOUT_S = 1.0


class Canaries:
    """Counts connections to all addresses but the public one, which answers by a redirect."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.location = ""
        self._selector = selectors.DefaultSelector()
        for port in PORTS:
            server = socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64
            )
            self._selector.register(server, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                connection = key.fileobj.accept()[0]  # type: ignore[union-attr]
                with connection:
                    address = ipaddress.ip_address(connection.getsockname()[0].split("%")[0])
                    plain = str(getattr(address, "ipv4_mapped", None) or address)
                    if plain != PUBLIC:
                        self.arrived.append(plain)
                        continue
                    connection.settimeout(TIMEOUT_S)
                    try:
                        connection.recv(65536)
                        head = f"HTTP/1.1 302 Found\r\nLocation: {self.location}\r\nContent-Length: 0\r\n\r\n"
                        connection.sendall(head.encode("utf-8", "replace"))
                    except OSError:
                        pass  # who was counted elsewhere hung up


def entrances(folder: Path, workers: ImageWorkers) -> dict[str, Callable[[str], Any]]:
    """Everything that fetches what others name."""
    pictures = PictureFolder(folder, TIMEOUT_S)
    limits = Transfer(TIMEOUT_S, 1000, tries=1)
    served = environments.load("dev").limits
    return {
        "a picture of a table": pictures.read,
        "the server": lambda url: image_input.decode(url, served, True, workers),
        "the page": lambda url: image_input.decode(url, served, False, workers),
        "the command line": lambda url: picture_input.read(url, True),
        "a data set over http": lambda url: fetch.fetch(url, folder / "set" / "file", None, limits),
    }


def tried(request: dict[str, Any], canaries: Canaries, folder: Path, workers: ImageWorkers) -> list[str]:
    """What went wrong at each entrance: connections that arrived, bytes that came."""
    found = []
    for name, enter in entrances(folder, workers).items():
        if name == "a data set over http" and not request["url"].lower().startswith("http://"):
            continue  # over https it goes where params.yaml says: that is the user's own word
        canaries.location = request["location"]
        before = len(canaries.arrived)
        with mock.patch.object(socket, "getaddrinfo", Names(request["names"])):
            try:
                enter(request["url"])
                found.append(f"{name}: it was fetched")
            except (ApiError, ValueError, OSError):
                pass
            except Exception as error:
                found.append(f"{name}: {type(error).__name__}: {error}")
        time.sleep(0.005)  # a connection that was made is accepted by then
        arrived = set(canaries.arrived[before:]) - ({"127.0.0.1", "::1"} if "data set" in name else set())
        found += [f"{name}: a connection arrived at {address}" for address in sorted(arrived)]
    return found


class Names:
    """socket.getaddrinfo with names whose addresses change between look-ups."""

    def __init__(self, names: dict[str, list[list[str]]]) -> None:
        self._names, self._looked_up, self._real = names, dict.fromkeys(names, 0), socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host not in self._names:
            return self._real(host, port, *more, **options)
        answers, number = self._names[host], self._looked_up[host]
        self._looked_up[host] += 1
        chosen = answers[min(number, len(answers) - 1)]
        return [entry for address in chosen for entry in self._real(address, port, *more, **options)]


def main() -> None:
    """Say "ready", then answer every line."""
    commands = [["link", "set", "lo", "up"]]
    commands += [
        ["addr", "add", f"{one}/{128 if ':' in one else 32}", "dev", "lo"] for one in (PUBLIC, *PRIVATE)
    ]
    for command in commands:
        subprocess.run(["ip", *command, *(["nodad"] if ":" in command[2] else [])], check=True)
    canaries, workers = Canaries(), ImageWorkers()
    for address in PRIVATE:
        scope = "%lo" if address.startswith("fe80") else ""
        socket.create_connection((address + scope, 80), 5).close()
    deadline = time.monotonic() + 10
    while len(set(canaries.arrived)) < len(PRIVATE) and time.monotonic() < deadline:
        time.sleep(0.01)
    silent = sorted({*PRIVATE} - {*canaries.arrived})
    print(json.dumps({"silent": silent}), flush=True)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(fetch, "BACKOFF_S", 0.001):
        for line in sys.stdin:
            print(json.dumps(tried(json.loads(line), canaries, Path(folder), workers)), flush=True)


if __name__ == "__main__":
    main()
