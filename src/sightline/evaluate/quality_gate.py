"""Limits of the shipped variant: every check with its value and its limit."""

from dataclasses import asdict, dataclass
from typing import Any

from sightline.core.params.quality_params import GateParams

RELATIVE = ("vqa_accuracy", "pope_f1", "chair_i", "text_to_image_r1")  # no loss against fp32 beyond the limit


@dataclass(frozen=True)
class Check:
    """One figure against its limit; `side` is what the value must be: "at least" or "at most"."""

    variant: str
    figure: str
    value: float
    side: str
    limit: float

    @property
    def passed(self) -> bool:
        return self.value >= self.limit if self.side == "at least" else self.value <= self.limit

    def line(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        statement = f"{self.variant} {self.figure} is {self.value:.6g}"
        return f"{verdict}: {statement}, must be {self.side} {self.limit:.6g}"

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def checks(summary: dict[str, Any], limits: GateParams, split: str) -> list[Check]:
    """The checks on one split. ValueError for a summary that lacks a figure: a missing figure is no passed
    check; but maps are compared only where there are answers, and pointed with where boxes are known."""
    shipped, reference = f"shipped ({_at(summary, 'shipped_variant')})", "fp32"
    accuracy = _at(summary, "quality", "shipped", split, "vqa_accuracy", "value")
    lost = {name: _at(summary, "loss_bounds", name, "loss_bound") for name in RELATIVE}
    r1 = _at(summary, "quality", "shipped", split, "text_to_image_r1", "value")
    gap = _at(summary, "parity", "max_logit_difference")
    correlation = _at(summary, "maps", "rank_correlation")
    pointing = [_at(summary, "maps", f"pointing_{variant}") for variant in ("fp32", "shipped")]
    maps = []
    if correlation is not None:
        name = "maps' rank_correlation with fp32"
        maps.append(Check(shipped, name, correlation, "at least", limits.min_map_correlation))
    if None not in pointing:
        name, drop = "maps' pointing_game drop against fp32", round(100 * (pointing[0] - pointing[1]), 6)
        maps.append(Check(shipped, name, drop, "at most", limits.max_pointing_drop))
    return [
        Check(shipped, f"{split} vqa_accuracy", accuracy, "at least", limits.min_vqa_accuracy),
        Check(shipped, f"{split} text_to_image_r1", r1, "at least", limits.min_retrieval_r1),
        *(
            Check(
                shipped, f"{name} loss against fp32 (95 % bound)", loss, "at most", limits.max_accuracy_drop
            )
            for name, loss in lost.items()
        ),
        Check(reference, "parity max_logit_difference", gap, "at most", limits.max_logit_difference),
        *maps,
    ]


def _at(summary: dict[str, Any], *keys: str) -> Any:
    value: Any = summary
    for depth, key in enumerate(keys):
        if not isinstance(value, dict) or key not in value:
            path = ".".join(keys[: depth + 1])
            raise ValueError(f"metrics/summary.json has no {path}; rebuild it with `dvc repro report`")
        value = value[key]
    return value
