"""A call in a child process: what it returned, what it raised, or how the process ended; nothing of it stays.

The child is a fork, so it starts in milliseconds; what it imports, opens or breaks ends with it.
"""

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

WAIT_S = 60


def call(function: Callable[[], Any], wait_s: int = WAIT_S) -> dict[str, Any]:
    """{"value": what `function` returned, as JSON}, {"error": class, "message", "where"}, or {"ended": how}
    for a process that gave no answer: by which signal; SIGALRM after `wait_s` seconds."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(wait_s)
            with os.fdopen(write, "w") as pipe:
                json.dump(_told(function), pipe)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return {"ended": signal.Signals(os.WTERMSIG(status)).name}
    return json.loads(said) if said else {"ended": "without an answer"}


def _told(function: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": function()}
    except BaseException as error:  # the panic of a Rust library is no Exception
        where = traceback.extract_tb(error.__traceback__)[-1]
        expected = isinstance(error, (ValueError, OSError))
        return {
            "error": type(error).__name__, "expected": expected, "message": str(error),
            "where": f"{where.filename.rsplit('/', 2)[-1]}:{where.lineno}",
        }  # fmt: skip
