"""Decodes one PyTorch model with many configs: pictures and questions are encoded once for all of them.

C candidates, N rows, I pictures, L layers, H heads, T tokens, M memory tokens, P patches, D width.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sightline.core.runtime import derive_seed
from sightline.data.questions.question_types import SHORT_TOKENS
from sightline.evaluate.split_contents import Split
from sightline.inference.decoding import beam, contrastive, greedy, sampling
from sightline.inference.engine import DecodingInputs, GeneratedTokens, Memory
from sightline.inference.session import Session
from sightline.inference.torch_engine import TorchEngine
from sightline.models.vlm import VLM
from sightline_lab.hallucination.decoding_configs import GREEDY, DecodingConfig

Typical = list[list[float]]  # mean image mass of every head, [L][H]
_DIGITS = 4


@dataclass(frozen=True)
class DecodeSettings:
    """Longest description in tokens, and how many rows are decoded at a time."""

    max_tokens: int
    batch_size: int

    def tokens(self, describe: bool) -> int:
        return self.max_tokens if describe else min(SHORT_TOKENS, self.max_tokens)


class DecodeRunner:
    """`measure_typical` fills `typical_LH`, the masses to which gate variants compare a head."""

    def __init__(self, vlm: VLM, encoder: Session, settings: DecodeSettings, seed: int):
        self._vlm, self._encoder, self._settings, self._seed = vlm, encoder, settings, seed
        self._plain = TorchEngine(vlm, None)
        if settings.max_tokens > vlm.config["max_answer"]:
            raise ValueError(
                f"generation.max_tokens is {settings.max_tokens}: this model was trained for answers of at "
                f"most {vlm.config['max_answer']} tokens"
            )
        config = self._plain.config
        self.typical_LH: Typical = [[0.0] * config["heads"]] * config["layers"]

    def measure_typical(self, split: Split) -> Typical:
        """Mean image mass of every head under greedy decoding: over an answer's tokens, over answers, then
        over the two kinds of them, so that the many short ones do not dominate."""
        patches = int(np.prod(self._plain.config["grid"]))
        kinds = []
        for _, generations in self._traced(split, GREEDY):
            masses = [g.maps_LHTM[..., :patches].sum(-1).mean(-1) for g in generations if g.ids]
            if masses:
                kinds.append(np.mean(masses, axis=0))
        self.typical_LH = np.mean(kinds, axis=0, dtype=np.float64).round(_DIGITS).tolist()
        return self.typical_LH

    def suppression(self, split: Split, config: DecodingConfig) -> Typical:
        """Share of the tokens at which a head's factor was below that of another head, [L][H]."""
        gates = [g.gates_LHT for _, generations in self._traced(split, config) for g in generations if g.ids]
        gates_LHT = np.concatenate(gates, axis=2)
        below_LHT = gates_LHT < gates_LHT.max(axis=1, keepdims=True) - 1e-6
        return below_LHT.mean(axis=2).round(_DIGITS).tolist()

    def answers(self, split: Split, configs: list[DecodingConfig]) -> dict[DecodingConfig, list[str]]:
        """Texts in the order of the split's triples, for every config."""
        texts_by_config: dict[DecodingConfig, list[str]] = {
            config: [""] * len(split.triples) for config in configs
        }
        views = _Views(self._plain, self._pixels(split), split.lines, self._seed)
        if any(config.candidates > 1 for config in configs):
            views.embeds_IE = self._encoder.embed_images(list(split.rgb()), self._settings.batch_size)
        for describe in (False, True):
            triples_by_question = _triples_by_question(split, describe)
            for chunk in _chunks(sorted(triples_by_question), self._settings.batch_size):
                ids, mask = self._encoder.question_ids([question for question, _ in chunk])
                views.select(np.array([picture for _, picture in chunk]), ids, mask)
                texts: dict[DecodingConfig, list[str]] = {}
                for config in configs:
                    effective = config.for_question(describe)
                    if effective not in texts:
                        texts[effective] = self._answer_texts(effective, views, describe)
                    for pair, text in zip(chunk, texts[effective], strict=True):
                        for index in triples_by_question[pair]:
                            texts_by_config[config][index] = text
        return texts_by_config

    def _traced(self, split: Split, config: DecodingConfig):
        """(describe, generations with maps and gates) of both kinds of questions."""
        views = _Views(self._plain, self._pixels(split), split.lines, self._seed)
        for describe in (False, True):
            generations = []
            for chunk in _chunks(sorted(_triples_by_question(split, describe)), self._settings.batch_size):
                ids, mask = self._encoder.question_ids([question for question, _ in chunk])
                views.select(np.array([picture for _, picture in chunk]), ids, mask)
                generations += self._generate(config.for_question(describe), views, describe, need_maps=True)
            yield describe, generations

    def _answer_texts(self, config: DecodingConfig, views: "_Views", describe: bool) -> list[str]:
        """The text of every row; of candidates the chosen one."""
        drawn = views.drawn.setdefault(replace(config, candidates=1, choice=GREEDY.choice), [])
        while len(drawn) < config.candidates:
            written = self._generate(config, views, describe, draw=len(drawn))
            drawn.append([self._encoder.tokenizer.decode(g.ids) for g in written])
        texts_CN = drawn[: config.candidates]
        if config.candidates == 1:
            return texts_CN[0]
        if config.choice == "chance":
            chosen_N = [
                int(generator.integers(config.candidates)) for generator in views.generators("choice")
            ]
        else:
            batch = self._settings.batch_size
            alike_CN = [views.likeness(self._encoder.embed_texts(texts, batch)) for texts in texts_CN]
            chosen_N = np.argmax(alike_CN, axis=0).tolist()
        return [texts_CN[candidate][row] for row, candidate in enumerate(chosen_N)]

    def _generate(
        self, config: DecodingConfig, views: "_Views", describe: bool, need_maps: bool = False, draw: int = 0
    ) -> list[GeneratedTokens]:
        """`draw` 0: greedy; others are sampled."""
        engine = TorchEngine(
            self._vlm, None, config.score, config.rule(self.typical_LH, self._seed), config.image_gain
        )
        tokenizer = self._encoder.tokenizer
        inputs = DecodingInputs(
            tokenizer.bos, tokenizer.eos, self._settings.tokens(describe), config.heads_kept(self.typical_LH),
            config.alpha,
        )  # fmt: skip
        drawing = {"temperature": config.temperature, "top_p": config.nucleus}
        generators = views.generators("candidate", draw) if draw else []
        if config.contrast == "none" and draw:
            return sampling.generate(engine, views.picture(), inputs, generators=generators, **drawing)
        if config.beams > 1 and not need_maps:
            return beam.generate(engine, views.picture(), inputs, beams=config.beams)
        if config.contrast == "none" or need_maps:
            return greedy.generate(
                engine, views.picture(), inputs, need_maps=need_maps, compact=not need_maps
            )
        other = views.noised(config.noise) if config.contrast == "noise" else views.without_image()
        return contrastive.generate(
            engine, views.picture(), other, inputs, strength=config.strength, plausible=config.plausible,
            pick=sampling.token_sampler(generators, **drawing) if draw else None,
        )  # fmt: skip

    def _pixels(self, split: Split) -> np.ndarray:
        return self._encoder.pixels(list(split.rgb()))


class _Views:
    """Memories of the selected questions beside the picture, the picture under noise, or no picture. Each is
    computed once."""

    def __init__(self, engine: TorchEngine, pixels_ICYX: np.ndarray, lines: list[int], seed: int):
        self._engine, self._pixels, self._lines, self._seed = engine, pixels_ICYX, lines, seed
        self._tokens: dict[int, np.ndarray] = {}
        self._memories: dict[Any, Memory] = {}
        self.embeds_IE = np.zeros((len(lines), 0))  # of the pictures; needed for `likeness` alone
        self.drawn: dict[
            DecodingConfig, list[list[str]]
        ] = {}  # candidates, the same whatever chooses among them

    def select(self, pictures_N: np.ndarray, ids_NT: np.ndarray, mask_NT: np.ndarray) -> None:
        self._now = pictures_N, ids_NT, mask_NT
        self._memories, self.drawn = {}, {}

    def likeness(self, texts_NE: np.ndarray) -> np.ndarray:
        """Cosine of every row's picture and its text, [N]; embeddings are unit vectors."""
        return (self.embeds_IE[self._now[0]] * texts_NE).sum(1)

    def generators(self, *names: str | int) -> list[np.random.Generator]:
        """One for every row, by the picture's line in data/raw and the question, not by its neighbours."""
        pictures_N, ids_NT, _ = self._now
        return [
            np.random.default_rng(derive_seed(self._seed, *names, self._lines[picture], *ids_T.tolist()))
            for picture, ids_T in zip(pictures_N, ids_NT, strict=True)
        ]

    def picture(self) -> Memory:
        return self.noised(0)

    def noised(self, step: int) -> Memory:
        """The noise is seeded by the picture's line in data/raw: it does not depend on other pictures."""
        if step not in self._tokens:
            drawn = (
                contrastive.noised(
                    pixels, step, np.random.default_rng(derive_seed(self._seed, "noise", line))
                )
                for pixels, line in zip(self._pixels, self._lines, strict=True)
            )
            self._tokens[step] = np.concatenate(
                [self._engine.image_tokens(np.stack(chunk)) for chunk in _chunks(list(drawn), 64)]
            )
        pictures, ids, mask = self._now
        if step not in self._memories:
            self._memories[step] = self._engine.memory(self._tokens[step][pictures], ids, mask)
        return self._memories[step]

    def without_image(self) -> Memory:
        _, ids, mask = self._now
        if None not in self._memories:
            self._memories[None] = self._engine.memory_without_image(ids, mask)
        return self._memories[None]


def narrowed(split: Split, wanted: Any) -> Split:
    """The split with the questions of some types only; wanted: question type -> whether it is kept."""
    chosen = [index for index, triple in enumerate(split.triples) if wanted(triple["type"])]
    return replace(
        split,
        triples=[split.triples[index] for index in chosen],
        picture_of=[split.picture_of[index] for index in chosen],
    )


def _triples_by_question(split: Split, describe: bool) -> dict[tuple[str, int], list[int]]:
    """(question, picture) -> indices of its triples."""
    indices: dict[tuple[str, int], list[int]] = {}
    for index, (triple, picture) in enumerate(zip(split.triples, split.picture_of, strict=True)):
        if (triple["type"] == "describe") == describe:
            indices.setdefault((triple["question"], picture), []).append(index)
    return indices


def _chunks(rows: list, size: int) -> list[list]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
