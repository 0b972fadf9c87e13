"""Two servers behind nginx, set up by deploy/nginx/sightline.conf, replaced one after the other again and
again while clients ask: what each request came to.
"""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from sightline.core import packaged_project
from sightline_lab.load_test import load_client, local_proxy, server_process

SITE = "deploy/nginx/sightline.conf"
SETTINGS = f"""# What the proxy's file asks for; the page, which takes seconds to make, is none of this.
extends: dev
page: false
root_path: {local_proxy.ROOT_PATH}
proxies: [127.0.0.1]
"""
CODE = "import sys; from sightline.cli.main import main; sys.argv[0] = 'sightline'; main()"


def measure(bundle: Path, asked: Sequence[bytes], requests: int, replacements: int, clients: int) -> dict:
    """Ask what is `asked`, below the proxy's root path, until there were at least so many requests and
    replacements of a server.

    `lost` counts the requests without a whole answer 200; `asked_again` those that nginx took to the second
    server, because the first one was stopping or gone.
    """
    enough, replaced = threading.Event(), 0
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        (folder / "rolling.yaml").write_text(SETTINGS, encoding="utf-8")
        ports = server_process.free_port(), server_process.free_port()
        running = [stack.enter_context(ExitStack()) for _ in ports]
        for slot, port in zip(running, ports, strict=True):
            slot.enter_context(_server(bundle, folder, port))
        site = packaged_project.folder() / SITE
        address = stack.enter_context(local_proxy.nginx(site, ports, folder / "nginx"))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        stack.callback(enough.set)  # where a server does not start again, the clients end, too
        asking = pool.submit(
            load_client.until, address, asked, clients,
            lambda count: enough.is_set() and count >= (requests if replaced >= replacements else 0),
        )  # fmt: skip
        while not asking.done():
            slot, port = running[replaced % 2], ports[replaced % 2]
            slot.close()  # SIGTERM; it ends once everybody inside is answered
            slot.enter_context(_server(bundle, folder, port))
            replaced += 1
            if replaced >= replacements:
                enough.set()
        load = asking.result()
        tries = (folder / "nginx" / local_proxy.TRIES).read_text(encoding="utf-8").splitlines()
    statuses = Counter(load.statuses)
    return {
        "requests": len(load.statuses), "lost": len(load.statuses) - statuses[200],
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "replaced": replaced, "asked_again": sum("," in line for line in tries), "clients": clients,
    }  # fmt: skip


def _server(bundle: Path, folder: Path, port: int) -> AbstractContextManager:
    command = ["-c", CODE, "serve", "--bundle", bundle, "--env", folder / "rolling.yaml"]
    return server_process.server(command, None, "/ready", port)
