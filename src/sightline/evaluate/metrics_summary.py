"""The summary that git keeps: about sixty figures of fp32 and the shipped variant with their intervals, SPIN
off or on as the bundle answers, nested so that `dvc metrics diff` names them. Percent and points unless a key
says otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.core import artifacts
from sightline.evaluate.bootstrap import LOWER_IS_BETTER

FILE, REPORT = Path("metrics/summary.json"), Path("metrics/report")  # the report holds the summary's hash
Row = dict[str, str]
# figure name -> (family, type, metric); the type of descriptions depends on their ground truth
_ANSWERS = {
    "vqa_accuracy": ("vqa", "all", "accuracy"),
    "pope_adversarial_accuracy": ("pope", "adversarial", "accuracy"),
    "pope_adversarial_f1": ("pope", "adversarial", "f1"),
    "pope_adversarial_false_positive_rate": ("pope", "adversarial", "false_positive_rate"),
    "pope_adversarial_yes_rate": ("pope", "adversarial", "yes_rate"),
    "chair_i": ("chair", "", "chair_i"),
    "chair_s": ("chair", "", "chair_s"),
    "object_recall": ("chair", "", "recall"),
    "bleu_4": ("caption", "describe", "bleu_4"),
    "cider_d": ("caption", "describe", "cider_d"),
}
_SEARCH = {
    "text_to_image_r1": ("retrieval", "text_to_image", "r1"),
    "image_to_text_r1": ("retrieval", "image_to_text", "r1"),
    "image_to_text_reranked_r1": ("retrieval", "image_to_text_reranked", "r1"),
    "text_to_image_reranked_r1": ("retrieval", "text_to_image_reranked", "r1"),
    "image_to_text_described_r1": ("retrieval", "image_to_text_described", "r1"),
    "text_to_image_described_r1": ("retrieval", "text_to_image_described", "r1"),
    "swapped_kind_accuracy": ("retrieval", "swapped_kind", "accuracy"),
    "swapped_kind_described_accuracy": ("retrieval", "swapped_kind_described", "accuracy"),
}
_EDGES = {  # of the shipped variant
    "yes_no_ece_before": ("calibration", "yes/no, before", "ece"),
    "yes_no_ece": ("calibration", "yes/no", "ece"),
    "yes_no_brier": ("calibration", "yes/no", "brier"),
    "short_answer_ece": ("calibration", "short answers", "ece"),
    "aurc": ("abstention", "short answers", "aurc"),
    **{f"accuracy_at_{n}": ("abstention", "short answers", f"accuracy_at_{n}") for n in (100, 95, 90, 80)},
    "sure_coverage": ("abstention", "sure", "coverage"),
    "sure_accuracy": ("abstention", "sure answers", "accuracy"),
    "domain_false_alarm": ("domain", "own pictures", "false_alarm"),
    "domain_warned": ("domain", "all drawn", "warned"),
    "domain_auroc": ("domain", "all drawn", "auroc"),
    "question_false_alarm": ("domain", "own questions", "false_alarm"),
    "question_warned_other_topics": ("domain", "other topics", "warned"),
    "question_warned_other_languages": ("domain", "other languages", "warned"),
    "question_warned_shuffled_words": ("domain", "shuffled words", "warned"),
    "question_warned_random_letters": ("domain", "random letters", "warned"),
}
_BOUNDS = {  # over all splits together
    "vqa_accuracy": ("vqa", "accuracy", "all"),
    "pope_f1": ("pope", "f1", "all"),
    "chair_i": ("chair", "chair_i", ""),
    "text_to_image_r1": ("retrieval", "r1", "text_to_image"),
    "image_to_text_r1": ("retrieval", "r1", "image_to_text"),
}
POOLED = "all splits"  # the split of a comparison over all of them in paired.csv
_PAIRED = ("vqa_accuracy", "pope_adversarial_accuracy", "chair_i", "object_recall")
VARIANTS = ("fp32", "shipped")
UNTUNED, TUNED_GAIN = "before tuning", "shipped - before tuning"  # of a pretrained dual encoder
_HEADLINE = (  # of the shipped variant on the first split: what `dvc exp show` compares on a screen
    "vqa_accuracy", "pope_adversarial_f1", "chair_i", "object_recall", "text_to_image_r1",
)  # fmt: skip


def read(project: Path) -> dict[str, Any]:
    """The summary of a project, verified. Raises ArtifactError where it, or the report that holds its hash,
    is not as the stage `report` wrote it."""
    file, expected = project / FILE, artifacts.load(project / REPORT, "metrics").config["summary"]
    if (found := artifacts.sha256(file)) != expected:
        raise artifacts.ArtifactError(
            f"{file}: expected sha256 {expected}, found {found}; run `sightline doctor --repair {FILE} || "
            "dvc repro report`"
        )
    return artifacts.read_json(file)


def build(
    figures: dict[str, list[Row]],
    paired: list[Row],
    variants: list[Row],
    parity: dict[str, Any],
    maps: dict[str, Any],
    attacked: dict[str, Any],
    left_out: list[str],
) -> dict[str, Any]:
    """`figures`: rows of the evaluation's tables by family; `paired`: rows of its paired.csv; `variants`,
    `parity`: what export measured; `maps`: how the explanations of fp32 and the shipped variant agree;
    `attacked`: the rates of the red team's families; `left_out`: what this data could not teach, in
    sentences."""
    splits = list(dict.fromkeys(row["split"] for row in figures["retrieval"]))
    shipped, spin = next(row for row in variants if row["ships"] == "1"), served_spin(paired)
    cost = {"fp32": next(row for row in variants if row["variant"] == "fp32"), "shipped": shipped}
    quality = {
        variant: {split: _quality(figures, variant, split, spin) for split in splits} for variant in VARIANTS
    }
    untuned = {split: _quality(figures, UNTUNED, split, spin) for split in splits}
    return {
        "shipped_variant": shipped["variant"],
        "spin": spin,
        "cost": {name: {key: int(row[key]) for key in ("bytes", "macs")} for name, row in cost.items()},
        "parity": {"max_logit_difference": parity["max_logit_difference"], "items": parity["items"]},
        "maps": maps,
        "answers": _answers(figures["vqa"], spin),
        "quality": quality,
        **({"before_tuning": untuned} if any(untuned.values()) else {}),
        "edges": {split: _edges(figures, split, spin) for split in splits},
        "spin_on_minus_off": {
            split: _differences(paired, split, "spin_on - spin_off", "") for split in splits
        },
        "shipped_minus_fp32": {
            split: _differences(paired, split, "shipped - fp32", spin) for split in splits
        },
        "loss_bounds": bounds(paired),
        "red_team": attacked,
        "left_out": left_out,
    }


def served_spin(paired: list[Row]) -> str:
    """Whether the bundle answers with SPIN "off" or "on": the setting of the comparison over all splits."""
    return next(row["spin"] for row in paired if row["split"] == POOLED)


def headline(summary: dict[str, Any]) -> dict[str, float]:
    """The few figures of a summary that are compared across experiments."""
    quality = next(iter(summary["quality"]["shipped"].values()))
    figures = {name: quality[name]["value"] for name in _HEADLINE if name in quality}
    return {**figures, "megabytes": round(summary["cost"]["shipped"]["bytes"] / 1e6, 3)}


def _answers(rows: list[Row], spin: str) -> dict[str, dict[str, float]]:
    """Accuracy by question type on `test`, with the baselines and the oracle."""
    accuracies: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["split"] == "test" and row["metric"] == "accuracy" and row["spin"] in ("", spin):
            accuracies.setdefault(row["type"], {"n": int(row["n"])})[row["variant"]] = float(row["value"])
    return accuracies


def _quality(
    figures: dict[str, list[Row]], variant: str, split: str, served: str
) -> dict[str, dict[str, float]]:
    intervals = {}
    for name, (family, kind, metric) in {**_ANSWERS, **_SEARCH}.items():
        spin = "" if family == "retrieval" else served
        for row in figures[family]:
            same = (row["split"], row["variant"], row["spin"], row["metric"]) == (
                split,
                variant,
                spin,
                metric,
            )
            if same and kind in ("", row["type"]):
                intervals[_figure_name(name, row)] = {
                    **{key: float(row[key]) for key in ("value", "low", "high")},
                    "pictures": int(row["pictures"]),
                }
    return intervals


def _edges(figures: dict[str, list[Row]], split: str, spin: str) -> dict[str, dict[str, float]]:
    """Calibration, selective prediction and out-of-domain detection of the shipped variant."""
    intervals = {}
    for name, (family, kind, metric) in _EDGES.items():
        wanted = (split, "shipped", kind, metric)
        for row in figures[family]:
            same = (row["split"], row["variant"], row["type"], row["metric"]) == wanted
            if same and row["spin"] in ("", spin):
                intervals[name] = {key: float(row[key]) for key in ("value", "low", "high")}
    return intervals


def _differences(paired: list[Row], split: str, comparison: str, spin: str) -> dict[str, dict[str, float]]:
    """Paired differences of the shipped variant; with them the one-sided 95 % bound of the loss."""
    differences = {}
    for name in _PAIRED:
        family, kind, metric = _ANSWERS[name]
        for row in paired:
            same = (row["split"], row["comparison"], row["spin"]) == (split, comparison, spin)
            same = same and (row["family"], row["metric"]) == (family, metric) and kind in ("", row["type"])
            if same and row["variant"] in ("", "shipped"):
                keys = ("value", "low", "high", "loss_bound")
                differences[_figure_name(name, row)] = {key: float(row[key]) for key in keys}
    return differences


def bounds(paired: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """How much worse the shipped variant can be than fp32, or one model than another: `loss_bound`, one-sided
    95 %, of the difference `value` over `n` questions, captions or descriptions about `pictures` of all
    splits; `least_loss` is the other end. Only n = 0 where the data has no such figure."""
    found: dict[str, dict[str, float]] = {name: {"n": 0} for name in _BOUNDS}
    for name, (family, metric, kind) in _BOUNDS.items():
        for row in paired:
            same = (row["split"], row["family"], row["metric"]) == (POOLED, family, metric)
            if same and kind in ("", row["type"]):
                least = float(row["low"]) if metric in LOWER_IS_BETTER else -float(row["high"])
                found[name] = {
                    "value": float(row["value"]), "least_loss": least + 0.0,
                    "loss_bound": float(row["loss_bound"]), "n": int(row["n"]),
                    "pictures": int(row["pictures"]),
                }  # fmt: skip
    return found


def _figure_name(name: str, row: Row) -> str:
    return f"caption_{name}" if row["type"] == "caption-CHAIR" else name
