"""Downloads through a server that cuts, lies and stalls: the pinned file or none, and no private address."""

import errno
import hashlib
import io
import ipaddress
import random
import socket
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from sightline.data import fetch, http_connection, http_transfer
from sightline.data.http_connection import FetchError
from sightline.data.http_transfer import Transfer
from sightline_lab.faults.fault_server import DRIPS_S, dripping, fault_server

BODY = random.Random(0).randbytes(300_000)
PIN = "sha256:" + hashlib.sha256(BODY).hexdigest()
LOOPBACK = ("127.0.0.1/32",)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.001)
    with fault_server() as server:
        server.files["/a.zip"] = BODY
        yield server


def get(server, folder, pin=PIN, timeout_s=5.0, max_bytes=10**6, path="/a.zip", **options):
    return fetch.fetch(server.url + path, folder / "a.zip", pin, Transfer(timeout_s, max_bytes, **options))


def refused(folder, reason, call):
    """The call fails with this reason, and nothing has the file's name."""
    with pytest.raises(FetchError) as caught:
        call()
    assert caught.value.reason == reason, caught.value
    assert not (folder / "a.zip").exists()
    return str(caught.value)


def test_plain_and_cached(server, tmp_path):
    target = get(server, tmp_path)
    assert target == tmp_path / "a.zip" and target.read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    get(server, tmp_path)
    assert len(server.requests) == 1
    target.write_bytes(b"damaged since")
    get(server, tmp_path)
    assert target.read_bytes() == BODY and len(server.requests) == 2


def test_md5_pins(server, tmp_path):
    get(server, tmp_path, pin="md5:" + hashlib.md5(BODY).hexdigest())
    with pytest.raises(FetchError, match="expected md5:<32 hex> or sha256:<64 hex>"):
        get(server, tmp_path, pin="sha1:123")


def test_a_cut_transfer_is_resumed(server, tmp_path):
    server.faults = [{"cut": 70_000}, {"cut": 1}, {"cut": 0}, {"cut": 100_000}, {}]
    assert get(server, tmp_path).read_bytes() == BODY
    ranges = [headers.get("Range") for _, headers in server.requests]
    assert ranges == [None, "bytes=70000-", "bytes=70001-", "bytes=70001-", "bytes=170001-"]
    assert all(headers["If-Range"] == '"one"' for _, headers in server.requests[1:])
    assert server.sent <= 1.05 * len(BODY)  # the promise for servers that honour Range


def test_what_an_earlier_process_left_is_resumed(server, tmp_path):
    server.faults = [{"cut": 90_000}]
    refused(tmp_path, "cut", lambda: get(server, tmp_path, tries=1))
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.requests[-1][1]["Range"] == "bytes=90000-"


def test_rubbish_left_behind_is_noticed_by_the_hash(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    assert get(server, tmp_path).read_bytes() == BODY


def test_without_pin_and_validator_nothing_is_resumed(server, tmp_path):
    server.etag = ""
    server.faults = [{"cut": 90_000}]
    assert get(server, tmp_path, pin=None).read_bytes() == BODY
    assert [headers.get("Range") for _, headers in server.requests] == [None, None]


def test_range_ignored_or_answered_wrongly(server, tmp_path):
    server.faults = [{"cut": 90_000}, {"ignore_range": True}]
    assert get(server, tmp_path / "1").read_bytes() == BODY
    server.faults = [{"cut": 90_000}, {"content_range": "bytes 5-99/100"}, {}]
    assert get(server, tmp_path / "2").read_bytes() == BODY


def test_the_file_changes_in_the_middle(server, tmp_path):
    new = BODY[::-1]
    server.faults = [{"cut": 90_000}]
    refused(tmp_path, "cut", lambda: get(server, tmp_path, pin=None, tries=1))
    server.files["/a.zip"], server.etag = new, '"two"'
    assert get(server, tmp_path, pin=None).read_bytes() == new


def test_a_server_that_resumes_another_version(server, tmp_path):
    """206 with another ETag, against If-Range: never glued together."""
    new = BODY[::-1]
    server.faults = [{"cut": 90_000}, {"body": new, "headers": {"ETag": '"two"'}}, {"body": new}]
    assert get(server, tmp_path, pin=None).read_bytes() == new


def test_a_length_that_lies(server, tmp_path):
    server.faults = [{"lie": -1000}]
    refused(tmp_path, "hash", lambda: get(server, tmp_path))
    server.faults = [{"lie": 1000}]
    refused(tmp_path, "cut", lambda: get(server, tmp_path, tries=1))
    assert get(server, tmp_path).read_bytes() == BODY  # the server has no more bytes, and the hash is right


def test_no_length_at_all(server, tmp_path):
    server.faults = [{"no_length": True}]
    assert get(server, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_obeyed(server, tmp_path, monkeypatch, date):
    waits = []
    monkeypatch.setattr(fetch.time, "sleep", waits.append)
    after = formatdate(time.time() + 50, usegmt=True) if date else "50"
    server.faults = [{"status": 429, "headers": {"Retry-After": after}}]
    assert get(server, tmp_path).read_bytes() == BODY
    (waited,) = waits
    assert 20 < waited <= 50 if date else waited == 50  # a date counts from when the answer was read


def test_busy_servers(server, tmp_path):
    server.faults = [{"status": 503}, {"status": 500}, {"status": 429}]
    assert get(server, tmp_path / "1").read_bytes() == BODY
    server.faults = [{"status": 503, "headers": {"Retry-After": "99999"}}]
    message = refused(tmp_path, "busy", lambda: get(server, tmp_path))
    assert "99999 s" in message
    server.faults = [{"status": 503}] * 9
    refused(tmp_path, "busy", lambda: get(server, tmp_path))
    assert len(server.requests) == 4 + 1 + Transfer.tries


def test_errors_that_no_retry_mends(server, tmp_path):
    assert "HTTP 404" in refused(tmp_path, "status", lambda: get(server, tmp_path, path="/none"))
    assert len(server.requests) == 1
    server.faults = [{"headers": {"Content-Encoding": "gzip"}}]
    refused(tmp_path, "encoding", lambda: get(server, tmp_path))
    refused(tmp_path, "too_large", lambda: get(server, tmp_path, max_bytes=1000))
    server.faults = [{"no_length": True}]
    refused(tmp_path, "too_large", lambda: get(server, tmp_path, max_bytes=1000))
    assert not list(tmp_path.iterdir())


def test_a_wrong_hash_leaves_nothing(server, tmp_path):
    wrong = "sha256:" + "0" * 64
    message = refused(tmp_path, "hash", lambda: get(server, tmp_path, pin=wrong))
    assert wrong in message and PIN in message and "data.checksums" in message
    assert not list(tmp_path.iterdir()) and len(server.requests) == 1


def test_a_trickle_is_given_up(server, tmp_path):
    server.faults = [{"trickle": 0.02}] * 2
    start = time.monotonic()
    refused(tmp_path, "slow", lambda: get(server, tmp_path, timeout_s=0.3, tries=2))
    assert time.monotonic() - start < 60  # all of it would take 100 minutes


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n"],
                         ids=["status line", "headers", "body"])  # fmt: skip
def test_an_answer_that_drips_is_given_up(tmp_path, monkeypatch, head):
    """A byte now and then: no timeout of a socket ends it."""
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.001)
    with dripping(head) as port:
        url, begun = f"http://127.0.0.1:{port}/a.zip", time.monotonic()
        reason = "slow" if head.endswith(b"\r\n\r\n") else "connection"
        refused(
            tmp_path,
            reason,
            lambda: fetch.fetch(url, tmp_path / "a.zip", None, Transfer(0.3, 10**6, tries=2)),
        )
        assert time.monotonic() - begun < 2 * DRIPS_S  # twice 0.3 s, on a busy machine


@pytest.mark.parametrize("headers", [
    {"Content-Length": "9" * 5000}, {"Retry-After": "9" * 5000},
    {"Retry-After": "Fri, 01 Jan 2999 00:00:00 +999999999999"},
], ids=["length", "seconds", "date"])  # fmt: skip
def test_numbers_without_an_end_are_refused(server, tmp_path, headers):
    server.faults = [{"status": 503 if "Retry-After" in headers else 200, "headers": headers}]
    reason = "too_large" if "Content-Length" in headers else "busy"
    if "+" in headers.get("Retry-After", ""):  # no date at all: the usual pause, then the file
        assert get(server, tmp_path).read_bytes() == BODY
    else:
        refused(tmp_path, reason, lambda: get(server, tmp_path, tries=1))


def test_a_silent_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"
        refused(
            tmp_path,
            "connection",
            lambda: fetch.fetch(url, tmp_path / "a.zip", PIN, Transfer(0.2, 10**6, tries=2)),
        )


def test_redirects(server, tmp_path):
    server.faults = [{"status": 302, "headers": {"Location": "/a.zip"}, "body": b""}]
    assert get(server, tmp_path / "1", path="/other").read_bytes() == BODY
    server.faults = [{"status": 301, "headers": {"Location": "/loop"}, "body": b""}] * 20
    refused(tmp_path, "redirects", lambda: get(server, tmp_path, path="/loop"))
    assert len(server.requests) == 2 + http_transfer.MAX_REDIRECTS + 1
    for location in ("file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "data:,x"):
        server.faults = [{"status": 302, "headers": {"Location": location}, "body": b""}]
        refused(tmp_path, "scheme", lambda: get(server, tmp_path))
    server.faults = [{"status": 302, "headers": {"Location": "http://[::1"}, "body": b""}]
    refused(tmp_path, "url", lambda: get(server, tmp_path))


def test_https_is_never_left_for_http(server, tmp_path, monkeypatch):
    """The server stands in for a TLS host: only the scheme of the URL matters to the rule."""
    plain = http_transfer.open_connection
    monkeypatch.setattr(
        http_transfer, "open_connection", lambda url, *rest: plain(url._replace(scheme="http"), *rest)
    )
    server.faults = [{"status": 302, "headers": {"Location": server.url + "/a.zip"}, "body": b""}]
    url = server.url.replace("http:", "https:") + "/a.zip"
    refused(tmp_path, "downgrade", lambda: fetch.fetch(url, tmp_path / "a.zip", PIN, Transfer(5, 10**6)))
    assert len(server.requests) == 1


def test_plain_http_only_to_this_machine(tmp_path):
    message = refused(
        tmp_path,
        "address",
        lambda: fetch.fetch("http://192.0.2.1/a", tmp_path / "a.zip", PIN, Transfer(1, 10)),
    )
    assert "use https://" in message


def test_file_urls_are_used_in_place_and_checked(tmp_path):
    path = tmp_path / "with space.zip"
    path.write_bytes(BODY)
    assert fetch.fetch(path.as_uri(), tmp_path / "unused", PIN, Transfer(1, 10**6)) == path
    with pytest.raises(FetchError, match="expected sha256:0+, found sha256:"):
        fetch.fetch(path.as_uri(), tmp_path / "unused", "sha256:" + "0" * 64, Transfer(1, 10**6))
    with pytest.raises(FetchError, match="is not a file"):
        fetch.fetch((tmp_path / "none").as_uri(), tmp_path / "unused", PIN, Transfer(1, 10**6))
    assert not (tmp_path / "unused").exists()


def test_a_full_disk_leaves_no_file_and_no_part(server, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            if self.tell() > 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(http_transfer, "open", lambda path, mode: Full(path, mode), raising=False)
    message = refused(tmp_path, "disk_full", lambda: get(server, tmp_path))
    assert "a.zip.part" in message and "make room" in message
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert get(server, tmp_path).read_bytes() == BODY


def test_too_little_room_is_said_before_the_transfer(server, tmp_path, monkeypatch):
    usage = http_transfer.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(http_transfer.shutil, "disk_usage", lambda path: usage)
    assert "needs 300000 bytes, 1000 are free" in refused(
        tmp_path, "disk_full", lambda: get(server, tmp_path)
    )


@pytest.mark.parametrize("seed", range(40))
def test_any_schedule_of_faults_ends_right_or_not_at_all(server, tmp_path, seed):
    chance = random.Random(seed)
    kinds = [
        lambda: {"cut": chance.randrange(len(BODY))},
        lambda: {"cut": chance.randrange(len(BODY)), "ignore_range": True},
        lambda: {"status": chance.choice([429, 500, 503])},
        lambda: {"lie": chance.randrange(-5000, 5000)},
        lambda: {"content_range": f"bytes {chance.randrange(9)}-99/100"},
        lambda: {"body": BODY[::-1], "headers": {"ETag": '"two"'}},
        lambda: {"body": BODY[::-1]},
        lambda: {"headers": {"Content-Encoding": "gzip"}},
        lambda: {"no_length": True, "cut": chance.randrange(len(BODY))},
        dict,
    ]
    for _ in range(4):  # as if the stage were run again and again
        server.faults = [chance.choice(kinds)() for _ in range(chance.randrange(6))]
        try:
            get(server, tmp_path)
        except FetchError:
            assert not (tmp_path / "a.zip").exists()
        else:
            assert (tmp_path / "a.zip").read_bytes() == BODY
    server.faults = []
    assert get(server, tmp_path).read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


PRIVATE = [
    "http://127.0.0.1:{port}/a", "http://localhost:{port}/a", "http://127.1:{port}/a", "http://2130706433:{port}/a",
    "http://0x7f000001:{port}/a", "http://0177.0.0.1:{port}/a", "http://0:{port}/a", "http://0.0.0.0:{port}/a",
    "http://127.0.0.2:{port}/a", "http://[::1]:{port}/a", "http://[::]:{port}/a",
    "http://[::ffff:127.0.0.1]:{port}/a", "http://[::ffff:7f00:1]:{port}/a", "http://[::127.0.0.1]:{port}/a",
    "http://[64:ff9b::7f00:1]:{port}/a", "http://[2002:7f00:1::]:{port}/a", "http://[fe80::1]/a",
    "http://[fd00::1]/a", "http://[fec0::1]/a", "http://[ff02::1]/a", "http://10.0.0.1/a", "http://172.16.0.1/a",
    "http://192.168.1.1/a", "http://169.254.169.254/latest/meta-data", "http://100.64.0.1/a", "http://224.0.0.1/a",
    "http://255.255.255.255/a", "http://192.0.2.1/a", "https://127.0.0.1:{port}/a", "https://10.0.0.1/a",
    "http://user:secret@127.0.0.1:{port}/a", "http://example.com@127.0.0.1:{port}/a", "http://127.0.0.1:99999/a",
    "file:///etc/passwd", "ftp://127.0.0.1:{port}/a", "gopher://127.0.0.1:{port}/a", "data:,hello", "http:///a",
    "http://[::1/a", "//127.0.0.1:{port}/a", "http://{long}/a",
]  # fmt: skip


@pytest.mark.parametrize("form", PRIVATE)
def test_private_addresses_get_no_packet(server, tmp_path, monkeypatch, form):
    def connection(address, *rest):
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(http_connection.socket, "create_connection", connection)
    url = form.format(port=server.port, long="a" * 70)
    with pytest.raises(FetchError) as caught:
        fetch.fetch(url, tmp_path / "a", None, Transfer(1, 1000, public_only=True, tries=1))
    assert caught.value.reason in {"address", "scheme", "url"}, caught.value
    assert server.requests == []


def test_allowed_networks_and_redirects_out_of_them(server, tmp_path):
    def public(path="/a.zip"):
        return get(server, tmp_path, pin=None, public_only=True, allow=LOOPBACK, path=path)

    for location in ("http://127.0.0.2:{}/a", "http://169.254.169.254/", "http://[::1]:{}/a"):
        server.faults = [
            {"status": 302, "headers": {"Location": location.format(server.port)}, "body": b""},
            {"status": 599},  # must never be asked for
        ]
        before = len(server.requests)
        refused(tmp_path, "address", public)
        assert len(server.requests) == before + 1
    server.faults = []
    assert public().read_bytes() == BODY


def test_a_name_is_looked_up_once_and_the_checked_address_is_used(tmp_path, monkeypatch):
    """DNS that answers with a public address first and a private one later gains nothing."""
    answers = iter(["93.184.215.14", "127.0.0.1", "127.0.0.1"])
    connected = []

    def resolve(host, port, **kind):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connection(address, timeout):
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(http_connection.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(http_connection.socket, "create_connection", connection)
    with pytest.raises(FetchError, match="gave up after 1 tries"):
        fetch.fetch(
            "http://rebind.test/a", tmp_path / "a", None, Transfer(1, 1000, public_only=True, tries=1)
        )
    assert connected == [("93.184.215.14", 80)]


def test_one_private_address_among_public_ones_is_enough_to_refuse(tmp_path, monkeypatch):
    found = [(2, 1, 6, "", ("93.184.215.14", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(http_connection.socket, "getaddrinfo", lambda *args, **kind: found)
    with pytest.raises(FetchError, match="10.0.0.1 is not a public address"):
        fetch.fetch("http://mixed.test/a", tmp_path / "a", None, Transfer(1, 1000, public_only=True))


def test_a_site_that_forbids_the_use_is_respected(server, tmp_path):
    server.faults = [{"headers": {"X-Robots-Tag": "noindex, noai"}}]
    refused(tmp_path, "robots", lambda: get(server, tmp_path, pin=None, public_only=True, allow=LOOPBACK))


def test_cached_says_the_hash_of_an_unpinned_file(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    path = fetch.cached(f"{server.url}/a.zip", None, 5, 10**6)
    assert path.read_bytes() == BODY and path.is_relative_to(tmp_path / ".resume" / "downloads")
    assert PIN in capsys.readouterr().err
    assert fetch.cached(f"{server.url}/a.zip", PIN, 5, 10**6) == path
    assert len(server.requests) == 1 and isinstance(path, Path)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("192.0.0.9", False), ("192.0.0.8", False), ("192.0.0.255", False), ("192.88.99.1", False),
        ("192.0.2.1", False), ("198.18.0.1", False), ("240.0.0.1", False), ("255.255.255.255", False),
        ("3fff::1", False), ("3fff:fff::1", False), ("5f00::1", False), ("100::1", False),
        ("64:ff9b:1::1", False), ("2001::1", False), ("2001:db8::1", False), ("2001:20::1", False),
        ("192.0.1.1", True), ("192.88.98.1", True), ("8.8.8.8", True), ("2606:4700::1", True),
        ("2001:4860:4860::8888", True), ("64:ff9b::808:808", False), ("::ffff:8.8.8.8", False),
        ("2002:808:808::1", False),
    ],
)  # fmt: skip
def test_special_addresses_of_ianas_registries_are_not_public(address, public):
    assert http_connection._permitted(ipaddress.ip_address(address), (), True) == public
