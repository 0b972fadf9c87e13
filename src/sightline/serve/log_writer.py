"""Whatever the server has to say, written by a thread: where nobody reads the log, the server goes on. As
text, or as JSON for programs.
"""

import io
import json
import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime

TEXT = "%(asctime)s %(message)s"
WRITE_S = 0.1  # many lines are written in one go: a write for each would hold up what computes meanwhile
END_S = 1.0  # for the last lines, when the server ends


class LogWriter(io.TextIOBase):
    """A text stream to a file descriptor that never waits for whoever reads that. It holds at most `held`
    characters. What does not fit is dropped; `dropped` is called for each such text, and the next that is
    written says how many there were, as `line` makes a line of words."""

    def __init__(
        self, descriptor: int, dropped: Callable[[], None], held: int, line: Callable[[str], str]
    ) -> None:
        super().__init__()
        self._descriptor, self._dropped, self._most, self._line = descriptor, dropped, held, line
        self._lock, self._over = threading.Lock(), threading.Event()
        self._texts: list[str] = []
        self._held = self._lost = 0
        # A daemon, as one that waits for a reader must not keep the process.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            fits = self._held + len(text) <= self._most
            if fits:
                self._texts.append(text)
                self._held += len(text)
            else:
                self._lost += 1
        if not fits:
            self._dropped()
        return len(text)

    def close(self) -> None:
        """Write what waits, or give up after a second."""
        self._over.set()
        self._thread.join(END_S)
        super().close()

    def _run(self) -> None:
        while not self._over.wait(WRITE_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            text, lost = "".join(self._texts), self._lost
            self._texts.clear()
            self._lost = 0
        if lost:
            text += self._line(f"{lost} lines of the log were dropped: nobody read them in time") + "\n"
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while left:  # not through sys.stderr, whose lock would be held while this waits
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            pass  # the reader is gone: there is nobody to tell
        with self._lock:
            self._held = sum(map(len, self._texts))


class JsonLines(logging.Formatter):
    """A record as one JSON object: time (UTC), level, logger, message; of a request also method, route,
    status, bytes and ms; of an error its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": when, "level": record.levelname.lower(), "logger": record.name,
            "message": record.getMessage(), **getattr(record, "request", {}),
        }  # fmt: skip
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def json_line(text: str) -> str:
    """What the server itself says, as a line of a log in JSON."""
    return JsonLines().format(
        logging.makeLogRecord({"name": "sightline.serve", "levelname": "INFO", "msg": text})
    )


class Printed(io.TextIOBase):
    """A text stream for what packages print: each line becomes a record of the logger `print`."""

    def __init__(self) -> None:
        super().__init__()
        self._lock, self._begun = threading.Lock(), ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            logging.getLogger("print").warning("%s", line)
        return len(text)
