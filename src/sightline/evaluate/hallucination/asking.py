"""Asks one PyTorch model in many ways: pictures and questions are encoded once, then decoded in each way.

N rows, I pictures, L layers, H heads, T tokens, M memory tokens, P patches, D width.
"""

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from sightline.decode import contrast, greedy
from sightline.decode.protocol import Generation, Memory
from sightline.evaluate.hallucination.ways import GREEDY, Way
from sightline.evaluate.predict import Asking
from sightline.evaluate.splits import Split
from sightline.models.engine import TorchEngine
from sightline.models.vlm import VLM
from sightline.runtime import derive_seed

Typical = list[list[float]]  # mean image mass of every head, [L][H]
_DIGITS = 4


class Encoder(Protocol):
    """What is needed of export.session.Session beside the model."""

    tokenizer: Any

    def pixels(self, images: list[np.ndarray]) -> np.ndarray: ...

    def question_ids(self, questions: list[str]) -> tuple[np.ndarray, np.ndarray]: ...


class Asker:
    """`measure_typical` fills `typical_LH`, what the variants of the gate hold a head's mass against."""

    def __init__(self, vlm: VLM, encoder: Encoder, asking: Asking, seed: int):
        self._vlm, self._encoder, self._asking, self._seed = vlm, encoder, asking, seed
        self._plain = TorchEngine(vlm, None)
        if asking.max_new > vlm.config["max_answer"]:
            raise ValueError(
                f"evaluate.max_new_tokens is {asking.max_new}: this model was trained for answers of at most "
                f"{vlm.config['max_answer']} tokens"
            )
        config = self._plain.config
        self.typical_LH: Typical = [[0.0] * config["heads"]] * config["layers"]

    def measure_typical(self, split: Split) -> Typical:
        """Mean image mass of every head under greedy decoding: over an answer's tokens, over answers, then
        over the two kinds of them, so that the many short ones do not outvote the descriptions."""
        patches = int(np.prod(self._plain.config["grid"]))
        kinds = []
        for _, generations in self._watched(split, GREEDY):
            masses = [g.maps_LHTM[..., :patches].sum(-1).mean(-1) for g in generations if g.ids]
            if masses:
                kinds.append(np.mean(masses, axis=0))
        self.typical_LH = np.mean(kinds, axis=0, dtype=np.float64).round(_DIGITS).tolist()
        return self.typical_LH

    def silenced(self, split: Split, way: Way) -> Typical:
        """Share of the tokens at which a head's factor was below that of another head, [L][H]."""
        gates = [g.gates_LHT for _, found in self._watched(split, way) for g in found if g.ids]
        gates_LHT = np.concatenate(gates, axis=2)
        below_LHT = gates_LHT < gates_LHT.max(axis=1, keepdims=True) - 1e-6
        return below_LHT.mean(axis=2).round(_DIGITS).tolist()

    def answers(self, split: Split, ways: list[Way]) -> dict[Way, list[str]]:
        """Texts in the order of the split's triples, for every way."""
        said: dict[Way, list[str]] = {way: [""] * len(split.triples) for way in ways}
        views = _Views(self._plain, self._pixels(split), split.lines, self._seed)
        for describe in (False, True):
            asked = _asked(split, describe)
            for chunk in _chunks(sorted(asked), self._asking.batch_size):
                ids, mask = self._encoder.question_ids([question for question, _ in chunk])
                views.show(np.array([picture for _, picture in chunk]), ids, mask)
                texts: dict[Way, list[str]] = {}
                for way in ways:
                    done = way.on(describe)
                    if done not in texts:
                        written = self._generate(done, views, describe)
                        texts[done] = [self._encoder.tokenizer.decode(g.ids) for g in written]
                    for pair, text in zip(chunk, texts[done], strict=True):
                        for index in asked[pair]:
                            said[way][index] = text
        return said

    def _watched(self, split: Split, way: Way):
        """(describe, generations with maps and gates) of both kinds of questions."""
        views = _Views(self._plain, self._pixels(split), split.lines, self._seed)
        for describe in (False, True):
            found = []
            for chunk in _chunks(sorted(_asked(split, describe)), self._asking.batch_size):
                ids, mask = self._encoder.question_ids([question for question, _ in chunk])
                views.show(np.array([picture for _, picture in chunk]), ids, mask)
                found += self._generate(way.on(describe), views, describe, need_maps=True)
            yield describe, found

    def _generate(
        self, way: Way, views: "_Views", describe: bool, need_maps: bool = False
    ) -> list[Generation]:
        engine = TorchEngine(
            self._vlm, None, way.score, way.variant(self.typical_LH, self._seed), way.image_gain
        )
        tokenizer = self._encoder.tokenizer
        knobs = {
            "bos": tokenizer.bos, "eos": tokenizer.eos, "max_new": self._asking.tokens(describe),
            "k_L": way.heads_kept(self.typical_LH), "alpha": way.alpha,
        }  # fmt: skip
        if way.contrast == "none" or need_maps:
            return greedy.generate(
                engine, views.picture(), need_maps=need_maps, compact=not need_maps, **knobs
            )
        other = views.noised(way.noise) if way.contrast == "noise" else views.nothing()
        return contrast.generate(
            engine, views.picture(), other, strength=way.strength, plausible=way.plausible, **knobs
        )

    def _pixels(self, split: Split) -> np.ndarray:
        return self._encoder.pixels(list(split.rgb()))


class _Views:
    """The pictures of a split as the tower sees them, and what the decoder reads of the questions that are
    being asked: the picture, the picture under noise, or no picture. Each is computed once."""

    def __init__(self, engine: TorchEngine, pixels_ICYX: np.ndarray, lines: list[int], seed: int):
        self._engine, self._pixels, self._lines, self._seed = engine, pixels_ICYX, lines, seed
        self._tokens: dict[int, np.ndarray] = {}
        self._memories: dict[Any, Memory] = {}

    def show(self, pictures_N: np.ndarray, ids_NT: np.ndarray, mask_NT: np.ndarray) -> None:
        self._now = pictures_N, ids_NT, mask_NT
        self._memories = {}

    def picture(self) -> Memory:
        return self.noised(0)

    def noised(self, step: int) -> Memory:
        """Noise is drawn by the picture's line in data/raw: it does not depend on how many there are."""
        if step not in self._tokens:
            drawn = (
                contrast.noised(pixels, step, np.random.default_rng(derive_seed(self._seed, "noise", line)))
                for pixels, line in zip(self._pixels, self._lines, strict=True)
            )
            self._tokens[step] = np.concatenate(
                [self._engine.image_tokens(np.stack(chunk)) for chunk in _chunks(list(drawn), 64)]
            )
        pictures, ids, mask = self._now
        if step not in self._memories:
            self._memories[step] = self._engine.memory(self._tokens[step][pictures], ids, mask)
        return self._memories[step]

    def nothing(self) -> Memory:
        _, ids, mask = self._now
        if None not in self._memories:
            self._memories[None] = self._engine.memory_without_image(ids, mask)
        return self._memories[None]


def narrowed(split: Split, wanted: Any) -> Split:
    """The split with the questions of some types only; wanted: a question's type -> whether to ask it."""
    chosen = [index for index, triple in enumerate(split.triples) if wanted(triple["type"])]
    return replace(
        split,
        triples=[split.triples[index] for index in chosen],
        picture_of=[split.picture_of[index] for index in chosen],
    )


def _asked(split: Split, describe: bool) -> dict[tuple[str, int], list[int]]:
    """(question, picture) -> the triples that ask it."""
    found: dict[tuple[str, int], list[int]] = {}
    for index, (triple, picture) in enumerate(zip(split.triples, split.picture_of, strict=True)):
        if (triple["type"] == "describe") == describe:
            found.setdefault((triple["question"], picture), []).append(index)
    return found


def _chunks(rows: list, size: int) -> list[list]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
