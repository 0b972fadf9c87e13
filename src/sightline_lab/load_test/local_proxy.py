"""nginx and HAProxy as deploy/ sets them up, on free ports of loopback, with a certificate of their own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sightline_lab.load_test.server_process import LoadError, free_port

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
ROOT_PATH = "/vision"  # of both files
TRIES = "tries"  # a line for each request: the status, and those of the servers that were asked
START_S, STOP_S = 30.0, 30.0
# nginx includes a site into this, which keeps all its files in its own folder.
AROUND = """daemon off; pid nginx.pid; error_log stderr; worker_processes 1;
events { worker_connections 512; }
http {
log_format tries "$status $upstream_status"; access_log tries tries; client_body_temp_path body;
proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
include site.conf;
}
"""


@contextmanager
def nginx(
    site: Path, servers: tuple[int, int], folder: Path, changed: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address https://localhost:PORT of a site of nginx before servers at two ports of loopback.
    `changed`: texts of the file that are replaced; its files lie in `folder`. Raises LoadError where it does
    not start."""
    if NGINX is None:
        raise LoadError("there is no nginx here: apt-get install nginx-light")
    certificate, port = _certificate(folder), free_port()
    text = _replaced(site, {
        "/etc/ssl/vision.example/fullchain.pem": str(certificate),
        "/etc/ssl/vision.example/privkey.pem": str(certificate),
        "listen 80;": f"listen 127.0.0.1:{free_port()};", "listen 443 ": f"listen 127.0.0.1:{port} ",
        **_servers(servers), **(changed or {}),
    })  # fmt: skip
    (folder / "site.conf").write_text(text, encoding="utf-8")
    (folder / "nginx.conf").write_text(AROUND, encoding="utf-8")
    command = [NGINX, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"]
    with _running(command, port, folder):
        yield f"https://localhost:{port}"


@contextmanager
def haproxy(
    config: Path, servers: tuple[int, int], folder: Path, changed: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The same of HAProxy."""
    if HAPROXY is None:
        raise LoadError("there is no HAProxy here: apt-get install haproxy")
    certificate, port = _certificate(folder), free_port()
    text = _replaced(config, {
        "/etc/haproxy/vision.example.pem": str(certificate), "/run/haproxy/admin.sock": "unix@./admin.sock",
        "bind :80": f"bind 127.0.0.1:{free_port()}", "bind :443": f"bind 127.0.0.1:{port}",
        **_servers(servers), **(changed or {}),
    })  # fmt: skip
    (folder / "haproxy.cfg").write_text(text, encoding="utf-8")
    with _running([HAPROXY, "-db", "-f", "haproxy.cfg"], port, folder):
        yield f"https://localhost:{port}"


def _servers(ports: tuple[int, int]) -> dict[str, str]:
    return {f"127.0.0.1:800{number}": f"127.0.0.1:{port}" for number, port in enumerate(ports)}


def _replaced(path: Path, changed: Mapping[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    for old, new in changed.items():
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new)
    return text


def _certificate(folder: Path) -> Path:
    """Key and certificate of localhost in one file, signed by itself."""
    path = folder / "localhost.pem"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2",
        "-keyout", "key.pem", "-out", "certificate.pem",
    ]  # fmt: skip
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except FileNotFoundError as error:
        raise LoadError("there is no openssl here to make a certificate: apt-get install openssl") from error
    path.write_text("".join((folder / name).read_text() for name in ("key.pem", "certificate.pem")))
    return path


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with open(folder / "log", "w+", encoding="utf-8") as log:
        child = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _wait(child, port, folder / "log")
            yield
        finally:
            child.terminate()
            child.wait(STOP_S)


def _wait(child: subprocess.Popen, port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), START_S).close()
            return
        except OSError:
            time.sleep(0.05)
    raise LoadError(f"the proxy does not start; it said: {log.read_text(encoding='utf-8')}")
