"""A real server whose model runs under ONNX Runtime's profiler: how long requests wait for a preparer, for
their batch and for the model, and what the model does meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.profile_page import Profile, Table
from sightline.core.trace_events import Event, Recorder
from sightline.data import images
from sightline.inference.onnx_engine import OnnxEngine
from sightline.inference.session_profile import REQUEST, SessionProfiler
from sightline.search import examples
from sightline.search.item_index import ItemIndex
from sightline.serve import server
from sightline.serve.api import create_app
from sightline.serve.batch_model import NAME, Model
from sightline.serve.batcher import Ticket, Worker
from sightline.serve.deploy.deployment import Deployment
from sightline.serve.prometheus import Metrics

LOOPBACK, READY = "127.0.0.1", "/ready"  # which the client asks for until the server is there
WAITS = ("waits until its picture's turn comes", "its picture is decoded and prepared",
         "waits for the model and for others to share its batch", "its batch is in the model")  # fmt: skip
SEARCH = (ItemIndex, "search", "search")
Row = tuple[str | float | int | None, ...]


@dataclass
class Way:
    """A request's row on its way to the model; moments in seconds of `time.perf_counter`."""

    came: float
    begun: float | None = None  # its preparation, where it needs one
    ready: float | None = None
    taken: float | None = None  # into a batch
    done: float | None = None

    def parts(self) -> list[tuple[str, float, float]]:
        """(one of WAITS, from, to); a text, which needs no preparation, has the last two alone."""
        came, ready = (None, self.came) if self.begun is None else (self.came, self.ready)
        moments = (came, self.begun, ready, self.taken, self.done)
        return [
            (name, start, end) for name, start, end in zip(WAITS, moments, moments[1:], strict=False)
            if start is not None and end is not None
        ]  # fmt: skip


class ServerWatch:
    """What the server does while `watching`: the ways of its rows, the sizes of its batches, its answers by
    (route, status), in seconds."""

    def __init__(self, recorder: Recorder) -> None:
        self.ways: list[Way] = []
        self.batches: Counter[int] = Counter()
        self.answers: dict[tuple[str, int], list[float]] = {}
        self._recorder = recorder
        self._waiting: dict[Ticket, Way] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        put, serve, answered = Worker.put, Worker._serve, Metrics.answered

        def watched_put(worker: Worker, ticket: Ticket) -> Ticket:
            way = self._waiting[ticket] = Way(time.perf_counter())
            if ticket.prepare is not None:
                ticket.prepare = self._prepared(ticket.prepare, way)
            return put(worker, ticket)

        def watched_serve(worker: Worker, batch: list[Ticket]) -> None:
            ways = [self._waiting.pop(ticket) for ticket in batch]
            taken = time.perf_counter()
            with self._recorder.span(f"batch of {len(batch)}", REQUEST):
                serve(worker, batch)
            for way in ways:
                way.taken, way.done = taken, time.perf_counter()
            self.ways += ways
            self.batches[len(batch)] += 1

        def watched_answered(metrics: Metrics, route: str, status: int, seconds: float) -> None:
            self.answers.setdefault((route, status), []).append(seconds)
            answered(metrics, route, status, seconds)

        replaced: Any = ((Worker, "put", watched_put), (Worker, "_serve", watched_serve),
                         (Metrics, "answered", watched_answered))  # fmt: skip
        for owner, name, call in replaced:
            setattr(owner, name, call)
        try:
            yield
        finally:
            for (owner, name, _), call in zip(replaced, (put, serve, answered), strict=True):
                setattr(owner, name, call)

    def _prepared(self, prepare: Any, way: Way) -> Any:
        def prepared() -> Any:
            way.begun = time.perf_counter()
            with self._recorder.span("preparing a request", REQUEST):
                row = prepare()
            way.ready = time.perf_counter()
            return row

        return prepared

    def events(self) -> list[Event]:
        """The way of every row, as a track of its own in the trace."""
        process = os.getpid()
        return [
            {"ph": ph, "cat": "way of a row", "id": number, "name": name, "pid": process, "tid": process,
             "ts": seconds * 1e6}
            for number, way in enumerate(self.ways)
            for name, start, end in way.parts()
            for ph, seconds in (("b", start), ("e", end))
        ]  # fmt: skip

    def tables(self, batch: int) -> list[Table]:
        head = ("", "times", "mean, ms", "median, ms", "95 %, ms")
        requests = [
            spread(f"{route}: {status}", seconds) for (route, status), seconds in sorted(self.answers.items())
        ]
        parts = [part for way in self.ways for part in way.parts()]
        rows = [spread(wait, [end - start for name, start, end in parts if name == wait]) for wait in WAITS]
        sizes: list[Row] = [
            (f"{size} of {batch}", number, size * number) for size, number in sorted(self.batches.items())
        ]
        return [
            Table("Requests", "From request to answer, as the server measures it.", head, requests),
            Table("The way of a row", "Of every picture and text that went to the model.", head, rows),
            Table("Batches", "A batch costs about the same whatever it holds.",
                  ("rows in the batch", "batches", "rows in all"), sizes),
        ]  # fmt: skip


def spread(name: str, seconds: Sequence[float]) -> Row:
    if not seconds:
        return name, 0, None, None, None
    ms = 1e3 * np.array(seconds)
    return name, len(ms), float(ms.mean()), float(np.median(ms)), float(np.percentile(ms, 95))


@dataclass(frozen=True)
class Load:
    """The requests that a client of ours sends, `clients` at a time; none for 0: others send them."""

    requests: int
    clients: int


def run(bundle: Path, deployment: Deployment, keys: Sequence[str], load: Load) -> tuple[Profile, list[Event]]:
    """Serve until the load is answered, or until a signal where there is none, and say what was measured.

    Raises ValueError for a bundle without example pictures to ask about, and where no request was answered.
    """
    index = Path(deployment.index) if deployment.index else None
    model = Model.load(bundle, deployment.limits.batch, index, deployment.workers.model_threads)
    engine = model.session.engine
    assert isinstance(engine, OnnxEngine)
    plan = _plan(bundle, load, keys)
    if load.requests:
        quiet = deployment.log.replaced(level="warning")
        deployment = deployment.replaced(host=LOOPBACK, port=free_port(), log=quiet)
    profiler = SessionProfiler()
    watch = ServerWatch(profiler.recorder)
    with profiler.recording(engine, [SEARCH]), watch.watching():
        app = create_app(model, deployment, keys)
        with _Client(plan | {"port": deployment.port}) if load.requests else nullcontext():
            server.serve(app, deployment)
    if not watch.ways:
        raise ValueError("no request reached the model, so nothing was measured")
    number = sum(len(each) for (route, _), each in watch.answers.items() if route != READY)
    what = f"serve: {number} requests"
    facts = {
        "model threads": str(deployment.workers.model_threads),
        "decoders": str(deployment.workers.decoders),
    }
    tables = watch.tables(deployment.limits.batch)
    return profiler.profile(what, tables, facts), profiler.events + watch.events()


class _Client:
    """example_load in a process of its own. When it ends, this process gets SIGTERM, which ends the server;
    where the server ends first, it is ended. What goes wrong in it is on stderr."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan, self._over = json.dumps(plan), False

    def __enter__(self) -> None:
        command = [sys.executable, "-m", "sightline.serve.example_load"]
        # In a session of its own: Ctrl-C is for the server, which then ends it.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        self._thread = threading.Thread(target=self._run, name="client", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._process.communicate(self._plan)
        if not self._over:
            os.kill(os.getpid(), signal.SIGTERM)

    def __exit__(self, *error: object) -> None:
        self._over = True
        self._process.terminate()
        self._thread.join()


def _plan(bundle: Path, load: Load, keys: Sequence[str]) -> dict[str, Any]:
    bodies = [
        _body(images.data_url(path.read_bytes(), "png"), question)
        for path, example in examples.read(bundle)
        for question in example.questions
    ]
    if load.requests and not bodies:
        raise ValueError(
            f"{bundle} ships no example pictures to ask about: give --requests 0 and send requests yourself"
        )
    return {"key": keys[0] if keys else None, "bodies": bodies, "requests": load.requests,
            "clients": load.clients}  # fmt: skip


def _body(picture: str, question: str) -> dict[str, Any]:
    content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": picture}}]
    return {"model": NAME, "messages": [{"role": "user", "content": content}]}


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as free:
        return free.getsockname()[1]
