"""The decoding configs that are compared, as lab/hallucination_*.yaml list them. L layers, H heads."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from sightline.spin.gate import SCORES, GateRule, published, share_kept
from sightline_lab.hallucination.gate_variants import GateVariant

CONTRASTS = ("none", "noise", "no_image")
CHOICES = ("likeness", "chance")
CONTROLS = ("random", "inverse", "chance")
BLOCK = ("why", "with", "search", "controls")


class DecodingConfigError(ValueError):
    """An invalid file of ideas; the message names the file, the idea and the reason."""


@dataclass(frozen=True)
class DecodingConfig:
    """One decoding method with its settings; the defaults are greedy decoding.

    arm: of lab/ablations.yaml, the training whose model decodes;
    keep: share of the heads that are kept, of every layer or layer by layer; alpha, score: as in params.yaml;
    ranking, protect, soft, rescale: gate_variants.GateVariant;
    image_gain: PAI's strength on attention logits;
    contrast: the view whose logits are subtracted (noise: VCD, no_image: PAI), with its strength,
    the share of the likeliest token's probability that a token needs, and the diffusion steps of the noise;
    beams: of a beam search for descriptions (inference/decoding/beam.py); short answers stay greedy;
    candidates: number of descriptions of a picture: the greedy one, and others sampled from the `nucleus`
    (top p) at `temperature`; choice: the one most similar to the picture by the dual encoder's embeddings
    (CLIP-guided decoding, Deng et al. 2024, arXiv 2402.15300, of whole descriptions and without their
    likelihood), or a random one; short answers have no candidates;
    describe_only: short answers are decoded greedily.
    """

    arm: str = "default"
    keep: float | tuple[float, ...] = 1.0
    alpha: float = 1.0
    score: str = "mass"
    ranking: str = "own"
    protect: float = 0.0
    soft: bool = False
    rescale: bool = False
    image_gain: float = 0.0
    contrast: str = "none"
    strength: float = 0.0
    plausible: float = 0.1
    noise: int = 500
    beams: int = 1
    candidates: int = 1
    temperature: float = 0.8
    nucleus: float = 0.9
    choice: str = "likeness"
    describe_only: bool = False

    def for_question(self, describe: bool) -> "DecodingConfig":
        """The config that applies to a description, or to a short answer."""
        plain = self.describe_only and not describe
        whole = DecodingConfig(self.arm) if plain else replace(self, describe_only=False)
        return whole if describe else whole.for_short_answers

    @property
    def for_short_answers(self) -> "DecodingConfig":
        """The same config, the likeliest words alone."""
        names = ("beams", "candidates", "temperature", "nucleus", "choice")
        return replace(self, **{name: getattr(GREEDY, name) for name in names})

    @property
    def gated(self) -> bool:
        return self.keep != 1.0

    @property
    def passes(self) -> int:
        """Decoder passes per token."""
        return 1 if self.contrast == "none" else 2

    def rule(self, typical_LH: Sequence[Sequence[float]], seed: int) -> GateRule:
        """The published gate, or the variant of it that the fields name."""
        variant = GateVariant(typical_LH, self.ranking, self.protect, self.soft, self.rescale, seed)
        return published if variant == GateVariant(typical_LH, seed=seed) else variant

    def heads_kept(self, typical_LH: Sequence[Sequence[float]]) -> np.ndarray:
        """K of every layer among the heads that can be suppressed, int64 [L]; H where all are kept."""
        keeps_L = self.keep if isinstance(self.keep, tuple) else (self.keep,) * len(typical_LH)
        if len(keeps_L) != len(typical_LH):
            raise DecodingConfigError(
                f"keep {list(keeps_L)}: give one share for each of {len(typical_LH)} layers"
            )
        free_L = GateVariant(typical_LH, protect=self.protect).rankable()
        kept = [
            len(typical_H) if keep == 1 else share_kept(keep, free)
            for keep, free, typical_H in zip(keeps_L, free_L, typical_LH, strict=True)
        ]
        return np.array(kept, dtype=np.int64)

    def changes(self) -> dict[str, Any]:
        """The fields in which it differs from greedy decoding."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != getattr(GREEDY, name)
        }


GREEDY = DecodingConfig()


@dataclass(frozen=True)
class Idea:
    """`configs`: tried on the validation splits; `controls`: of the chosen one."""

    name: str
    why: str
    configs: list[DecodingConfig]
    controls: list[str]


def read(path: Path) -> list[Idea]:
    """The ideas in the order of the file.

    Raises DecodingConfigError naming the file, the idea and what is wrong."""
    if not path.is_file():
        raise DecodingConfigError(f"{path}: no such file of ideas; see lab/hallucination_decoding.yaml")
    content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not content:
        raise DecodingConfigError(f"{path}: expected ideas by name")
    return [_idea(path, name, block) for name, block in content.items()]


def _idea(path: Path, name: str, block: Any) -> Idea:
    if not isinstance(block, dict) or "why" not in block or set(block) - set(BLOCK):
        raise DecodingConfigError(
            f"{path}: {name}: expected why and any of {', '.join(BLOCK[1:])}, got {block!r}"
        )
    shared, search = block.get("with", {}), block.get("search", {})
    names = {part.name for part in fields(DecodingConfig)}
    if unknown := sorted({*shared, *search} - names):
        raise DecodingConfigError(
            f"{path}: {name}: no field {', '.join(unknown)}; expected {', '.join(sorted(names))}"
        )
    controls = list(block.get("controls", []))
    if unknown := sorted(set(controls) - set(CONTROLS)):
        raise DecodingConfigError(
            f"{path}: {name}: no control {', '.join(unknown)}; there are {', '.join(CONTROLS)}"
        )
    configs = []
    for values in itertools.product(*search.values()):
        chosen = {**shared, **dict(zip(search, values, strict=True))}
        if isinstance(chosen.get("keep"), list):
            chosen["keep"] = tuple(chosen["keep"])
        configs.append(_checked(path, name, DecodingConfig(**chosen)))
    return Idea(name, block["why"], configs, controls)


def _checked(path: Path, name: str, config: DecodingConfig) -> DecodingConfig:
    keeps = config.keep if isinstance(config.keep, tuple) else (config.keep,)
    for field, right, expected in (
        ("keep", all(0 < keep <= 1 for keep in keeps), "shares in (0, 1]"),
        ("alpha", 0 <= config.alpha <= 1, "a factor in [0, 1]"),
        ("score", config.score in SCORES, f"one of {', '.join(SCORES)}"),
        ("contrast", config.contrast in CONTRASTS, f"one of {', '.join(CONTRASTS)}"),
        ("beams", config.beams >= 1, "1 (greedy) or more"),
        ("beams", config.beams == 1 or config.contrast == "none", "1 beside a contrast"),
        ("beams", config.beams == 1 or config.candidates == 1, "1 beside candidates"),
        ("candidates", config.candidates >= 1, "1 (no others) or more"),
        ("temperature", config.temperature > 0, "more than 0"),
        ("nucleus", 0 < config.nucleus <= 1, "a share in (0, 1]"),
        ("choice", config.choice in CHOICES, f"one of {', '.join(CHOICES)}"),
    ):
        if not right:
            raise DecodingConfigError(
                f"{path}: {name}: {field} is {getattr(config, field)!r}, expected {expected}"
            )
    return config


def control(config: DecodingConfig, kind: str) -> DecodingConfig:
    """The same gate over random heads or those that look most at the image; or a random candidate."""
    return replace(config, choice=kind) if kind == "chance" else replace(config, ranking=kind, score="mass")
