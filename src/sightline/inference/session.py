"""Ask and search with an exported model: numpy, Pillow, tokenizers and ONNX Runtime, no torch.

Every graph runs at one fixed batch shape and questions have one fixed length; a short last batch is filled
with copies of its first row. So an answer is the same to the bit alone and among others, at a given batch
size. Shapes: N items, B batch, L layers, H heads, T answer tokens, M memory tokens (P patches, then the
question's tokens), D width, E embedding width, S tokens of a text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import artifacts
from sightline.data.questions.prompt_template import DESCRIBE, prompt
from sightline.data.tokenizer import Tokenizer
from sightline.data.transforms import preprocess
from sightline.inference import retrieval_context
from sightline.inference.batching import distinct, filled, in_batches, picture_key
from sightline.inference.confidence import NOT_FITTED, calibrated
from sightline.inference.decoding import beam, greedy, streaming
from sightline.inference.engine import SHORT_ANSWER, Engine, Generation, Memory, log_softmax, take_memory
from sightline.inference.onnx_engine import OnnxEngine
from sightline.spin import gate

SPIN_OFF: dict[str, Any] = {"keep": 1.0, "top_k": None, "alpha": 1.0, "layers": [], "score": "mass"}
MODEL = "onnx"  # a bundle's sub-folder with the graphs, where transformers.js and optimum look for them
TOKENIZER, PREPROCESSOR, GENERATION = "tokenizer.json", "preprocessor_config.json", "generation.json"
GENERATION_KEYS = ("confidence", "max_new", "max_question", "max_text", "spin")
PREPROCESSOR_KEYS = ("crop_size", "image_mean", "image_std")


class SessionError(ValueError):
    """A question that cannot be asked, or settings that the model does not have."""


@dataclass(frozen=True)
class Answer:
    """`probability` is what the model gives the answer; `confidence` the same, calibrated on `val` where the
    answer is short; `sure` whether that suffices (None: a long answer, or a model without a bound).

    `maps_LHTM` (attention of every answer token over patches and question tokens) and `gates_LHT` only where
    they were asked for; `question_ids` are the memory's text tokens, in order."""

    text: str
    ids: list[int]
    probability: float
    confidence: float
    sure: bool | None
    finished: bool
    maps_LHTM: np.ndarray | None
    gates_LHT: np.ndarray | None
    question_ids: list[int]


class Session:
    """One model, ready to answer. Holds no state between calls."""

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, preprocess: dict[str, Any], generation: dict[str, Any],
        folder: Path | None = None,
    ):  # fmt: skip
        for what, config, keys in (
            (PREPROCESSOR, preprocess, PREPROCESSOR_KEYS),
            (GENERATION, generation, GENERATION_KEYS),
        ):
            missing = [key for key in keys if not isinstance(config, dict) or key not in config]
            if missing:
                raise SessionError(f"{what}: lacks {', '.join(missing)}; rerun the stage that wrote it")
        self.engine, self.tokenizer, self.folder = engine, tokenizer, folder
        self.preprocess_config, self.generation = preprocess, generation
        self.heads_kept(generation["spin"])
        if not isinstance(trust := generation["confidence"], dict) or trust.keys() != NOT_FITTED.keys():
            raise SessionError(f"{GENERATION}: confidence is {trust!r}, expected {', '.join(NOT_FITTED)}")

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> "Session":
        """The shipped model in a bundle. ValueError for a damaged, foreign or incomplete one."""
        return cls.open(artifacts.load(folder, "bundle").path, MODEL, threads)

    @classmethod
    def load_variant(cls, folder: Path, variant: str, threads: int = 1) -> "Session":
        """One variant (fp32, pruned, int8) in the export stage's folder; it brings no SPIN settings."""
        exported = artifacts.load(folder, "onnx")
        if variant not in exported.config["variants"]:
            held = ", ".join(exported.config["variants"])
            raise SessionError(f"{folder}: no variant {variant!r}; it holds {held}")
        return cls.open(exported.path, variant, threads)

    @classmethod
    def open(cls, folder: Path, graphs: str, threads: int = 1) -> "Session":
        """Unverified: `folder` with tokenizer and settings, and the sub-folder `graphs` of it."""
        engine, tokenizer = OnnxEngine(folder / graphs, threads), Tokenizer.load(folder / TOKENIZER)
        if tokenizer.size != engine.config["vocab_size"]:
            raise SessionError(
                f"{folder / TOKENIZER}: {tokenizer.size} tokens, but the model was trained with "
                f"{engine.config['vocab_size']}; use the tokenizer that was exported with it"
            )
        settings = (artifacts.read_json(folder / name) for name in (PREPROCESSOR, GENERATION))
        return cls(engine, tokenizer, *settings, folder=folder)

    def heads_kept(self, spin: dict[str, Any]) -> tuple[np.ndarray, float]:
        """The gate's run-time inputs: heads kept per layer (int64) and the factor on the others."""
        missing = [key for key in SPIN_OFF if key not in spin]
        if missing:
            raise SessionError(f"spin settings lack {', '.join(missing)}; expected {', '.join(SPIN_OFF)}")
        if spin["score"] != "mass":
            raise SessionError(
                f"spin.score {spin['score']!r}: exported graphs rank heads by attention mass; use mass, or "
                "the PyTorch model"
            )
        config = self.engine.config
        kept = gate.heads_kept(spin["keep"], spin["top_k"], spin["layers"], config["layers"], config["heads"])
        return np.array(kept, dtype=np.int64), float(spin["alpha"])

    def answer(
        self, images: Sequence[np.ndarray], questions: Sequence[str], spin: dict[str, Any] | None = None,
        max_new: int | None = None, need_maps: bool = False, batch_size: int = 1, beams: int = 1,
        captions: Sequence[Sequence[str]] | None = None,
    ) -> list[Answer]:  # fmt: skip
        """Answer question i about picture i (uint8 [Y, X, 3]) by greedy decoding, or by beam search, which
        has no maps.

        `spin` and `max_new` default to the bundle's. `captions`: what question i is read beside
        (retrieval_context). Equal pictures and equal (picture, question, captions) are computed once.
        Raises ValueError for unequal counts or settings out of range.
        """
        if len(images) != len(questions):
            raise SessionError(
                f"answer: {len(images)} images for {len(questions)} questions; give one of each"
            )
        told = [tuple(texts) for texts in captions] if captions is not None else [()] * len(images)
        if len(told) != len(images):
            raise SessionError(f"answer: captions for {len(told)} of {len(images)} questions; give all some")
        if not images:
            return []
        pictures, picture_N = distinct([picture_key(image) for image in images])
        asked, asked_N = distinct(list(questions))
        tokens_NPD = self._image_tokens([images[i] for i in pictures], batch_size)
        ids_NS, mask_NS = self.question_ids([questions[i] for i in asked])
        # Sorted by question: rows of a batch then end at about the same step.
        rows_N = [(asked_N[i], picture_N[i], told[i]) for i in range(len(images))]
        pairs = sorted(set(rows_N))
        answers: dict[tuple[int, int, tuple[str, ...]], Answer] = {}
        for start in range(0, len(pairs), batch_size):
            chunk = pairs[start : start + batch_size]
            rows = chunk + [chunk[0]] * (batch_size - len(chunk))
            question_B, picture_B, told_B = (list(column) for column in zip(*rows, strict=True))
            memory = self.memory(tokens_NPD[picture_B], ids_NS[question_B], mask_NS[question_B], told_B)
            written = self._generate(memory, len(chunk), spin, max_new, need_maps, beams)
            for pair, generation in zip(chunk, written, strict=True):
                answers[pair] = self.finish(generation, ids_NS[pair[0]], mask_NS[pair[0]])
        return [answers[row] for row in rows_N]

    def memory(
        self, tokens_BPD: np.ndarray, ids_BS: np.ndarray, mask_BS: np.ndarray,
        captions_BK: Sequence[Sequence[str]],
    ) -> Memory:  # fmt: skip
        """What the decoder reads: pictures and questions, each question beside its captions, if any."""
        length = max(self.generation["max_text"], ids_BS.shape[1])
        return retrieval_context.read(
            self.engine, self.tokenizer, tokens_BPD, ids_BS, mask_BS, captions_BK, length
        )

    def stream(
        self, image: np.ndarray, question: str, spin: dict[str, Any] | None = None, max_new: int | None = None
    ) -> Iterator[str]:
        """Yield the answer to one question as it grows; the last text equals `answer`'s at batch size 1."""
        ids_1S, mask_1S = self.question_ids([question])
        memory = self.engine.memory(self._image_tokens([image], 1), ids_1S, mask_1S)
        ids: list[int] = []
        for token in streaming.stream(self.engine, memory, need_maps=False, **self.knobs(spin, max_new)):
            ids.append(token.id)
            yield self.tokenizer.decode(ids)

    def encode_images(
        self, images: Sequence[np.ndarray], batch_size: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """(tokens_NPD, unit embeds_NE) of pictures, uint8 [Y, X, 3] each."""
        tokens_NPD, embeds_NE = in_batches(self.engine.embed_images, [self.pixels(images)], batch_size)
        return tokens_NPD, embeds_NE

    def encode_texts(
        self, texts: Sequence[str], batch_size: int = 1
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(states_NSD, mask_NS, unit embeds_NE) of captions or queries; longer ones are cut to `max_text`
        tokens."""
        if not len(texts):
            raise SessionError("no texts given; give at least one")
        length = self.generation["max_text"]
        ids_NS, mask_NS = self.tokenizer.batch(texts, length, pad_to=length)
        states_NSD, embeds_NE = in_batches(self.engine.embed_texts, [ids_NS, mask_NS], batch_size)
        return states_NSD, mask_NS, embeds_NE

    def embed_images(self, images: Sequence[np.ndarray], batch_size: int = 1) -> np.ndarray:
        """Unit embeddings [N, E]."""
        return self.encode_images(images, batch_size)[1]

    def embed_texts(self, texts: Sequence[str], batch_size: int = 1) -> np.ndarray:
        """Unit embeddings [N, E]."""
        return self.encode_texts(texts, batch_size)[2]

    def match(
        self, tokens_NPD: np.ndarray, states_NSD: np.ndarray, mask_NS: np.ndarray, batch_size: int = 1
    ) -> np.ndarray:
        """Matching score (a logit) of picture i with text i from their encodings, [N]."""
        return in_batches(
            lambda *rows: (self.engine.match(*rows),), [tokens_NPD, states_NSD, mask_NS], batch_size
        )[0]

    def describe(
        self, images: Sequence[np.ndarray], texts: Sequence[str], image_N: np.ndarray, text_N: np.ndarray,
        batch_size: int = 1,
    ) -> np.ndarray:  # fmt: skip
        """Natural log of the probability that the model describes picture image_N[n] in the words of text
        text_N[n], [N]; longer texts are cut to the longest answer. Every picture is read once."""
        written_NS, real_NS = self.tokenizer.batch(list(texts), self.engine.config["max_answer"])
        ids_1S, mask_1S = self.question_ids([DESCRIBE])
        ids_BS, mask_BS = (np.repeat(array, batch_size, axis=0) for array in (ids_1S, mask_1S))
        k_L, alpha = self.heads_kept(SPIN_OFF)
        tokens_NPD, found_N = self._image_tokens(images, batch_size), np.zeros(len(image_N))
        for pictures, rows in filled(np.unique(image_N), batch_size):
            memory = self.engine.memory(tokens_NPD[rows], ids_BS, mask_BS)
            pairs = np.flatnonzero(np.isin(image_N, pictures))
            for chunk, rows in filled(pairs, batch_size):
                of_pair = take_memory(memory, np.searchsorted(pictures, image_N[rows]))
                words_BT, real_BT = written_NS[text_N[rows]], real_NS[text_N[rows]]
                longest = int(real_BT.sum(1).max())
                step = self.engine.step(words_BT[:, : longest - 1], None, of_pair, k_L, alpha, False)
                next_BT1 = words_BT[:, 1:longest, None]
                said_BT = np.take_along_axis(log_softmax(step.logits_BTV), next_BT1, axis=2)[..., 0]
                found_N[chunk] = (said_BT * real_BT[:, 1:longest]).sum(1)[: len(chunk)]
        return found_N

    def rerank(self, image: np.ndarray, texts: Sequence[str], batch_size: int = 1) -> np.ndarray:
        """How well each text matches the picture, by the fusion head: logits [N], higher is better."""
        tokens_1PD, _ = self.encode_images([image])
        states_NSD, mask_NS, _ = self.encode_texts(texts, batch_size)
        return self.match(np.repeat(tokens_1PD, len(texts), axis=0), states_NSD, mask_NS, batch_size)

    def _generate(
        self, memory: Memory, rows: int, spin: dict | None, max_new: int | None, need_maps: bool, beams: int
    ) -> list[Generation]:
        if beams > 1:
            return beam.generate(self.engine, memory, beams=beams, rows=rows, **self.knobs(spin, max_new))
        return greedy.generate(
            self.engine, memory, need_maps=need_maps, rows=rows, **self.knobs(spin, max_new)
        )

    def knobs(self, spin: dict[str, Any] | None, max_new: int | None) -> dict[str, Any]:
        """What every decoding loop is called with; None is the bundle's. Raises SessionError out of range."""
        k_L, alpha = self.heads_kept(self.generation["spin"] if spin is None else spin)
        limit = self.engine.config["max_answer"]
        length = self.generation["max_new"] if max_new is None else max_new
        if not 1 <= length <= limit:
            raise SessionError(
                f"max_new is {length}; this model was trained for answers of 1 to {limit} tokens"
            )
        return {
            "bos": self.tokenizer.bos,
            "eos": self.tokenizer.eos,
            "max_new": length,
            "k_L": k_L,
            "alpha": alpha,
        }

    def finish(self, generation: Generation, ids_S: np.ndarray, mask_S: np.ndarray) -> Answer:
        """The answer behind a generation about the question `ids_S`, with its calibrated confidence."""
        question = ids_S[mask_S].tolist()
        maps = generation.maps_LHTM
        if maps is not None:
            maps = maps[..., : maps.shape[-1] - len(ids_S) + len(question)]
        probability = confidence = generation.confidence()
        sure = None
        if len(generation.ids) <= SHORT_ANSWER:
            trust = self.generation["confidence"]
            confidence = calibrated(probability, trust["temperature"])
            sure = None if trust["sure_above"] is None else confidence > trust["sure_above"]
        return Answer(
            self.tokenizer.decode(generation.ids), generation.ids, probability, confidence, sure,
            generation.finished, maps, generation.gates_LHT, question,
        )  # fmt: skip

    def question_ids(self, questions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(ids_NS int64, mask_NS bool) of the questions in the template, all of one length."""
        length = self.generation["max_question"]
        return self.tokenizer.batch([prompt(question) for question in questions], length, pad_to=length)

    def question_is_cut(self, question: str) -> bool:
        """Whether the model reads only the beginning of the question, which is then another question."""
        return self._is_cut(prompt(question), self.generation["max_question"])

    def text_is_cut(self, text: str) -> bool:
        """Whether search reads only the beginning of the text."""
        return self._is_cut(text, self.generation["max_text"])

    def _is_cut(self, text: str, length: int) -> bool:
        return len(self.tokenizer.encode(text, length + 1)) > length

    def _image_tokens(self, images: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
        return in_batches(
            lambda pixels: (self.engine.image_tokens(pixels),), [self.pixels(images)], batch_size
        )[0]

    def pixels(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """pixels_NCYX float32, as the model was trained with them."""
        if not len(images):
            raise SessionError("no pictures given; give at least one")
        config = self.preprocess_config
        mean, std = config["image_mean"], config["image_std"]
        return np.stack([preprocess(rgb, self.image_size, mean, std) for rgb in images])

    @property
    def image_size(self) -> int:
        """Side of the square that the model sees, in pixels."""
        return self.preprocess_config["crop_size"]["height"]
