"""generation.json, the file that says how a bundle answers and re-ranks: typed, versioned, read from bundles
of 0.9.0 too.

Not in it: the preprocessing of pictures (preprocessor_config.json) and the model's sizes (engine.json).
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sightline.core import artifacts, typed_json
from sightline.core.params.checks import NotNegative, Settings
from sightline.core.params.generation import SPIN_OFF, Generation, Spin
from sightline.inference.chat_prompt import ChatPrompt
from sightline.inference.confidence import NOT_FITTED, Confidence

GENERATION = "generation.json"
FIRST = {"confidence", "max_new", "max_question", "max_text", "spin"}  # keys of 0.9.0, beside `describe`
MOST_TOKENS = 4096  # of a text: no text tower reads more, and attention takes its square in memory
REBUILD = (
    "rerun the stage that wrote it (`dvc repro export index`), or restore it (`sightline doctor --repair`)"
)


class BundleSettings(Settings):
    """How a model answers: its longest questions and texts, and what is used where a call says nothing."""

    version: Literal[1] = 1
    max_question: int = Field(ge=1, le=MOST_TOKENS, description="tokens")
    max_text: int = Field(ge=1, le=MOST_TOKENS, description="tokens of a caption or query")
    confidence: Confidence = NOT_FITTED
    generation: Generation
    spin: Spin = Field(default=SPIN_OFF, description="the gate where it is on")
    description_weight: NotNegative = Field(
        default=0.05, description="re-ranking: of the log-probability of a description, beside the cosine"
    )
    prompt: ChatPrompt | None = Field(default=None, description="of a converted model; none: our template")


def greedy_generation(max_tokens: int) -> Generation:
    """Greedy decoding without the gate; the other settings are those of a call that samples."""
    return Generation(
        max_tokens=max_tokens, method="greedy", beams=1, temperature=1.0, top_p=1.0, candidates=1,
        contrast=0.0, spin=False,
    )  # fmt: skip


def read(path: Path) -> BundleSettings:
    """The settings in a file. Raises ValueError naming file, key, what was got and what is allowed."""
    document = artifacts.read_json(path)
    if isinstance(document, dict) and FIRST <= document.keys() and "generation" not in document:
        document = _of_first_version(path, document)
    return typed_json.check(path, document, BundleSettings, REBUILD)


def write(path: Path, settings: BundleSettings) -> None:
    artifacts.write_json(path, settings.model_dump(mode="json"))


def _of_first_version(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """A file of 0.9.0: descriptions were greedy or chosen among candidates that were drawn with these two
    constants, and SPIN was on only where it was asked for."""
    describe = document.get("describe", {"candidates": 1, "strength": 0.0})
    if not isinstance(describe, dict):
        raise ValueError(f"{path}: describe is {describe!r}, expected candidates and strength; {REBUILD}")
    chosen = {"candidates": "candidates", "strength": "contrast"}
    generation = {
        "max_tokens": document["max_new"], "method": "greedy", "beams": 1, "temperature": 0.8, "top_p": 0.9,
        "spin": False, **{chosen.get(key, f"describe.{key}"): value for key, value in describe.items()},
    }  # fmt: skip
    kept = {key: document[key] for key in ("confidence", "max_question", "max_text", "spin")}
    return kept | {"version": 1, "generation": generation}
