"""Ask and search with an exported model: numpy, Pillow, tokenizers and ONNX Runtime, no torch.

Every graph runs at one fixed batch shape and questions have one fixed length; a short last batch is filled
with copies of its first row. So an answer is the same to the bit alone and among others, at a given batch
size. Shapes: N items, B batch, L layers, H heads, T answer tokens, M memory tokens (P patches, then the
question's tokens), D width, E embedding width, S tokens of a text.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import artifacts
from sightline.core.params.generation import SPIN_OFF, Decoding, Generation, Spin
from sightline.data.questions.prompt_template import DESCRIBE, prompt
from sightline.data.tokenizer import Tokenizer
from sightline.data.transforms import preprocess
from sightline.inference import answering, bundle_settings, caption_scoring, describing, retrieval_context
from sightline.inference.answering import Answer
from sightline.inference.batching import DistinctQuestions, Row, filled, in_batches
from sightline.inference.bundle_settings import GENERATION, BundleSettings
from sightline.inference.confidence import calibrated
from sightline.inference.engine import SHORT_ANSWER, DecodingInputs, Engine, GeneratedTokens, Memory
from sightline.inference.onnx_engine import OnnxEngine
from sightline.spin import gate

MODEL = "onnx"  # a bundle's sub-folder with the graphs, where transformers.js and optimum look for them
TOKENIZER, PREPROCESSOR = "tokenizer.json", "preprocessor_config.json"
PREPROCESSOR_KEYS = ("crop_size", "image_mean", "image_std")
ONE_BY_ONE = ("contrast", "candidates")  # decodings that fill a batch with one picture


class SessionError(ValueError):
    """A question that cannot be asked, or settings that the model does not have."""


class Session:
    """One model, ready to answer. Holds no state between calls; `settings` are what the bundle says."""

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, preprocess: dict[str, Any], settings: BundleSettings,
        folder: Path | None = None,
    ):  # fmt: skip
        missing = [
            key for key in PREPROCESSOR_KEYS if not isinstance(preprocess, dict) or key not in preprocess
        ]
        if missing:
            raise SessionError(f"{PREPROCESSOR}: lacks {', '.join(missing)}; rerun the stage that wrote it")
        self.engine, self.tokenizer, self.folder = engine, tokenizer, folder
        self.preprocess_config, self.settings = preprocess, settings
        self.heads_kept(settings.spin)

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> "Session":
        """The shipped model in a bundle. ValueError for a damaged, foreign or incomplete one."""
        return cls.open(artifacts.load(folder, "bundle").path, MODEL, threads)

    @classmethod
    def load_variant(cls, folder: Path, variant: str, threads: int = 1) -> "Session":
        """One variant (fp32, pruned, int8) in the export stage's folder; SPIN is off in it."""
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
        preprocessor = artifacts.read_json(folder / PREPROCESSOR)
        return cls(engine, tokenizer, preprocessor, bundle_settings.read(folder / GENERATION), folder)

    def heads_kept(self, spin: Spin) -> tuple[np.ndarray, float]:
        """The gate's run-time inputs: heads kept per layer (int64) and the factor on the others. Raises
        SessionError for a score or a layer that this model does not have."""
        if spin.score != "mass":
            raise SessionError(
                f"spin.score {spin.score!r}: exported graphs rank heads by attention mass; use mass, or "
                "the PyTorch model"
            )
        config = self.engine.config
        kept = gate.heads_kept(spin.keep, spin.top_k, spin.layers, config["layers"], config["heads"])
        return np.array(kept, dtype=np.int64), spin.alpha

    def answer(
        self, images: Sequence[np.ndarray], questions: Sequence[str], generation: Generation | None = None,
        spin: Spin | None = None, *, need_maps: bool = False, batch_size: int = 1,
        captions: Sequence[Sequence[str]] | None = None,
    ) -> list[Answer]:  # fmt: skip
        """Answer question i about picture i (uint8 [Y, X, 3]): a description as `generation` says, any other
        question by greedy decoding.

        `generation` and `spin` default to the bundle's. `captions`: what question i is read beside
        (retrieval_context). Equal pictures and equal (picture, question, captions) are computed once.
        Raises ValueError for unequal counts or settings that the model does not have.
        """
        asked = DistinctQuestions.of(images, questions, captions)
        decodings = [self.decoding(question, generation) for question in asked.questions]
        answers: dict[Row, Answer] = {}
        for decoding in dict.fromkeys(decodings):
            # Sorted by question: rows of a batch then end at about the same step.
            rows = sorted({row for row in asked.rows if decodings[row[0]] == decoding})
            if decoding.decoding in ONE_BY_ONE:
                answers |= {
                    (question, picture, texts): self.answer_pixels(
                        self.pixels([asked.images[picture]])[0], asked.questions[question], decoding, spin,
                        need_maps=need_maps, captions=texts,
                    )
                    for question, picture, texts in rows
                }  # fmt: skip
                continue
            inputs = self.decoding_inputs(decoding, spin)
            tokens_NPD = self.image_tokens(self.pixels(asked.images), batch_size)
            ids_NS, mask_NS = self.question_ids(asked.questions)
            for chunk, places in filled(np.arange(len(rows)), batch_size):
                batch = [rows[place] for place in places]
                question_B, picture_B, captions_B = (list(column) for column in zip(*batch, strict=True))
                memory = self.memory(
                    tokens_NPD[picture_B], ids_NS[question_B], mask_NS[question_B], captions_B
                )
                written = answering.generate(self.engine, memory, inputs, decoding, len(chunk), need_maps)
                for row, generated in zip(batch, written, strict=False):
                    read = ids_NS[row[0]], mask_NS[row[0]]
                    answers[row] = self.finish(generated, *read, decoding.decoding)
        return [answers[row] for row in asked.rows]

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
        return self.finish(generated, ids_1S[0], mask_1S[0], generation.decoding, candidates)

    def decoding(self, question: str, generation: Generation | None = None) -> Generation:
        """How a question is answered: a description as `generation` (default: the bundle's) says, any other
        by the likeliest words."""
        generation = self.settings.generation if generation is None else generation
        return generation if question == DESCRIBE else generation.greedy()

    def spin(self, gated: bool | None = None) -> Spin:
        """The bundle's gate, or none; None: as the bundle's generation says."""
        gated = self.settings.generation.spin if gated is None else gated
        return self.settings.spin if gated else SPIN_OFF

    def decoding_inputs(self, generation: Generation, spin: Spin | None = None) -> DecodingInputs:
        """What the decoding loops are called with; `spin` None: as `generation.spin` says. Raises
        SessionError for settings that this model does not have."""
        k_L, alpha = self.heads_kept(self.spin(generation.spin) if spin is None else spin)
        longest, limit = generation.max_tokens, self.engine.config["max_answer"]
        if longest > limit:
            raise SessionError(
                f"max_tokens is {longest}: this model was trained for answers of 1 to {limit} tokens"
            )
        return DecodingInputs(self.tokenizer.bos, self.tokenizer.eos, longest, k_L, alpha)

    def memory(
        self, tokens_BPD: np.ndarray, ids_BS: np.ndarray, mask_BS: np.ndarray,
        captions_BK: Sequence[Sequence[str]],
    ) -> Memory:  # fmt: skip
        """What the decoder reads: pictures and questions, each question beside its captions, if any."""
        length = max(self.settings.max_text, ids_BS.shape[1])
        return retrieval_context.read(
            self.engine, self.tokenizer, tokens_BPD, ids_BS, mask_BS, captions_BK, length
        )

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
        length = self.settings.max_text
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
        self, generated: GeneratedTokens, ids_S: np.ndarray, mask_S: np.ndarray, decoding: Decoding,
        candidates: Sequence[tuple[str, float]] = (),
    ) -> Answer:  # fmt: skip
        """The answer to the question `ids_S`: its calibrated confidence, and maps of its real tokens."""
        question = ids_S[mask_S].tolist()
        maps = generated.maps_LHTM
        if maps is not None:
            maps = maps[..., : maps.shape[-1] - len(ids_S) + len(question)]
        probability = confidence = generated.confidence()
        sure = None
        if len(generated.ids) <= SHORT_ANSWER:
            fitted = self.settings.confidence
            confidence = calibrated(probability, fitted.temperature)
            sure = None if fitted.sure_above is None else confidence > fitted.sure_above
        return Answer(
            self.tokenizer.decode(generated.ids), generated.ids, probability, confidence, sure,
            generated.finished, maps, generated.gates_LHT, question, decoding, list(candidates),
        )  # fmt: skip

    def question_ids(self, questions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(ids_NS int64, mask_NS bool) of the questions in the template, all of one length."""
        length = self.settings.max_question
        return self.tokenizer.batch([prompt(question) for question in questions], length, pad_to=length)

    def question_is_cut(self, question: str) -> bool:
        """Whether the model reads only the beginning of the question, which is then another question."""
        return self._is_cut(prompt(question), self.settings.max_question)

    def text_is_cut(self, text: str) -> bool:
        """Whether search reads only the beginning of the text."""
        return self._is_cut(text, self.settings.max_text)

    def _is_cut(self, text: str, length: int) -> bool:
        return len(self.tokenizer.encode(text, length + 1)) > length

    def image_tokens(self, pixels_NCYX: np.ndarray, batch_size: int = 1) -> np.ndarray:
        """tokens_NPD of pictures, as the answering model reads them."""
        return in_batches(lambda pixels: (self.engine.image_tokens(pixels),), [pixels_NCYX], batch_size)[0]

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
