"""Answers and scores of an exported model: numpy, Pillow, tokenizers and ONNX Runtime, no torch.

Every graph runs at one fixed batch shape and questions have one fixed length; a short last batch is filled
with copies of its first row. So an answer is the same to the bit alone and among others, at a given batch
size. Shapes: N items, B batch, L layers, H heads, T answer tokens, M memory tokens (P patches, then the
question's tokens), D width, E embedding width, S tokens of a text.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.core.params.generation import Decoding, Generation, Spin
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.tokenizer import Tokenizer
from sightline.inference import answering, bundle_settings, caption_scoring, describing
from sightline.inference.answering import Answer
from sightline.inference.batching import DistinctQuestions, Row, filled
from sightline.inference.bundle_settings import GENERATION
from sightline.inference.confidence import calibrated
from sightline.inference.encoding import Encoder, SessionError, read_preprocessing
from sightline.inference.engine import SHORT_ANSWER, GeneratedTokens
from sightline.inference.object_words import ObjectWords
from sightline.inference.onnx_engine import OnnxEngine
from sightline.inference.question_detector import FOLDER, QuestionDetector

MODEL = "onnx"  # a bundle's sub-folder with the graphs, where transformers.js and optimum look for them
TOKENIZER = "tokenizer.json"
DECODER_TOKENIZER = "decoder_tokenizer"  # folder beside it where the decoder has a tokenizer of its own
ONE_BY_ONE = ("contrast", "candidates")  # decodings that fill a batch with one picture


class Session(Encoder):
    """One model, ready to answer. Holds no state between calls; `settings` are what the bundle says."""

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> "Session":
        """The shipped model in a bundle. ValueError for a damaged, foreign or incomplete one."""
        bundle = artifacts.load(folder, "bundle").path
        session = cls.open(bundle, MODEL, threads)
        session.question_detector = QuestionDetector.load(bundle / FOLDER)
        session.object_words = ObjectWords.load(bundle / FOLDER)
        return session

    @classmethod
    def load_variant(cls, folder: Path, variant: str, threads: int = 1) -> "Session":
        """One variant (fp32, pruned, int8) in the export stage's folder; SPIN is off in it."""
        exported = artifacts.load(folder, "onnx")
        if variant not in exported.config["variants"]:
            names = ", ".join(exported.config["variants"])
            raise SessionError(f"{folder}: no variant {variant!r}; it holds {names}")
        return cls.open(exported.path, variant, threads)

    @classmethod
    def open(cls, folder: Path, graphs: str, threads: int = 1) -> "Session":
        """Unverified: `folder` with tokenizer and settings, and the sub-folder `graphs` of it."""
        engine, (answering, searching) = OnnxEngine(folder / graphs, threads), read_tokenizers(folder)
        known = engine.config["vocab_size"]
        for tokenizer, size, name in (
            (searching, known, TOKENIZER),
            (answering, engine.config.get("decoder_vocab_size", known), DECODER_TOKENIZER),
        ):
            if tokenizer.size != size:
                raise SessionError(
                    f"{folder / name}: {tokenizer.size} tokens, but the model was trained with {size}; use "
                    "the tokenizer that was exported with it"
                )
        settings = bundle_settings.read(folder / GENERATION)
        return cls(engine, answering, read_preprocessing(folder), settings, folder, searching)

    def search_digest(self) -> str:
        """Of an exported model: what an index must have been built with (`OnnxEngine.search_digest`)."""
        self.require_search()
        assert isinstance(self.engine, OnnxEngine)
        return self.engine.search_digest()

    @property
    def provider(self) -> str:
        """Of an exported model: what it runs on (`OnnxEngine.provider`)."""
        assert isinstance(self.engine, OnnxEngine)
        return self.engine.provider

    def answer(
        self, images: Sequence[np.ndarray], questions: Sequence[str], generation: Generation | None = None,
        spin: Spin | None = None, *, need_maps: bool = False, batch_size: int = 1,
        captions: Sequence[Sequence[str]] | None = None,
    ) -> list[Answer]:  # fmt: skip
        """Answer question i about picture i (uint8 [Y, X, 3]): a description as `generation` says, any other
        question by greedy decoding.

        `generation` and `spin` default to the bundle's. `captions`: retrieved captions that
        are read with question i (retrieval_context). Equal pictures and equal (picture, question, captions)
        are computed once. Raises ValueError for unequal counts or settings that the model does not have.
        """
        distinct = DistinctQuestions.of(images, questions, captions)
        decodings = [self.decoding(question, generation) for question in distinct.questions]
        answers: dict[Row, Answer] = {}
        for decoding in dict.fromkeys(decodings):
            # Sorted by question: rows of a batch then end at about the same step.
            rows = sorted({row for row in distinct.rows if decodings[row[0]] == decoding})
            if decoding.decoding in ONE_BY_ONE:
                answers |= {
                    (question, picture, texts): self.answer_pixels(
                        self.pixels([distinct.images[picture]])[0], distinct.questions[question],
                        decoding, spin, need_maps=need_maps, captions=texts,
                    )
                    for question, picture, texts in rows
                }  # fmt: skip
                continue
            inputs = self.decoding_inputs(decoding, spin)
            tokens_NPD = self.image_tokens(self.pixels(distinct.images), batch_size)
            ids_NS, mask_NS = self.question_ids(distinct.questions)
            for chunk, positions in filled(np.arange(len(rows)), batch_size):
                batch = [rows[position] for position in positions]
                question_B, picture_B, captions_B = (list(column) for column in zip(*batch, strict=True))
                memory = self.memory(
                    tokens_NPD[picture_B], ids_NS[question_B], mask_NS[question_B], captions_B
                )
                written = answering.generate(self.engine, memory, inputs, decoding, len(chunk), need_maps)
                for row, generated in zip(batch, written, strict=False):
                    read = ids_NS[row[0]], mask_NS[row[0]]
                    asked = distinct.questions[row[0]]
                    answers[row] = self.finish(generated, asked, *read, decoding.decoding)
        return [answers[row] for row in distinct.rows]

    def answer_pixels(
        self, pixels_CYX: np.ndarray, question: str, generation: Generation, spin: Spin | None = None, *,
        need_maps: bool = False, captions: Sequence[str] = (),
    ) -> Answer:  # fmt: skip
        """One answer about a picture as the model sees it (`pixels`), by `generation` whatever the question;
        to the bit as by `answer` at batch size 1. Raises ValueError for settings that the model lacks."""
        inputs = self.decoding_inputs(generation, spin)
        ids_1S, mask_1S = self.question_ids([question])
        candidates = []
        if generation.decoding in ONE_BY_ONE:
            chosen = describing.choose(self, pixels_CYX, question, captions, generation, inputs)
            generated = chosen.generated
            if generation.candidates > 1:
                candidates = list(zip(chosen.candidates, chosen.likeness_C.tolist(), strict=True))
            if need_maps:
                generated = answering.with_maps(self.engine, chosen.memory, inputs, generated)
        else:
            tokens_1PD = self.engine.image_tokens(pixels_CYX[None])
            memory = self.memory(tokens_1PD, ids_1S, mask_1S, [captions])
            (generated,) = answering.generate(self.engine, memory, inputs, generation, 1, need_maps)
        return self.finish(generated, question, ids_1S[0], mask_1S[0], generation.decoding, candidates)

    def decoding(self, question: str, generation: Generation | None = None) -> Generation:
        """How a question is answered: a description as `generation` (default: the bundle's) says, any other
        by the likeliest words."""
        generation = self.settings.generation if generation is None else generation
        return generation if question == DESCRIBE else generation.greedy()

    def score_captions(
        self, images: Sequence[np.ndarray], texts: Sequence[str], image_N: np.ndarray, text_N: np.ndarray,
        batch_size: int = 1,
    ) -> np.ndarray:  # fmt: skip
        """Natural log of the probability that the model describes picture image_N[n] in the words of text
        text_N[n], [N]; longer texts are cut to the longest answer. Every picture is read once."""
        return caption_scoring.score(self, images, texts, image_N, text_N, batch_size)

    def rerank(self, image: np.ndarray, texts: Sequence[str], batch_size: int = 1) -> np.ndarray:
        """How well each text matches the picture, by the fusion head: logits [N], higher is better."""
        tokens_1PD, _ = self.encode_images([image])
        states_NSD, mask_NS, _ = self.encode_texts(texts, batch_size)
        return self.match(np.repeat(tokens_1PD, len(texts), axis=0), states_NSD, mask_NS, batch_size)

    def finish(
        self, generated: GeneratedTokens, question: str, ids_S: np.ndarray, mask_S: np.ndarray,
        decoding: Decoding, candidates: Sequence[tuple[str, float]] = (),
    ) -> Answer:  # fmt: skip
        """The answer to a question, which the model reads as `ids_S`: its calibrated confidence, and maps of
        its real tokens. Never sure where the question is out of domain."""
        read = ids_S[mask_S].tolist()
        maps = generated.maps_LHTM
        if maps is not None:
            maps = maps[..., : maps.shape[-1] - len(ids_S) + len(read)]
        probability = confidence = generated.confidence()
        sure = object_probability = None
        if len(generated.ids) <= SHORT_ANSWER:
            fitted = self.settings.confidence
            confidence = calibrated(probability, fitted.temperature)
            sure = None if fitted.sure_above is None else confidence > fitted.sure_above
        elif self.object_words is not None:
            object_probability = self.object_words.least_probability(
                self.tokenizer, generated.ids, generated.logprobs
            )
        if self.question_is_unlike(question):
            sure = False
        return Answer(
            self.tokenizer.decode(generated.ids), generated.ids, probability, confidence, sure,
            generated.finished, maps, generated.gates_LHT, read, decoding, list(candidates),
            object_probability,
        )  # fmt: skip


def read_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """Those of questions and answers, and of captions and queries, in an exported folder; the same one unless
    the decoder has its own."""
    searching, own = Tokenizer.load(folder / TOKENIZER), folder / DECODER_TOKENIZER / TOKENIZER
    return (Tokenizer.load(own) if own.is_file() else searching), searching
