"""Decodes several trained models part by part in several processes and keeps the results, so that an
interrupted study resumes.

A part is one model, PART consecutive pictures of a split and all decoding configs: pictures and questions are
encoded once for all of them. Each config has a result file per part, so a new idea computes only its configs.
Parts do not depend on the number of processes.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sightline.core import artifacts, runtime, source_digest
from sightline.evaluate.split_contents import Split
from sightline_lab.hallucination import decode_runner
from sightline_lab.hallucination.decode_runner import DecodeRunner, DecodeSettings, Typical
from sightline_lab.hallucination.decoding_configs import GREEDY, DecodingConfig

PART = 50  # pictures
AnswersByConfig = dict[DecodingConfig, list[str]]
Echo = Callable[[str], None]


@dataclass(frozen=True)
class ModelSpec:
    """One trained model and how it decodes. settings: a folder with preprocessing and lengths; guide: the
    dual encoder that chooses among candidates."""

    model: Path
    settings: Path
    decode: DecodeSettings
    seed: int
    guide: Path | None = None


Load = Callable[[ModelSpec], DecodeRunner]


@dataclass(frozen=True)
class Part:
    """`call`: the DecodeRunner's method; `files`: the configs it is called with, each with its result file
    (`measure_typical` uses an arm's greedy config)."""

    load: Load
    spec: ModelSpec
    typical_LH: Typical
    split: Split
    call: str
    files: dict[DecodingConfig, Path]


class ParallelRunner:
    """`models` of every arm, the same trainings in order, decoded by `jobs` processes, each of which calls
    `load` (a function of a module); results are kept in the folder `home`.

    `measure_typical` comes first: it fills the masses to which gate variants compare a head.
    """

    def __init__(self, models: dict[str, list[ModelSpec]], load: Load, home: Path, jobs: int, echo: Echo):
        self._models, self._load, self._home, self._jobs, self._echo = models, load, home, jobs, echo
        self._digests = {arm: [_digest(spec) for spec in of_arm] for arm, of_arm in models.items()}
        self._code = source_digest.digest(Path(decode_runner.__file__))
        self._typical: dict[str, list[Typical]] = {arm: [[]] * len(models[arm]) for arm in models}
        home.mkdir(parents=True, exist_ok=True)

    def measure_typical(self, split: Split) -> dict[str, list[Typical]]:
        """DecodeRunner.measure_typical, of every model of every arm."""
        positions = [(arm, index) for arm, of_arm in self._models.items() for index in range(len(of_arm))]
        results = self._work(
            [self._part(i, split, "measure_typical", [DecodingConfig(arm)]) for arm, i in positions]
        )
        for (arm, index), (typical,) in zip(positions, results, strict=True):
            self._typical[arm][index] = typical
        return self._typical

    def answers(self, split: Split, configs: list[DecodingConfig]) -> list[AnswersByConfig]:
        """Texts in the order of the split's triples, for every config, of every training."""
        pieces = list(pieces_of(split))
        answers: list[AnswersByConfig] = [
            {config: [""] * len(split.triples) for config in configs}
            for _ in next(iter(self._models.values()))
        ]
        tasks = [
            (model_answers, indices, self._part(model_index, piece, "answers", of_arm))
            for of_arm in ([config for config in configs if config.arm == arm] for arm in self._models)
            if of_arm
            for model_index, model_answers in enumerate(answers)
            for piece, indices in pieces
        ]
        results = self._work([part for *_, part in tasks])
        for (model_answers, indices, part), of_part in zip(tasks, results, strict=True):
            for config, texts in zip(part.files, of_part, strict=True):
                for index, text in zip(indices, texts, strict=True):
                    model_answers[config][index] = text
        return answers

    def suppression(self, split: Split, configs: list[DecodingConfig]) -> list[Typical]:
        """DecodeRunner.suppression of the first model of a config's arm: heads differ between models."""
        return [
            share
            for (share,) in self._work([self._part(0, split, "suppression", [config]) for config in configs])
        ]

    def _part(self, index: int, split: Split, call: str, configs: list[DecodingConfig]) -> Part:
        """A part with configs of one arm."""
        arm = configs[0].arm
        spec, typical = self._models[arm][index], self._typical[arm][index]
        shared = {
            "code": self._code,
            "model": self._digests[arm][index],
            "decode": asdict(spec.decode) | {"seed": spec.seed},
            "typical": typical,
            "split": [split.name, split.lines, [t["question"] for t in split.triples], split.picture_of],
            "call": call,
        }
        files = {}
        for config in configs:  # the digest of the model stands for its arm
            key = json.dumps(shared | {"way": asdict(replace(config, arm=GREEDY.arm))}, sort_keys=True)
            files[config] = self._home / f"{_sha256(key)}.json"
        return Part(self._load, spec, typical, split, call, files)

    def _work(self, parts: list[Part]) -> list[list[Any]]:
        """Results of the configs of every part, in order; computed where no file is kept."""
        lacking = [
            replace(part, files={config: file for config, file in part.files.items() if not file.exists()})
            for part in parts
        ]
        missing = [part for part in lacking if part.files]
        if len(missing) < len(parts):
            self._echo(f"  {len(parts) - len(missing)} of {len(parts)} parts are kept from before")
        with _pool(min(self._jobs, len(missing))) as pool:
            futures = [pool.submit(_run_part, part) for part in missing]
            for count, done in enumerate(as_completed(futures), 1):
                done.result()
                if count % 20 == 0:
                    self._echo(f"  {count} of {len(missing)} parts")
        return [[artifacts.read_json(file) for file in part.files.values()] for part in parts]


def pieces_of(split: Split) -> Iterator[tuple[Split, list[int]]]:
    """A split in pieces of PART pictures, each with the indices of its questions in the whole."""
    for start in range(0, len(split.lines), PART):
        stop = start + PART
        indices = [i for i, picture in enumerate(split.picture_of) if start <= picture < stop]
        piece = replace(
            split,
            lines=split.lines[start:stop],
            triples=[split.triples[i] for i in indices],
            picture_of=[split.picture_of[i] - start for i in indices],
            captions=split.captions[start:stop],
            present=split.present[start:stop],
        )
        yield piece, indices


def _run_part(part: Part) -> None:
    """One part, in a process of its own; writes its files."""
    runner, configs = _loaded(part.load, part.spec), list(part.files)
    runner.typical_LH = part.typical_LH or runner.typical_LH
    results: dict[DecodingConfig, Any]
    if part.call == "answers":
        results = runner.answers(part.split, configs)
    elif part.call == "suppression":
        results = {config: runner.suppression(part.split, config) for config in configs}
    else:
        results = {config: runner.measure_typical(part.split) for config in configs}
    for config, file in part.files.items():
        artifacts.write_json(file, results[config])


@lru_cache(maxsize=1)
def _loaded(load: Load, spec: ModelSpec) -> DecodeRunner:
    """A process keeps the last model, and parts come model by model."""
    return load(spec)


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread; an interruption starts nothing more."""
    pool = ProcessPoolExecutor(max(1, jobs), multiprocessing.get_context("spawn"), _begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown()


def _begin() -> None:
    import torch

    runtime.watch_launcher()
    torch.set_num_threads(1)


def _digest(spec: ModelSpec) -> str:
    """Digest of the models that determine the answers."""
    guide = "" if spec.guide is None else artifacts.load(spec.guide, "clip").digest()
    return _sha256(artifacts.load(spec.model, "vlm").digest() + guide)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
