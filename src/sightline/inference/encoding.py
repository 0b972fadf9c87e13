"""Pictures, texts and questions as arrays of one model: an engine with the tokenizer and the preprocessing
that it was trained with. Numpy alone.

Shapes: N items, B batch, L layers, P patches, D width, E embedding width, S tokens of a text, K captions;
C,Y,X channels and sides.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.core.params.generation import SPIN_OFF, Generation, Spin
from sightline.core.preprocessing import Preprocessing
from sightline.data.questions.prompt_template import prompt
from sightline.data.tokenizer import Tokenizer
from sightline.data.transforms import preprocess
from sightline.inference import retrieval_context
from sightline.inference.batching import in_batches
from sightline.inference.bundle_settings import MOST_TOKENS, BundleSettings
from sightline.inference.engine import DecodingInputs, Engine, Memory
from sightline.inference.object_words import ObjectWords
from sightline.inference.question_detector import QuestionDetector
from sightline.spin import gate

PREPROCESSOR = "preprocessor_config.json"
NO_ANSWERS = (
    "this model was built without answering (finetune.epochs was 0): it searches only; for answers set "
    "finetune.epochs above 0 and run `dvc repro`"
)
NO_SEARCH = (
    "this model was converted from transformers and answers only: it has no embeddings to search, to compare "
    "candidates or to tell unusual pictures by; ask it, or search with a model that Sightline built"
)


class SessionError(ValueError):
    """A question that cannot be asked, or settings that the model does not have."""


class Encoder:
    """Encodes inputs for a model and checks settings against it. Holds no state between calls; `settings` are
    those of the bundle, `folder` is where it lies (None: nowhere). `tokenizer` reads questions and writes
    answers, `text_tokenizer` (None: the same) reads captions and queries."""

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, preprocessing: Preprocessing, settings: BundleSettings,
        folder: Path | None = None, text_tokenizer: Tokenizer | None = None,
    ):  # fmt: skip
        self.engine, self.tokenizer, self.folder = engine, tokenizer, folder
        self.text_tokenizer = text_tokenizer or tokenizer
        self.preprocessing, self.settings = preprocessing, settings
        self.question_detector: QuestionDetector | None = None  # of a bundle
        self.object_words: ObjectWords | None = None  # of a bundle
        if self.answers:
            self.heads_kept(settings.spin)

    @property
    def answers(self) -> bool:
        """Whether the model has a decoder; one without it searches only."""
        return "layers" in self.engine.config

    @property
    def start(self) -> int:
        """The token that the decoder is fed first."""
        return self.settings.prompt.start if self.settings.prompt else self.tokenizer.bos

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return self.settings.prompt.end if self.settings.prompt else self.tokenizer.eos

    @property
    def searches(self) -> bool:
        """Whether the model has a dual encoder; one without it answers only."""
        return self.engine.config.get("searches", True)

    def require_search(self) -> None:
        """Raises SessionError for a model that only answers."""
        if not self.searches:
            raise SessionError(NO_SEARCH)

    def require_answers(self) -> None:
        """Raises SessionError for a model that only searches."""
        if not self.answers:
            raise SessionError(NO_ANSWERS)

    def heads_kept(self, spin: Spin) -> tuple[np.ndarray, float]:
        """The gate's run-time inputs: heads kept per layer (int64) and the factor on the others. Raises
        SessionError for a score or a layer that this model does not have, and for a model without answers."""
        self.require_answers()
        if spin.score != "mass":
            raise SessionError(
                f"spin.score {spin.score!r}: exported graphs rank heads by attention mass; use mass, or "
                "the PyTorch model"
            )
        config = self.engine.config
        kept = gate.heads_kept(spin.keep, spin.top_k, spin.layers, config["layers"], config["heads"])
        return np.array(kept, dtype=np.int64), spin.alpha

    def decoding_inputs(self, generation: Generation, spin: Spin | None = None) -> DecodingInputs:
        """Inputs of the decoding loops; `spin` None: as `generation.spin` says. Raises
        SessionError for settings that this model does not have."""
        k_L, alpha = self.heads_kept(self.spin(generation.spin) if spin is None else spin)
        longest, limit = generation.max_tokens, self.engine.config["max_answer"]
        if longest > limit:
            raise SessionError(
                f"max_tokens is {longest}: this model was trained for answers of 1 to {limit} tokens"
            )
        return DecodingInputs(self.start, self.end, longest, k_L, alpha)

    def spin(self, gated: bool | None = None) -> Spin:
        """The bundle's gate, or none; None: as the bundle's generation says."""
        gated = self.settings.generation.spin if gated is None else gated
        return self.settings.spin if gated else SPIN_OFF

    def memory(
        self, tokens_BPD: np.ndarray, ids_BS: np.ndarray, mask_BS: np.ndarray,
        captions_BK: Sequence[Sequence[str]],
    ) -> Memory:  # fmt: skip
        """The decoder's memory: pictures and questions, each question with its retrieved captions, if any.
        Raises SessionError for captions with a causal language model: its question sees nothing after it."""
        if "decoder_vocab_size" in self.engine.config and any(captions_BK):
            raise SessionError(
                "retrieved captions are read by our own decoder only, and this model's is a causal language "
                "model: ask without them"
            )
        length = max(self.settings.max_text, ids_BS.shape[1])
        return retrieval_context.read(
            self.engine, self.tokenizer, tokens_BPD, ids_BS, mask_BS, captions_BK, length
        )

    def encode_images(
        self, images: Sequence[np.ndarray], batch_size: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """(tokens_NPD, unit embeds_NE) of pictures, uint8 [Y, X, 3] each."""
        self.require_search()
        tokens_NPD, embeds_NE = in_batches(self.engine.embed_images, [self.pixels(images)], batch_size)
        return tokens_NPD, embeds_NE

    def encode_texts(
        self, texts: Sequence[str], batch_size: int = 1
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(states_NSD, mask_NS, unit embeds_NE) of captions or queries; longer ones are cut to `max_text`
        tokens."""
        self.require_search()
        if not len(texts):
            raise SessionError("no texts given; give at least one")
        length = self.settings.max_text
        ids_NS, mask_NS = self.text_tokenizer.batch(texts, length, pad_to=length)
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

    def question_ids(self, questions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(ids_NS int64, mask_NS bool) of the questions in the template, all of one length."""
        length = self.settings.max_question
        if self.settings.prompt is not None:
            return self.settings.prompt.batch(self.tokenizer, questions, length)
        return self.tokenizer.batch([prompt(question) for question in questions], length, pad_to=length)

    def question_is_cut(self, question: str) -> bool:
        """Whether the model reads only the beginning of the question, which is then another question."""
        longest = self.settings.max_question
        if self.settings.prompt is not None:
            return len(self.settings.prompt.encode(self.tokenizer, question, 2 * MOST_TOKENS)) > longest
        return _is_cut(self.tokenizer, prompt(question), longest)

    def question_is_unlike(self, question: str) -> bool:
        """Whether the question is out of domain; False for a model without a detector."""
        return self.question_detector is not None and self.question_detector.unlike(question)

    def text_is_cut(self, text: str) -> bool:
        """Whether search reads only the beginning of the text."""
        return _is_cut(self.text_tokenizer, text, self.settings.max_text)

    def image_tokens(self, pixels_NCYX: np.ndarray, batch_size: int = 1) -> np.ndarray:
        """tokens_NPD of pictures, as the answering model reads them."""
        return in_batches(lambda pixels: (self.engine.image_tokens(pixels),), [pixels_NCYX], batch_size)[0]

    def pixels(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """pixels_NCYX float32, as the model was trained with them."""
        if not len(images):
            raise SessionError("no pictures given; give at least one")
        return np.stack([preprocess(rgb, self.preprocessing) for rgb in images])

    @property
    def image_size(self) -> int:
        """Side of the model's input, in pixels."""
        return self.preprocessing.image_size


def read_preprocessing(folder: Path) -> Preprocessing:
    """The preprocessing that a folder's preprocessor_config.json describes. Raises SessionError."""
    try:
        return Preprocessing.from_config(artifacts.read_json(folder / PREPROCESSOR))
    except ValueError as error:
        raise SessionError(f"{folder / PREPROCESSOR}: {error}") from error


def _is_cut(tokenizer: Tokenizer, text: str, length: int) -> bool:
    return len(tokenizer.encode(text, length + 1)) > length
