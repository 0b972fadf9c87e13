"""Runs the arms: every arm and seed is a scratch copy of the project in which the real DVC runs the stages
(`sightline_lab/ablations/workspaces.py`); seeds vary the pictures, the initialisation and the batches.

A stage that an earlier arm ran with the same params is counted at its cost there. Results stay in the
workspaces' folder until they are merged: an interrupted study continues, and one whose code or params
changed starts again.
"""

import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sightline.core.artifacts import read_json, write_json
from sightline_lab.ablations import arms as planning
from sightline_lab.ablations import cost_model
from sightline_lab.ablations.arms import DEFAULT, STAGES, Arm, Cost, Plan, StudyError
from sightline_lab.ablations.workspaces import SAME_IN_ALL, Echo, Workspaces, stage_costs

RESULT = Path("metrics") / "ablations.json"
FIGURES = "figures.json"  # what sightline_lab.ablations.evaluate_arm writes
CHANGES = "changes.json"  # of an unfinished copy


class Study(Workspaces):
    """One profile of one checkout, with its arms, code and params as they are now. arms: those of
    lab/ablations.yaml unless others are given; result: the file of the checkout that says what came out."""

    def __init__(self, checkout: Path, arms: dict[str, Arm] | None = None, result: Path = RESULT):
        self.arms = planning.read(checkout / "lab/ablations.yaml") if arms is None else arms
        self.result = result
        super().__init__(checkout)

    def epochs(self, scale: float) -> dict[str, float]:
        """By stage. Only the last is scaled: answers learned on a half-trained alignment stay a plateau, so a
        study that shortens both compares arms that have all learned nothing yet."""
        whole = {stage: getattr(self.params, stage).epochs for stage in STAGES}
        return whole | {STAGES[-1]: round(scale * whole[STAGES[-1]], 4)}

    def chosen(self, names: list[str]) -> dict[str, Arm]:
        """`default` and the named arms. Raises StudyError for a name that is none of them."""
        if unknown := sorted(set(names) - set(self.arms)):
            raise StudyError(f"no arm {', '.join(unknown)}; lab/ablations.yaml has {', '.join(self.arms)}")
        return {name: arm for name, arm in self.arms.items() if name in names or name == DEFAULT}

    def run(self, names: list[str], seeds: list[int], scale: float, jobs: int, echo: Echo) -> None:
        """Runs what is not finished of the named arms (`default` always), then writes the result.

        Raises StudyError naming the logs of arms that failed, after the others have ended.
        """
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is ended too
        chosen = self.chosen(names)
        names = list(chosen)
        costs = cost_model.costs(self, chosen, jobs, echo)
        costed = {
            name: arm
            for name, arm in self.arms.items()
            if set(planning.configurations({name: arm})) <= set(costs)
        }
        plans = planning.plan(costed, self.epochs(scale), costs)
        results = self.home / f"scale-{scale:g}"
        todo = [(n, s) for s in seeds for n in names if finished(results, n, s, plans[n]) is None]
        echo(f"{len(names) * len(seeds) - len(todo)} of {len(names) * len(seeds)} runs are finished")
        for name, seed in todo:  # all copies now: an edit of the checkout meanwhile changes none of them
            folder, changes = results / f"run-{name}-{seed}", plans[name].changes | {"seed": seed}
            if not (folder / CHANGES).exists() or read_json(folder / CHANGES) != changes:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                write_json(folder / CHANGES, changes)
            self.copy(folder, changes)
        first = {seed: name for name, seed in reversed(todo)}  # of every seed
        shared = planning.last_shared([plans[name].changes for name in names])
        with self.pool(jobs) as pool:  # what the arms of a seed share is made once
            making = [
                pool.submit(self._shared, results / f"run-{name}-{seed}", shared)
                for seed, name in first.items()
            ]
            for done in making:
                done.result()
        with self.pool(jobs) as pool:
            futures = {run: pool.submit(self._arm, results, *run, plans[run[0]], echo) for run in todo}
            errors = {run: future.exception() for run, future in futures.items()}
        failed = [f"{name}, seed {seed}: {error}" for (name, seed), error in errors.items() if error]
        if failed:
            raise StudyError("; ".join(failed) + "; the same command runs these again")
        self.merge(results, plans, seeds, scale, costs)

    def models(self, names: list[str], seeds: list[int], jobs: int, echo: Echo) -> dict[str, list[Path]]:
        """The answering models of the named arms, of every seed in order, each arm at the whole compute of
        `default`. Workspaces train those that the checkout lacks; trained models are kept."""
        arms = self.chosen(names)
        changes: dict[str, dict[str, Any]] = {DEFAULT: {}}
        if len(arms) > 1:
            epochs = self.epochs(1.0)
            plans = planning.plan(arms, epochs, cost_model.costs(self, arms, jobs, echo))
            # Only what differs is written: to DVC a stage with its epochs spelled out is another stage.
            whole = {f"{stage}.epochs": count for stage, count in epochs.items()}
            changes = {
                name: {key: value for key, value in plan.changes.items() if whole.get(key) != value}
                for name, plan in plans.items()
            }
        folders_by_arm = {name: [self.home / f"{name}-{seed}" for seed in seeds] for name in arms}
        if self.params.seed in seeds:
            folders_by_arm[DEFAULT][seeds.index(self.params.seed)] = self.checkout
        first: list[Path] = []  # a seed's first trains the stages that all of the seed share
        later: list[Path] = []
        for index, seed in enumerate(seeds):
            copies = {
                name: of_arm[index]
                for name, of_arm in folders_by_arm.items()
                if of_arm[index] != self.checkout
            }
            for name, folder in copies.items():
                self.copy(folder, changes[name] | {"seed": seed})
            folders = list(copies.values())
            first += folders[:1]
            later += folders[1:]
        echo(
            f"{len(first + later)} models of copies, trained where they are not yet; their logs are in "
            f"{self.home}/*/log.txt"
        )
        for folders in (first, later):
            with self.pool(jobs) as pool:
                for done in [pool.submit(self.call, ["dvc", "repro", STAGES[-1]], each) for each in folders]:
                    done.result()
        return {name: [each / "models" / "vlm" for each in of_arm] for name, of_arm in folders_by_arm.items()}

    def _arm(self, results: Path, name: str, seed: int, plan: Plan, echo: Echo) -> None:
        folder = results / f"run-{name}-{seed}"
        for stage in (*STAGES, "blind"):
            # A continued stage would count its last part alone: an interrupted one starts again.
            shutil.rmtree(folder / ".resume" / stage, ignore_errors=True)
        self.call(["dvc", "repro", STAGES[-1]], folder)
        self.call([sys.executable, "-m", "sightline_lab.ablations.evaluate_arm"], folder)
        result = {
            "arm": name,
            "seed": seed,
            "changes": plan.changes,
            "figures": read_json(folder / FIGURES),
            "core_seconds": self._achieved(folder),
        }
        write_json(results / f"{name}-{seed}.json", result)
        shutil.rmtree(folder)
        answers, spent = result["figures"]["answers"], sum(result["core_seconds"].values())
        echo(f"{name}, seed {seed}: answers {answers:.1f}, {spent:.0f} core-seconds")

    def _shared(self, folder: Path, stage: str) -> None:
        """Run the stages up to this one in a copy, for the others of its seed too."""
        self.call(["dvc", "repro", stage], folder)
        if stage in STAGES:
            self._keep_costs(folder)

    def _achieved(self, folder: Path) -> dict[str, float]:
        """Core-seconds by stage, of this copy or of the one that ran the same stage before it."""
        for stage, kept in self._keep_costs(folder).items():
            if not kept.exists():  # from a run that was no part of this study
                self.call(["dvc", "repro", "--force", "--single-item", stage], folder)
        return {stage: read_json(kept)["core_seconds"] for stage, kept in self._keep_costs(folder).items()}

    def _keep_costs(self, folder: Path) -> dict[str, Path]:
        """Where the cost of each stage is kept, by what the stage wrote; what this copy ran is kept now."""
        measured, places = stage_costs(folder), {}
        lock = YAML(typ="safe", pure=True).load((folder / "dvc.lock").read_text(encoding="utf-8"))
        for stage in STAGES:
            if stage not in lock["stages"]:
                continue
            outs = "-".join(out["md5"].split(".")[0][:12] for out in lock["stages"][stage]["outs"])
            places[stage] = self.home / "costs" / f"{stage}-{outs}.json"
            if stage in measured:
                places[stage].parent.mkdir(exist_ok=True)
                write_json(places[stage], measured[stage])
        return places

    def merge(
        self, results: Path, plans: dict[str, Plan], seeds: list[int], scale: float, costs: dict[str, Cost]
    ) -> None:
        """Writes the result: every arm that has all seeds, from this call or earlier ones."""
        arms = {}
        for name, plan in plans.items():
            runs = {str(seed): finished(results, name, seed, plan) for seed in seeds}
            if not all(runs.values()):
                continue
            arms[name] = {
                "why": self.arms[name].why,
                "changes": plan.changes,
                "planned_core_seconds": plan.core_seconds,
                "runs": {
                    seed: {key: run[key] for key in ("figures", "core_seconds")} for seed, run in runs.items()
                },
            }
        write_json(
            self.checkout / self.result,
            {
                "profile": self.params.profile,
                "scale": scale,
                "seeds": seeds,
                "pictures": SAME_IN_ALL["evaluate.max_items"],
                "calibration": {name: asdict(cost) for name, cost in costs.items()},
                "arms": arms,
            },
        )


def finished(results: Path, name: str, seed: int, plan: Plan) -> dict[str, Any] | None:
    """The kept result of an arm and seed, if it was run with this very plan."""
    path = results / f"{name}-{seed}.json"
    kept = read_json(path) if path.exists() else None
    return kept if kept and kept["changes"] == plan.changes else None
