"""From trials to experiments of DVC's queue and back, until as many as wanted have ended.

All that is known lies in the study and in DVC, so a search can be stopped at any moment, also by kill -9: the
experiments under way go on, and the same command takes up what has become of them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from optuna.trial import FrozenTrial

from sightline.cli.tuning import experiment_queue, tuning_page, val_figures
from sightline.cli.tuning.experiment_queue import Experiment
from sightline.cli.tuning.search_space import Space
from sightline.cli.tuning.trials import PRUNED, State, Trials, TuneError
from sightline.core.params.checks import ParamsError

LOOK_S = 0.5  # between two looks at the curves, which are small files
FIRST_WAIT_S = 2.0  # before `dvc exp show` is asked again, which takes a second of a processor
LAST_WAIT_S = 30.0  # it doubles up to this
LOST_S = 60.0  # a process that ended so long ago, and DVC still calls it running: its worker is gone
FAILED_FIRST = 3  # trials: when all of them failed, so would the others


@dataclass
class Tuning:
    """A search in the checkout `here`. `commit`: where its experiments start; `say` prints a line."""

    here: Path
    commit: str
    space: Space
    figure: val_figures.Figure
    trials: Trials
    jobs: int
    prune: bool
    say: Callable[[str], None]
    _missing: set[int] = field(default_factory=set)  # trials that DVC did not know when it was asked last
    _failed: set[int] = field(default_factory=set)  # trials that it called failed then
    _ended: dict[int, float] = field(default_factory=dict)  # whose process has ended: since when
    _wait: float = FIRST_WAIT_S

    def run(self, wanted: int) -> None:
        """Until `wanted` trials, with those of earlier runs, have ended. Raises TuneError, QueueError."""
        if taken_up := len(self.trials.all()):
            self.say(f"{taken_up} of {wanted} trials were begun earlier, {len(self.trials.open())} are open")
        shown = experiment_queue.experiments(self.here)
        names = {self.trials.experiment(trial) for trial in self.trials.all()}
        others = [name for name, each in shown.items() if each.state == "queued" and name not in names]
        if others:
            self.say(f"{len(others)} other experiments are queued here ({others[0]}, ...): they are run too")
        while True:
            self._settle(shown)
            self._fill(wanted)
            if not self.trials.open():
                return
            self._watch(shown)
            shown = experiment_queue.experiments(self.here)

    def _settle(self, shown: dict[str, Experiment]) -> None:
        """Take up what has become of the experiments of the open trials. A worker that found the queue empty
        ends, and may do so while another experiment arrives: then it is started again."""
        waiting = False
        for trial in self.trials.open():
            experiment = shown.get(self.trials.experiment(trial))
            if experiment is None:
                self._look_for(trial)
            else:
                self._missing.discard(trial.number)
                self._take_up(trial, experiment)
            waiting |= experiment is None or experiment.state == "queued"
        if waiting:
            experiment_queue.start(self.here, self.jobs)

    def _take_up(self, trial: FrozenTrial, experiment: Experiment) -> None:
        """A failure counts when DVC says it twice: for a moment it takes one that just ended for failed."""
        if experiment.state == "success":
            self._finish(trial, experiment)
        elif experiment.state == "failed" and trial.number not in self._failed:
            self._failed.add(trial.number)
        elif experiment.was_killed and self.trials.may_run_again(trial):
            self._run_again(trial)
        elif experiment.state == "failed":
            self._fail(trial, experiment)
        elif experiment.state == "running" and experiment.pid is not None and not experiment.is_alive:
            self._look_after(trial)

    def _fill(self, wanted: int) -> None:
        added = False
        while len(self.trials.open()) < self.jobs and len(self.trials.all()) < wanted:
            self._stop_when_all_fail()
            self._enqueue(self.trials.ask())
            added = True
        if added:
            self._wait = FIRST_WAIT_S
            experiment_queue.start(self.here, self.jobs)

    def _enqueue(self, trial: FrozenTrial) -> None:
        commit = experiment_queue.head(self.here)
        if commit != self.commit:
            raise TuneError(
                f"HEAD moved from {self.commit[:7]} to {commit[:7]} while the search ran, and trials from "
                f"different commits cannot be compared: git checkout {self.commit[:7]}, then the same command"
            )
        trial = self.trials.completed(trial)
        try:
            self.space.check(trial.params, self.here / "params.yaml")
        except ParamsError as error:
            self._tell(trial, State.FAIL, why=str(error))
            return
        settings = self.space.settings(trial.params)
        experiment_queue.enqueue(self.here, self.trials.experiment(trial), settings, self.figure.stage)

    def _finish(self, trial: FrozenTrial, experiment: Experiment) -> None:
        values = experiment_queue.curve(self.here, experiment.revision, self.figure)
        if not values:
            raise TuneError(f"{self.trials.experiment(trial)} ended with an empty curve of {self.figure}")
        self.trials.report(trial, values, prune=False)
        self._tell(trial, State.COMPLETE, values[-1])

    def _fail(self, trial: FrozenTrial, experiment: Experiment) -> None:
        if PRUNED in trial.user_attrs:
            self._tell(trial, State.PRUNED)
            return
        log = experiment.log.read_text(encoding="utf-8", errors="replace") if experiment.log else ""
        last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
        self._tell(trial, State.FAIL, why=last)

    def _look_for(self, trial: FrozenTrial) -> None:
        """One that was asked for and never queued, or was taken out of the queue, is queued now; DVC has to
        miss it twice, since it sees none that a worker is just taking up."""
        if trial.number in self._missing:
            self._enqueue(trial)
        self._missing ^= {trial.number}

    def _look_after(self, trial: FrozenTrial) -> None:
        """One that DVC calls running and whose process is gone: where that lasts, its worker is gone too, as
        after the end of the machine."""
        since = self._ended.setdefault(trial.number, time.monotonic())
        if time.monotonic() - since < LOST_S:
            return
        del self._ended[trial.number]
        experiment_queue.kill(self.here, self.trials.experiment(trial))  # marks it as failed
        if PRUNED in trial.user_attrs:
            self._tell(trial, State.PRUNED)
        else:
            self._run_again(trial)

    def _run_again(self, trial: FrozenTrial) -> None:
        """With the same values; its stage goes on from its last checkpoint."""
        self._failed.discard(trial.number)
        name = self.trials.experiment(trial)
        experiment_queue.remove(self.here, name)
        self.trials.mark_again(trial)
        self.say(f"{name} was cut off: queued again")
        self._enqueue(trial)
        experiment_queue.start(self.here, self.jobs)

    def _tell(self, trial: FrozenTrial, state: State, value: float | None = None, why: str = "") -> None:
        self.trials.tell(trial, state, value, why)
        self._wait = FIRST_WAIT_S
        told = self.trials.all()[trial.number]
        self.say(tuning_page.line(self.trials, told, self.figure))
        tuning_page.write(self.here, self.trials, self.figure)

    def _stop_when_all_fail(self) -> None:
        ended = [trial for trial in self.trials.all() if trial.state != State.RUNNING]
        if len(ended) >= FAILED_FIRST and all(trial.state == State.FAIL for trial in ended):
            last = self.trials.experiment(ended[-1])
            raise TuneError(
                f"all of the first {len(ended)} experiments failed, so nothing more was queued: see "
                f"`dvc queue logs {last}`; mend and commit it, then search with another --name"
            )

    def _watch(self, shown: dict[str, Experiment]) -> None:
        """Until it is time to ask DVC again: an experiment ended or was pruned, or one is yet to begin."""
        pairs = [(trial, shown.get(self.trials.experiment(trial))) for trial in self.trials.open()]
        running = [(trial, each) for trial, each in pairs if each and each.is_alive]
        until = time.monotonic() + (LAST_WAIT_S if len(running) == len(pairs) else self._wait)
        if len(running) < len(pairs):
            self._wait = min(2 * self._wait, LAST_WAIT_S)
        while time.monotonic() < until:
            time.sleep(LOOK_S)
            for trial, experiment in running:
                if not experiment.is_alive or self._pruned(trial, experiment):
                    return

    def _pruned(self, trial: FrozenTrial, experiment: Experiment) -> bool:
        """Report the curve so far of a running experiment, and end it where it is weak; the last evaluation
        prunes none, since there is nothing left to save."""
        trial = self.trials.all()[trial.number]
        if PRUNED not in trial.user_attrs:
            values = val_figures.running(self.figure, experiment.workspace) if experiment.workspace else []
            if len(values) == len(trial.intermediate_values):
                return False
            params = self.space.check(trial.params, self.here / "params.yaml")
            early = len(values) < getattr(params, self.figure.stage).evals
            if not self.trials.report(trial, values, self.prune and early):
                return False
            self.trials.mark_pruned(trial)
        experiment_queue.kill(self.here, self.trials.experiment(trial))
        return True
