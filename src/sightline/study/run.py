"""Runs the arms: every arm and seed is a scratch copy of the project in which the real DVC runs the stages.

All copies share the DVC cache of the checkout: pictures are rendered once a seed, and a stage that an
earlier arm ran with the same params is taken from there, counted with what it cost there. A copy trains in
one process (`launch: python`), so that two arms can run at once on two cores; its seed draws pictures,
initialisation and batches, so the spread over seeds holds all three.

Everything lies in `.study/<profile>-<digest of code and params>/` until it is merged, so an interrupted study
continues, and one whose code or params changed starts anew.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from ruamel.yaml import YAML

from sightline import project
from sightline.artifacts import read_json, write_json
from sightline.params.loader import Params, load_params
from sightline.study import arms as planning
from sightline.study.arms import DEFAULT, STAGES, Cost, Plan, StudyError

Say = Callable[[str], None]
FOLDER = ".study"
RESULT = Path("metrics") / "ablations.json"
FIGURES = "figures.json"  # what sightline.study.measure writes
CHANGES = "changes.json"  # of an unfinished copy
SAME_IN_ALL = {
    "launch": "python",
    "finetune.blind_share": 1e-6,  # the blind baseline is no part of the question: one step of it
    "evaluate.max_items": 400,  # pictures of val: seeds differ by more than these 400 from all of them
}
NEVER = {"pretrain.epochs": 0, "align.epochs": 0, "finetune.aligned_start": False}
SHARES = (0.02, 0.08)  # of the profile's epochs: the two runs whose difference is the cost of an epoch
SIGNAL_S = 3.0  # core-seconds by which they must differ, else the longer one is made four times as long


class Study:
    """One profile of one checkout, with its code and params as they are now."""

    def __init__(self, checkout: Path):
        self.checkout = checkout
        self.running: set[subprocess.Popen] = set()
        self.starting, self.stopped = Lock(), False
        self.arms = planning.read(checkout / "ablations.yaml")
        self.params = load_params(checkout / "params.yaml")
        self.home = checkout / FOLDER / f"{self.params.profile}-{digest(checkout, self.params)}"
        self.cache = Path(_output(["dvc", "cache", "dir"], checkout).strip().splitlines()[-1])

    def epochs(self, scale: float) -> dict[str, float]:
        """By stage. Only the last is scaled: answers learned on a half-trained alignment stay a plateau, so a
        study that shortens both compares arms that have all learned nothing yet."""
        whole = {stage: self.params.sections[stage].epochs for stage in STAGES}
        return whole | {STAGES[-1]: round(scale * whole[STAGES[-1]], 4)}

    def copy(self, folder: Path, changes: dict[str, Any]) -> None:
        """The project at `folder` with `changes`, on the checkout's DVC cache. Raises for wrong params."""
        project.copy(self.checkout, folder, self.params.profile)
        with (folder / ".dvc" / "config.local").open("a", encoding="utf-8") as file:
            file.write(f"[cache]\n    dir = {self.cache}\n    type = reflink,hardlink,copy\n")
        change(folder / "params.yaml", SAME_IN_ALL | changes)

    def costs(self, names: Iterable[str], jobs: int, say: Say) -> dict[str, Cost]:
        """Cost of every configuration that the named arms run; what was measured before is kept."""
        kept = self.home / "calibration.json"
        measured = read_json(kept) if kept.exists() else {}
        chosen = {name: self.arms[name] for name in (DEFAULT, *names)}
        missing = [name for name in planning.configurations(chosen) if name not in measured]
        if missing:
            say(f"measuring what an epoch costs, {len(missing)} configurations")
            base = self.home / "calibration"
            self.copy(base, NEVER | {"seed": self.params.seed})
            self._call(["dvc", "repro", "align"], base)  # models that the stages can start from
            with self._pool(jobs) as pool:
                for name, cost in zip(missing, pool.map(self._cost, missing), strict=True):
                    measured[name] = asdict(cost)
                    write_json(kept, measured)
                    say(f"  {name}: {cost.fixed:.1f} core-seconds and {cost.per_epoch:.1f} an epoch")
            shutil.rmtree(base)
        return {name: Cost(**cost) for name, cost in measured.items()}

    def _cost(self, name: str) -> Cost:
        """Two short runs of a configuration's stage; one where it does not train."""
        stage, own = name.split(" ", 1)
        changes, whole = json.loads(own), self.params.sections[name.split(" ", 1)[0]].epochs
        if f"{stage}.epochs" in changes:
            return Cost(round(self._seconds(stage, changes), 2), 0.0)
        low, high = (share * whole for share in SHARES)
        short, long = (self._seconds(stage, changes | {f"{stage}.epochs": e}) for e in (low, high))
        while long - short < SIGNAL_S and high < whole:
            high = min(4 * high, whole)
            long = self._seconds(stage, changes | {f"{stage}.epochs": high})
        if long <= short:
            raise StudyError(
                f"{name}: {high:.3g} epochs took {long:.2f} core-seconds and {low:.3g} took {short:.2f}, so "
                "an epoch's cost cannot be told from noise; use a larger profile"
            )
        per_epoch = (long - short) / (high - low)
        return Cost(round(max(0.0, short - per_epoch * low), 2), round(per_epoch, 3))

    def _seconds(self, stage: str, changes: dict[str, Any]) -> float:
        """Core-seconds of one run of a stage script, outside DVC, on the calibration's data and models."""
        base = self.home / "calibration"
        key = hashlib.sha256(json.dumps([stage, changes], sort_keys=True).encode()).hexdigest()[:12]
        folder = base / "runs" / key
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "models").mkdir(parents=True)
        (folder / "data").symlink_to(base / "data")
        for model in ("text", "clip")[: STAGES.index(stage)]:
            (folder / "models" / model).symlink_to(base / "models" / model)
        shutil.copyfile(self.checkout / "params.yaml", folder / "params.yaml")
        change(folder / "params.yaml", SAME_IN_ALL | changes)
        self._call([sys.executable, str(base / "stages" / f"{stage}.py")], folder, base / "src")
        return stage_costs(folder)[stage]["core_seconds"]

    def run(self, names: list[str], seeds: list[int], scale: float, jobs: int, say: Say) -> None:
        """Runs what is not finished of the named arms (`default` always), then writes RESULT.

        Raises StudyError naming the logs of arms that failed, after the others have ended.
        """
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is ended too
        unknown = sorted(set(names) - set(self.arms))
        if unknown:
            raise StudyError(f"no arm {', '.join(unknown)}; ablations.yaml has {', '.join(self.arms)}")
        names = [name for name in self.arms if name in names or name == DEFAULT]
        costs = self.costs(names, jobs, say)
        known = {
            name: arm
            for name, arm in self.arms.items()
            if set(planning.configurations({name: arm})) <= set(costs)
        }
        plans = planning.plan(known, self.epochs(scale), costs)
        done = self.home / f"scale-{scale:g}"
        todo = [(n, s) for s in seeds for n in names if finished(done, n, s, plans[n]) is None]
        say(f"{len(names) * len(seeds) - len(todo)} of {len(names) * len(seeds)} runs are finished")
        for name, seed in todo:  # all copies now: an edit of the checkout meanwhile changes none of them
            folder, changes = done / f"run-{name}-{seed}", plans[name].changes | {"seed": seed}
            if not (folder / CHANGES).exists() or read_json(folder / CHANGES) != changes:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                write_json(folder / CHANGES, changes)
            self.copy(folder, changes)
        failed = []
        for seed in dict.fromkeys(seed for _, seed in todo):
            group = [name for name, of_seed in todo if of_seed == seed]
            self._call(["dvc", "repro", "convert"], done / f"run-{group[0]}-{seed}")  # pictures, once a seed
            with self._pool(jobs) as pool:
                futures = {n: pool.submit(self._arm, done, n, seed, plans[n], say) for n in group}
                errors = {name: future.exception() for name, future in futures.items()}
            failed += [f"{name}, seed {seed}: {error}" for name, error in errors.items() if error]
        if failed:
            raise StudyError("; ".join(failed) + "; the same command runs these again")
        self.merge(done, plans, seeds, scale, costs)

    def models(self, seeds: Iterable[int], jobs: int, say: Say) -> list[Path]:
        """The answering models that copies of the checkout train with other seeds; what is trained stays."""
        folders = [self.home / f"seed-{seed}" for seed in seeds]
        for seed, folder in zip(seeds, folders, strict=True):
            self.copy(folder, {"seed": seed})
        say(f"training {len(folders)} models more; what they say is in {self.home}/seed-*/log.txt")
        with self._pool(jobs) as pool:
            for done in [pool.submit(self._call, ["dvc", "repro", STAGES[-1]], each) for each in folders]:
                done.result()
        return [folder / "models" / "vlm" for folder in folders]

    def _arm(self, done: Path, name: str, seed: int, plan: Plan, say: Say) -> None:
        folder = done / f"run-{name}-{seed}"
        for stage in (*STAGES, "blind"):
            # A continued stage would count its last part alone: an interrupted one starts again.
            shutil.rmtree(folder / ".resume" / stage, ignore_errors=True)
        self._call(["dvc", "repro", STAGES[-1]], folder)
        self._call([sys.executable, "-m", "sightline.study.measure"], folder)
        result = {
            "arm": name,
            "seed": seed,
            "changes": plan.changes,
            "figures": read_json(folder / FIGURES),
            "core_seconds": self._achieved(folder),
        }
        write_json(done / f"{name}-{seed}.json", result)
        shutil.rmtree(folder)
        answers, spent = result["figures"]["answers"], sum(result["core_seconds"].values())
        say(f"{name}, seed {seed}: answers {answers:.1f}, {spent:.0f} core-seconds")

    @contextmanager
    def _pool(self, jobs: int) -> Iterator[ThreadPoolExecutor]:
        """Threads that wait for the copies; an interruption ends what runs and starts nothing more."""
        pool = ThreadPoolExecutor(jobs)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            with self.starting:
                self.stopped = True
                for process in self.running:
                    process.terminate()  # a stage ends with the DVC that started it
            raise
        finally:
            pool.shutdown()

    def _call(self, command: list[str], folder: Path, source: Path | None = None) -> None:
        """Runs a command in a copy with the copy's own code (`source`); its words go to log.txt there."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("DVC_ROOT")}
        env |= {"PYTHONPATH": str(source or folder / "src"), "OMP_NUM_THREADS": str(self.params.threads)}
        log = folder / "log.txt"
        with log.open("a", encoding="utf-8") as file:
            with self.starting:
                if self.stopped:
                    raise StudyError("interrupted")
                process = subprocess.Popen(
                    command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, env=env
                )
                self.running.add(process)
            code = process.wait()
            with self.starting:
                self.running.discard(process)
        if code:
            raise StudyError(f"`{' '.join(command)}` ended with {code}; its words are in {log}")

    def _achieved(self, folder: Path) -> dict[str, float]:
        """Core-seconds by stage, of this copy or of the one that ran the same stage before it."""
        own, found = stage_costs(folder), {}
        lock = YAML(typ="safe", pure=True).load((folder / "dvc.lock").read_text(encoding="utf-8"))
        for stage in STAGES:
            outs = "-".join(out["md5"].split(".")[0][:12] for out in lock["stages"][stage]["outs"])
            kept = self.home / "costs" / f"{stage}-{outs}.json"
            if stage not in own and not kept.exists():  # from a run that was no part of this study
                self._call(["dvc", "repro", "--force", "--single-item", stage], folder)
                own = stage_costs(folder)
            if stage in own:
                kept.parent.mkdir(exist_ok=True)
                write_json(kept, own[stage])
            found[stage] = read_json(kept)["core_seconds"]
        return found

    def merge(
        self, done: Path, plans: dict[str, Plan], seeds: list[int], scale: float, costs: dict[str, Cost]
    ) -> None:
        """Writes metrics/ablations.json: every arm that has all seeds, from this call or earlier ones."""
        arms = {}
        for name, plan in plans.items():
            runs = {str(seed): finished(done, name, seed, plan) for seed in seeds}
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
            self.checkout / RESULT,
            {
                "profile": self.params.profile,
                "scale": scale,
                "seeds": seeds,
                "pictures": SAME_IN_ALL["evaluate.max_items"],
                "calibration": {name: asdict(cost) for name, cost in costs.items()},
                "arms": arms,
            },
        )


def finished(done: Path, name: str, seed: int, plan: Plan) -> dict[str, Any] | None:
    """The kept result of an arm and seed, if it was run with this very plan."""
    path = done / f"{name}-{seed}.json"
    kept = read_json(path) if path.exists() else None
    return kept if kept and kept["changes"] == plan.changes else None


def change(params_file: Path, changes: dict[str, Any]) -> None:
    """Sets dotted leaves at the top of a params.yaml. Raises ParamsError for what the schema refuses."""
    yaml = YAML()
    yaml.width = 4096
    content = yaml.load(params_file.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *sections, leaf = dotted.split(".")
        block = content
        for section in sections:
            block = block[section]
        block[leaf] = value
    with params_file.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    load_params(params_file)


def digest(checkout: Path, params: Params) -> str:
    """Of the code that dvc.yaml declares for what the study runs, and of the params that reach a model."""
    stages = YAML(typ="safe", pure=True).load((checkout / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    used = ("download", "convert", *STAGES, "evaluate")
    deps = {dep for stage in used for dep in stages[stage]["deps"] if dep.startswith(("src/", "stages/"))}
    files = sorted(
        file
        for dep in deps
        for file in ((checkout / dep).rglob("*.py") if (checkout / dep).is_dir() else [checkout / dep])
    )
    sections = ("data", "convert", "text", "vision", *STAGES)
    record = {
        "params": [params.lr, params.threads, *(params.asdict(name) for name in sections)],
        "code": [
            [file.relative_to(checkout).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()]
            for file in files
        ],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8]


def stage_costs(folder: Path) -> dict[str, dict[str, float]]:
    """What the stages that ran in `folder` measured of themselves."""
    found = sorted((folder / ".resume" / "cost").glob("*.json"))
    return read_json(found[0]) if found else {}


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise StudyError(f"`{' '.join(command)}` in {folder}: {done.stderr.strip()}")
    return done.stdout
