"""Asks several trained models, part by part in several processes, and keeps what each part said: so an
interrupted study goes on where it was.

A part is one model, PART consecutive pictures of a split and all ways of decoding: pictures and questions are
encoded once for all of them. What a way said has a file of its own, so that a new idea asks for itself alone.
Parts do not depend on how many processes there are.
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
from sightline_lab.hallucination.decode_runner import Asking, DecodeRunner, Typical
from sightline_lab.hallucination.decoding_configs import GREEDY, DecodingConfig

PART = 50  # pictures
ResponseMessage = dict[DecodingConfig, list[str]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """One trained model and how it is asked. settings: a folder with preprocessing and lengths; guide: the
    dual encoder that chooses among candidates."""

    model: Path
    settings: Path
    asking: Asking
    seed: int
    guide: Path | None = None


Load = Callable[[Asked], DecodeRunner]


@dataclass(frozen=True)
class Part:
    """`call`: the DecodeRunner's method; `asked`: the ways it is called with, and the file that keeps what
    each of them said (`measure_typical` is asked of an arm's plain way)."""

    load: Load
    who: Asked
    typical_LH: Typical
    split: Split
    call: str
    asked: dict[DecodingConfig, Path]


class ParallelRunner:
    """`models` of every arm, the same trainings in order, asked by `jobs` processes, each of which `load`s
    what it asks (a function of a module); results are kept in the folder `home`.

    `measure_typical` comes first: it fills what the variants of the gate hold a head's mass against.
    """

    def __init__(self, models: dict[str, list[Asked]], load: Load, home: Path, jobs: int, say: Say):
        self._models, self._load, self._home, self._jobs, self._say = models, load, home, jobs, say
        self._digests = {arm: [_digest(who) for who in of_arm] for arm, of_arm in models.items()}
        self._code = source_digest.digest(Path(decode_runner.__file__))
        self._typical: dict[str, list[Typical]] = {arm: [[]] * len(models[arm]) for arm in models}
        home.mkdir(parents=True, exist_ok=True)

    def measure_typical(self, split: Split) -> dict[str, list[Typical]]:
        """DecodeRunner.measure_typical, of every model of every arm."""
        places = [(arm, place) for arm, of_arm in self._models.items() for place in range(len(of_arm))]
        found = self._work(
            [self._part(i, split, "measure_typical", [DecodingConfig(arm)]) for arm, i in places]
        )
        for (arm, place), (typical,) in zip(places, found, strict=True):
            self._typical[arm][place] = typical
        return self._typical

    def answers(self, split: Split, ways: list[DecodingConfig]) -> list[ResponseMessage]:
        """Texts in the order of the split's triples, for every way, of every training."""
        pieces = list(pieces_of(split))
        said: list[ResponseMessage] = [
            {way: [""] * len(split.triples) for way in ways} for _ in next(iter(self._models.values()))
        ]
        asked = [
            (mine, indices, self._part(place, piece, "answers", of_arm))
            for of_arm in ([way for way in ways if way.arm == arm] for arm in self._models)
            if of_arm
            for place, mine in enumerate(said)
            for piece, indices in pieces
        ]
        found = self._work([part for *_, part in asked])
        for (mine, indices, part), of_part in zip(asked, found, strict=True):
            for way, texts in zip(part.asked, of_part, strict=True):
                for index, text in zip(indices, texts, strict=True):
                    mine[way][index] = text
        return said

    def silenced(self, split: Split, ways: list[DecodingConfig]) -> list[Typical]:
        """DecodeRunner.silenced of the first model of a way's arm: the heads of another are others."""
        return [found for (found,) in self._work([self._part(0, split, "silenced", [way]) for way in ways])]

    def _part(self, place: int, split: Split, call: str, ways: list[DecodingConfig]) -> Part:
        """Of ways of one arm."""
        arm = ways[0].arm
        who, typical = self._models[arm][place], self._typical[arm][place]
        shared = {
            "code": self._code,
            "model": self._digests[arm][place],
            "asking": asdict(who.asking) | {"seed": who.seed},
            "typical": typical,
            "split": [split.name, split.lines, [t["question"] for t in split.triples], split.picture_of],
            "call": call,
        }
        asked = {}
        for way in ways:  # the model says which arm it is of
            key = json.dumps(shared | {"way": asdict(replace(way, arm=GREEDY.arm))}, sort_keys=True)
            asked[way] = self._home / f"{_sha256(key)}.json"
        return Part(self._load, who, typical, split, call, asked)

    def _work(self, parts: list[Part]) -> list[list[Any]]:
        """What the ways of every part found, in order; asked now where it is not kept."""
        lacking = [
            replace(part, asked={way: file for way, file in part.asked.items() if not file.exists()})
            for part in parts
        ]
        missing = [part for part in lacking if part.asked]
        if len(missing) < len(parts):
            self._say(f"  {len(parts) - len(missing)} of {len(parts)} parts are kept from before")
        with _pool(min(self._jobs, len(missing))) as pool:
            futures = [pool.submit(_ask, part) for part in missing]
            for count, done in enumerate(as_completed(futures), 1):
                done.result()
                if count % 20 == 0:
                    self._say(f"  {count} of {len(missing)} parts")
        return [[artifacts.read_json(file) for file in part.asked.values()] for part in parts]


def pieces_of(split: Split) -> Iterator[tuple[Split, list[int]]]:
    """A split in pieces of PART pictures, each with the places of its questions in the whole."""
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


def _ask(part: Part) -> None:
    """One part, in a process of its own; writes its files."""
    asker, ways = _loaded(part.load, part.who), list(part.asked)
    asker.typical_LH = part.typical_LH or asker.typical_LH
    found: dict[DecodingConfig, Any]
    if part.call == "answers":
        found = asker.answers(part.split, ways)
    elif part.call == "silenced":
        found = {way: asker.silenced(part.split, way) for way in ways}
    else:
        found = {way: asker.measure_typical(part.split) for way in ways}
    for way, file in part.asked.items():
        artifacts.write_json(file, found[way])


@lru_cache(maxsize=1)
def _loaded(load: Load, who: Asked) -> DecodeRunner:
    """A process keeps the last model, and parts come model by model."""
    return load(who)


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


def _digest(who: Asked) -> str:
    """Of the models that decide what is said."""
    guide = "" if who.guide is None else artifacts.load(who.guide, "clip").digest()
    return _sha256(artifacts.load(who.model, "vlm").digest() + guide)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
