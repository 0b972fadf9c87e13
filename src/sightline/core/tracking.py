"""Training curves, written by DVCLive."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Who else is told of each point, with the folder of its curves: the record of the stage that runs, if any.
listeners: list[Callable[[Path, int, dict[str, float]], None]] = []


class Curves:
    """Writes `<folder>/plots/metrics/<name>.tsv` and `<folder>/metrics.json`: the same bytes every run.

    `history` is what an earlier, killed run logged (DVC has wiped its files): rows of
    `{"step": int, name: float, ...}`, written again first. `self.history` grows with every `log`, so
    that a checkpoint can carry it. Construct only where the run `writes`.
    """

    def __init__(self, folder: Path, history: list[dict[str, Any]]):
        self._live, self._folder = _open(folder), Path(folder)
        self.history: list[dict[str, Any]] = []
        for row in history:
            self.log(row["step"], {name: value for name, value in row.items() if name != "step"})

    def log(self, step: int, values: dict[str, float]) -> None:
        """Append one point to each named curve. Raises ValueError for NaN or infinity."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"{name}: got {value} at step {step}, expected a finite number; lower lr")
        self._live.step = step
        for name, value in sorted(values.items()):
            self._live.log_metric(name, float(value))
        self._live.make_summary()
        self.history.append({"step": step, **values})
        for listen in listeners:
            listen(self._folder, step, values)

    def close(self) -> None:
        """Finish the files."""
        self._live.end()


def _open(folder: Path) -> Any:
    from dvclive import Live  # 1 s, which stages without curves need not pay

    class Files(Live):
        def _init_dvc(self) -> None:
            """Skip the search for git and DVC: it names experiments, and fails before the first commit."""

    return Files(str(folder), save_dvc_exp=False, dvcyaml=None, monitor_system=False, report=None)
