"""metrics/retrieval_augmented.json as docs/reports/retrieval.md."""

from pathlib import Path
from typing import Any

from sightline.core import templates
from sightline_lab.retrieval.retrieval_augmentation import CHOOSE, REPORT

RESULT, PAGE = Path("metrics/retrieval_augmented.json"), Path("docs/reports/retrieval.md")
NAMES = {
    "all": "short answers", "adversarial": "POPE-adversarial", "chair_i": "CHAIR_i (lower is better)",
    "recall": "objects named",
}  # fmt: skip
VARIANTS = {
    "nearest in the index": "captions of the most similar other pictures of the index, as `--retrieve` does",
    "nearest in train": "the same from the pictures of `train`",
    "drawn from the index": "captions of other pictures, drawn at random",
    "the picture's own": "its own caption, which no user has: what the best caption would be worth",
    "nearest in the index, as memory": "those of the first, as tokens of their own in the decoder's memory",
}  # fmt: skip
UNREAD = "trained without captions beside its questions, the model does not read them as evidence."


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    chosen, test = result[CHOOSE], result[REPORT]
    return templates.render(
        "sightline_lab.retrieval", "retrieval.md", result=result, chosen=chosen, test=test, choose=CHOOSE,
        report=REPORT, k=result["chosen"], verdict=_verdict(result), names=NAMES, variants=VARIANTS,
        off={one["type"]: one for one in chosen["off"]},
        types=[one["type"] for one in chosen["off"] if one["family"] == "vqa"],
        figures=sorted(test["off"], key=_order), gap=lambda *wanted: _cell(_find(*wanted)),
    )  # fmt: skip


def _verdict(result: dict[str, Any]) -> str:
    retrieved, image_caption = (
        _find(variant["minus_off"], "vqa", "all", "accuracy")
        for name in ("nearest in the index", "the picture's own")
        for variant in result[REPORT]["ways"]
        if variant["way"] == name
    )
    effect = {
        -1: "**It makes answers worse**", 0: "**It changes the answers by less than the noise**",
        1: "**It makes answers better**",
    }[_sign(retrieved)]  # fmt: skip
    able = {
        -1: f"Even the picture's own caption makes them worse: {UNREAD}",
        0: f"The picture's own caption does not help either: {UNREAD}",
        1: "The picture's own caption helps, so the model does read captions.",
    }[_sign(image_caption)]
    return f"{effect}: {_cell(retrieved)} points of short answers. {able}"


def _sign(gap: dict[str, float]) -> int:
    return 1 if gap["low"] > 0 else -1 if gap["high"] < 0 else 0


def _order(one: dict[str, Any]) -> tuple[int, str]:
    """Short answers first, all of them before their types; then POPE, then descriptions."""
    rank = {"vqa": 1, "pope": 2, "chair": 3}[one["family"]]
    return (0, "") if one["type"] == "all" else (rank, one["type"])


def _find(rows: list[dict[str, Any]], family: str, kind: str, metric: str) -> dict[str, Any]:
    wanted = (family, kind, metric)
    return next(one for one in rows if (one["family"], one["type"], one["metric"]) == wanted)


def _cell(gap: dict[str, float]) -> str:
    return f"{gap['value']:+.1f} [{gap['low']:.1f}, {gap['high']:.1f}]"
