"""The outbox as event files, which `tensorboard --logdir` reads: a folder a stage of each run of DVC."""

import re
from pathlib import Path
from typing import Any

from sightline.core.tracking_outbox import RunRecord
from sightline.share.tracking_sender import Attempt


class TensorBoardEvents:
    """Writes below `folder`. A stage that runs again in the same run of DVC replaces its curves: what an
    interrupted training had logged is logged anew when it goes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tuple[Any, int]] = {}  # by the attempt's key: its writer, the bytes it has

    def send(self, attempt: Attempt) -> None:
        writer: Any
        writer, offset = self._open.get(attempt.key) or (None, 0)
        points, offset = attempt.points(offset)
        if points and writer is None:
            writer = _writer(self._folder / _name(attempt.run.name) / attempt.begin.stage)
        for point in points:
            for name, value in point["values"].items():
                writer.add_event(_event(name, value, point["step"], point["time"] / 1000))
        if writer is not None:
            writer.flush()
            self._open[attempt.key] = writer, offset
        if attempt.is_over and writer is not None:
            self._open.pop(attempt.key)[0].close()

    def finish(self, run: RunRecord, stages: dict[str, dict[str, str]]) -> None:
        """Nothing is left to do: files have no end."""


def _writer(folder: Path) -> Any:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for earlier in folder.glob("events.out.tfevents.*"):
        earlier.unlink()
    return EventFileWriter(str(folder))


def _event(name: str, value: float, step: int, seconds: float) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
    return Event(wall_time=seconds, step=step, summary=summary)


def _name(run: str) -> str:
    """The name of a run as that of a folder."""
    return re.sub(r"[^\w.-]+", "_", run)
