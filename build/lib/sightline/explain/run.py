"""Explains the fixed items with SPIN off and on and writes every picture, the page and the maps
themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sightline import artifacts
from sightline.explain import page, pictures
from sightline.explain.heatmap import Explanation
from sightline.explain.items import Item

Explain = Callable[[Item, dict[str, Any]], Explanation]


def settings(spin: dict[str, Any]) -> str:
    """SPIN settings in words, for captions."""
    return ", ".join(f"{key} {value}" for key, value in spin.items() if value is not None and key != "score")


def run(
    items: list[Item],
    explain: Explain,
    right: Callable[[str, str], bool],
    spin_off: dict[str, Any],
    spin_on: dict[str, Any],
    colormap: str,
    out: Path,
) -> None:
    """`explain(item, spin)` explains one item; `right(truth, answer)` judges a short answer."""
    import matplotlib

    if colormap not in matplotlib.colormaps:
        raise ValueError(
            f"params.yaml: explain.colormap is {colormap!r}, which is no Matplotlib colormap; try magma"
        )
    drawn = out / "pictures"
    drawn.mkdir(parents=True, exist_ok=True)
    pairs = [(item, explain(item, spin_off), explain(item, spin_on)) for item in items]
    for item, off, _ in pairs:
        pictures.item(drawn / f"{item.name}.png", item, off, right(item.truth, off.answer), colormap)
    pictures.compare(drawn / "spin_off_on.png", pairs, colormap)
    share_LH = np.mean(
        [on.silenced_LH for _, _, on in pairs if on.words] or [pairs[0][2].silenced_LH], axis=0
    )
    pictures.silenced(drawn / "silenced_heads.png", share_LH, settings(spin_on), colormap)
    judged = [
        (item, off, on, right(item.truth, off.answer), right(item.truth, on.answer))
        for item, off, on in pairs
    ]
    page.write(out / "index.html", judged, share_LH, settings(spin_on), colormap)
    artifacts.write_json(
        out / "explanations.json",
        {
            "items": [
                {
                    "name": item.name,
                    "type": item.type,
                    "question": item.question,
                    "truth": item.truth,
                    "spin_off": _plain(off),
                    "spin_on": _plain(on),
                }
                for item, off, on in pairs
            ],
            "silenced_heads": np.round(share_LH, 4).tolist(),
        },
    )


def _plain(found: Explanation) -> dict[str, Any]:
    words = [
        {
            "word": heat.provenance["word"],
            "method": heat.provenance["method"],
            "image_share": round(heat.provenance["image_share"], 4),
            "patch_map": np.round(heat.patch_map, 3).tolist(),
            "question": [[word, round(score, 4)] for word, score in heat.text_scores],
        }
        for heat in found.words
    ]
    return {"answer": found.answer, "confidence": round(found.confidence, 4), "words": words}
