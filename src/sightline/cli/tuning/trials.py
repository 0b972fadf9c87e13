"""The trials of a search, on disk from the moment they are asked for: an Optuna study in .tune/<name>.db.

A trial is open (Optuna's RUNNING) until its experiment has ended. What is drawn for it is a function of the
seed, its number and the trials before it, so a search in two sittings draws what one without a break draws.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL

from sightline.cli.tuning.search_space import Choice, Space

FOLDER = ".tune"
COMPARED = 3  # finished trials, before one is held against their median
MOST_AGAIN = 5  # times that the experiment of a trial is queued again
DEFINITION, PRUNED, REASON, AGAIN = "definition", "pruned", "reason", "again"  # user attributes

State = TrialState


class TuneError(ValueError):
    """A search that cannot go on; the message says why and what to do."""


@contextmanager
def opened(here: Path, name: str, space: Space, seed: int, definition: dict[str, Any]) -> Iterator["Trials"]:
    """The search of this name, new or taken up again. Raises TuneError where another process is at work on
    it, or where it was begun with another definition."""
    folder = here / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            yield Trials(folder / f"{name}.db", name, space, seed, definition)
    except Timeout:
        raise TuneError(
            f"another `sightline tune` is at work on {name!r}: wait, or give another --name"
        ) from None


class Trials:
    """Optuna's study with what its trials are here: experiments named NAME-NUMBER."""

    def __init__(self, path: Path, name: str, space: Space, seed: int, definition: dict[str, Any]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        address = URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
        self.name, self.space, self.seed = name, space, seed
        self._study = optuna.create_study(
            storage=address, study_name=name, direction="maximize", load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=COMPARED),
        )  # fmt: skip
        self._check(path, definition)

    def _check(self, path: Path, definition: dict[str, Any]) -> None:
        begun = self._study.user_attrs.get(DEFINITION)
        if begun is None:
            self._study.set_user_attr(DEFINITION, definition)
            return
        for key, value in json.loads(json.dumps(definition)).items():
            if begun[key] != value:
                raise TuneError(
                    f"the search {self.name!r} was begun with another {key}: {_shown(begun[key])}, now "
                    f"{_shown(value)}; give another --name, or take that {key} again "
                    f"({path} holds the search)"
                )

    def all(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def open(self) -> list[FrozenTrial]:
        return [trial for trial in self.all() if trial.state == State.RUNNING]

    def best(self) -> FrozenTrial | None:
        """The finished trial of the highest value, of equals the first."""
        finished = [trial for trial in self.all() if trial.state == State.COMPLETE]
        return max(finished, key=lambda trial: (trial.value, -trial.number), default=None)

    def experiment(self, trial: FrozenTrial) -> str:
        return f"{self.name}-{trial.number}"

    def ask(self) -> FrozenTrial:
        """A new open trial with its values."""
        number = len(self.all())
        self._seed_sampler(number)
        self._study.ask()
        return self.completed(self.all()[number])

    def completed(self, frozen: FrozenTrial) -> FrozenTrial:
        """An open trial with all its values: of one that was cut off while it was asked for, the rest too."""
        if len(frozen.params) < len(self.space.searched):
            self._seed_sampler(frozen.number)
            trial = self._handle(frozen)
            for key, part in self.space.searched.items():
                if isinstance(part, Choice):
                    trial.suggest_categorical(key, part.typed)
                elif part.whole:
                    low, high, step = int(part.low), int(part.high), int(part.step or 1)
                    trial.suggest_int(key, low, high, step=step, log=part.log)
                else:
                    trial.suggest_float(key, part.low, part.high, step=part.step, log=part.log)
        return self.all()[frozen.number]

    def report(self, frozen: FrozenTrial, values: list[float], prune: bool) -> bool:
        """Note the values by evaluation; with `prune`, whether the newest is below the median of the finished
        trials at the same evaluation."""
        trial = self._handle(frozen)
        for number in range(len(frozen.intermediate_values), len(values)):
            trial.report(values[number], number + 1)
        return prune and bool(values) and trial.should_prune()

    def mark_pruned(self, frozen: FrozenTrial) -> None:
        """Noted before its experiment is ended, so that this is never taken for a failure."""
        self._handle(frozen).set_user_attr(PRUNED, True)

    def may_run_again(self, frozen: FrozenTrial) -> bool:
        """Whether a trial whose experiment was cut off is tried once more."""
        return PRUNED not in frozen.user_attrs and frozen.user_attrs.get(AGAIN, 0) < MOST_AGAIN

    def mark_again(self, frozen: FrozenTrial) -> None:
        self._handle(frozen).set_user_attr(AGAIN, frozen.user_attrs.get(AGAIN, 0) + 1)

    def tell(self, frozen: FrozenTrial, state: TrialState, value: float | None = None, why: str = "") -> None:
        """The end of a trial."""
        if why:
            self._handle(frozen).set_user_attr(REASON, why)
        self._study.tell(frozen.number, value, state)

    def _handle(self, frozen: FrozenTrial) -> Trial:
        return Trial(self._study, frozen._trial_id)

    def _seed_sampler(self, number: int) -> None:
        """A run that is taken up again draws what one without a break would have drawn."""
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)
