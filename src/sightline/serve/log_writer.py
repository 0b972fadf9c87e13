"""Whatever the server has to say, written by a thread: where nobody reads the log, the server goes on."""

import io
import os
import threading
from collections.abc import Callable

HELD = 1 << 20  # characters that wait to be written at most
WRITE_S = 0.1  # many lines are written in one go: a write for each would hold up what computes meanwhile
END_S = 1.0  # for the last lines, when the server ends


class LogWriter(io.TextIOBase):
    """A text stream to a file descriptor that never waits for whoever reads that. What does not fit is
    dropped; `dropped` is called for each such text, and the next that is written says how many there were."""

    def __init__(self, descriptor: int, dropped: Callable[[], None]) -> None:
        super().__init__()
        self._descriptor, self._dropped = descriptor, dropped
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
            fits = self._held + len(text) <= HELD
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
            text += f"{lost} lines of the log were dropped: nobody read them in time\n"
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while left:  # not through sys.stderr, whose lock would be held while this waits
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            pass  # the reader is gone: there is nobody to tell
        with self._lock:
            self._held = sum(map(len, self._texts))
