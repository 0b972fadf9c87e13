"""A real `mlflow server` on sqlite in a folder of the test, which can be stopped and started again."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

MODULES = ("mlflow", "sqlalchemy", "alembic", "flask")  # mlflow-skinny, the extra, brings no server
MISSING = [name for name in MODULES if importlib.util.find_spec(name) is None]
needs_server = pytest.mark.skipif(
    bool(MISSING), reason=f"an MLflow server: not installed: {', '.join(MISSING)} (pip install mlflow)"
)


class MlflowService:
    """`address` stays the same over stops and starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        store, artifacts = f"sqlite:///{self.folder / 'mlflow.db'}", str(self.folder / "artifacts")
        command = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--artifacts-destination",
            artifacts, "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
        ]  # fmt: skip
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True, env=environment()
            )
        limit = time.monotonic() + 120
        while not self._answers():
            said = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")
            assert self._process.poll() is None and time.monotonic() < limit, said[-3000:]
            time.sleep(0.2)

    @property
    def runs(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """End the server and its workers at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def environment() -> dict[str, str]:
    """Without the variables of another server, or of pytest, by which MLflow knows a test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_"))}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true"}
