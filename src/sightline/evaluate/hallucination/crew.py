"""Asks several trained models, part by part in several processes, and keeps what each part said: so an
interrupted study goes on where it was.

A part is one model, PART consecutive pictures of a split and all ways of decoding: pictures and questions are
encoded once for all of them. Parts do not depend on how many processes there are.
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

from sightline import artifacts, runtime
from sightline.evaluate.hallucination.asking import Asker, Typical
from sightline.evaluate.hallucination.ways import Way
from sightline.evaluate.predict import Asking
from sightline.evaluate.splits import Split

PART = 50  # pictures
SOURCE = Path(__file__).parents[2]
DECIDES = ("decode", "evaluate/hallucination/asking.py", "evaluate/hallucination/ways.py", "models", "spin")
Said = dict[Way, list[str]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """One trained model and how it is asked. settings: a folder with preprocessing and lengths."""

    model: Path
    settings: Path
    asking: Asking
    seed: int


Load = Callable[[Asked], Asker]


@dataclass(frozen=True)
class Part:
    """`call`: the Asker's method; `ways`: what it is called with. key: of the file that keeps the result."""

    load: Load
    who: Asked
    typical_LH: Typical
    split: Split
    call: str
    ways: list[Way]
    key: str


class Crew:
    """`models` in order, asked by `jobs` processes, each of which `load`s what it asks (a function of a
    module); results are kept in the folder `home`.

    `measure_typical` comes first: it fills what the variants of the gate hold a head's mass against.
    """

    def __init__(self, models: list[Asked], load: Load, home: Path, jobs: int, say: Say):
        self._models, self._load, self._home, self._jobs, self._say = models, load, home, jobs, say
        self._digests = [_sha256(artifacts.load(who.model, "vlm").digest()) for who in models]
        self._code = code()
        self._typical: list[Typical] = [[] for _ in models]
        home.mkdir(parents=True, exist_ok=True)

    def measure_typical(self, split: Split) -> list[Typical]:
        """Asker.measure_typical, of every model."""
        parts = [self._part(i, split, "measure_typical", []) for i in range(len(self._models))]
        self._typical = self._work(parts)
        return self._typical

    def answers(self, split: Split, ways: list[Way]) -> list[Said]:
        """Texts in the order of the split's triples, for every way, of every model."""
        pieces = list(pieces_of(split))
        parts = [
            self._part(i, piece, "answers", ways) for i in range(len(self._models)) for piece, _ in pieces
        ]
        found, said = iter(self._work(parts)), []
        for _ in self._models:
            texts = [[""] * len(split.triples) for _ in ways]
            for _, indices in pieces:
                for mine, of_piece in zip(texts, next(found), strict=True):
                    for index, text in zip(indices, of_piece, strict=True):
                        mine[index] = text
            said.append(dict(zip(ways, texts, strict=True)))
        return said

    def silenced(self, split: Split, ways: list[Way]) -> list[Typical]:
        """Asker.silenced of the first model, way by way: the heads of another are others."""
        return self._work([self._part(0, split, "silenced", [way]) for way in ways])

    def _part(self, place: int, split: Split, call: str, ways: list[Way]) -> Part:
        who, typical = self._models[place], self._typical[place]
        key = {
            "code": self._code,
            "model": self._digests[place],
            "asking": asdict(who.asking) | {"seed": who.seed},
            "typical": typical,
            "split": [split.name, split.lines, [t["question"] for t in split.triples], split.picture_of],
            "call": call,
            "ways": [asdict(way) for way in ways],
        }
        return Part(self._load, who, typical, split, call, ways, _sha256(json.dumps(key, sort_keys=True)))

    def _work(self, parts: list[Part]) -> list[Any]:
        """What every part found, in order; asked now where it is not kept."""
        files = [self._home / f"{part.key}.json" for part in parts]
        missing = [(part, file) for part, file in zip(parts, files, strict=True) if not file.exists()]
        if len(missing) < len(parts):
            self._say(f"  {len(parts) - len(missing)} of {len(parts)} parts are kept from before")
        with _pool(min(self._jobs, len(missing))) as pool:
            futures = [pool.submit(_ask, part, file) for part, file in missing]
            for count, done in enumerate(as_completed(futures), 1):
                done.result()
                if count % 20 == 0:
                    self._say(f"  {count} of {len(missing)} parts")
        return [artifacts.read_json(file) for file in files]


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


def code() -> str:
    """Digest of the code that decides what is said."""
    files = [
        file
        for name in DECIDES
        for file in ((SOURCE / name).rglob("*.py") if (SOURCE / name).is_dir() else [SOURCE / name])
    ]
    return _sha256("".join(artifacts.sha256(file) for file in sorted(files)))


def _ask(part: Part, file: Path) -> None:
    """One part, in a process of its own; writes `file`."""
    asker = _loaded(part.load, part.who)
    asker.typical_LH = part.typical_LH or asker.typical_LH
    if part.call == "answers":
        said = asker.answers(part.split, part.ways)
        found: Any = [said[way] for way in part.ways]
    elif part.call == "silenced":
        found = asker.silenced(part.split, part.ways[0])
    else:
        found = asker.measure_typical(part.split)
    artifacts.write_json(file, found)


@lru_cache(maxsize=1)
def _loaded(load: Load, who: Asked) -> Asker:
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

    runtime.guard_parent()
    torch.set_num_threads(1)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
