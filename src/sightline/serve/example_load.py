"""A client for a server that is profiled: `python -m sightline.serve.example_load`, a process of its own, so
that it takes no time of the server's.

Reads from stdin {"port" of this machine, "key" or null, "bodies": chat requests, taken in turn, "requests":
how many in all, "clients": how many at a time}. The server measures the answers.
"""

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

READY_S = 120.0  # until the server answers
ANSWER_S = 120.0


def main(plan: dict[str, Any]) -> None:
    """Raises TimeoutError for a server that does not get ready, OSError or HTTPException for one that does
    not answer."""
    headers = {"Content-Type": "application/json"}
    if plan["key"]:
        headers["Authorization"] = f"Bearer {plan['key']}"
    _wait(plan["port"])
    numbers = count()

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", plan["port"], timeout=ANSWER_S)
        while (number := next(numbers)) < plan["requests"]:
            body = plan["bodies"][number % len(plan["bodies"])]
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            connection.getresponse().read()
        connection.close()

    with ThreadPoolExecutor(plan["clients"]) as clients:
        list(clients.map(client, range(plan["clients"])))


def _wait(port: int) -> None:
    end = time.monotonic() + READY_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        try:
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError as error:
            if time.monotonic() > end:
                raise TimeoutError(f"no server on port {port}") from error
        finally:
            connection.close()
        time.sleep(0.05)


if __name__ == "__main__":
    main(json.load(sys.stdin))
