"""Explains the fixed items with SPIN off and on and writes every picture, the page and the maps
themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from sightline.core import artifacts, progress
from sightline.core.params.generation import SPIN_OFF, Spin
from sightline.explain import heatmap_figures, heatmap_page, word_patch_matrix
from sightline.explain.explained_items import Item
from sightline.explain.heatmap import Explanation

LEAD = """Each answer below was written by the shipped model, word by word. Point at a word of an answer to
see what in the picture, and which words of the question, it came from. Turquoise boxes are where the named
objects truly are. Point at a picture to see it bare."""
LEAD_ONE = """Point at a word of the answer to see what in the picture, and which words of the question, it
came from. Point at the picture to see it bare."""
NOTE = Markup("""\
<p>A bright place is a hint to check, not a proof; <code>docs/reports/explanations.md</code> says
how often each method points at the right thing. Where attention is shown, colour starts at the average of
a word's map, so an evenly spread look stays dark.</p>
<p>Try next: <code>sightline explain</code> with a picture of yours, or
<code>dvc exp run -S explain.method=occlusion</code>, which explains again and retrains nothing.</p>""")

Explain = Callable[[Item, Spin], Explanation]


def settings(spin: Spin) -> str:
    """SPIN settings in words, for captions."""
    fields = spin.model_dump(mode="json", exclude_none=True, exclude={"score"})
    return ", ".join(f"{key} {value}" for key, value in fields.items())


def unit(explanation: Explanation) -> str:
    """What the maps of an explanation show, in a word."""
    attention = any(heat.provenance["method"] == "cross_attention" for heat in explanation.words)
    return "attention" if attention else "relevance"


def run(
    items: list[Item],
    explain: Explain,
    right: Callable[[str, str], bool],
    gate: Spin,
    colormap: str,
    out: Path,
) -> None:
    """`explain(item, spin)` explains one item, with SPIN off and by `gate`; `right(truth, answer)` judges a
    short answer."""
    heatmap_page.colours(colormap)  # an unknown one is refused before anything is explained
    pictures = out / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    tracked = progress.track(items, "explaining items")
    pairs = [(item, explain(item, SPIN_OFF), explain(item, gate)) for item in tracked]
    for item, off, _ in pairs:
        heatmap_figures.item(
            pictures / f"{item.name}.png", item, off, right(item.truth, off.answer), colormap
        )
    longest, described = max(((item, off) for item, off, _ in pairs), key=lambda pair: len(pair[1].words))
    if described.words:
        word_patch_matrix.draw(pictures / "words_by_patches.png", longest, described, colormap)
    heatmap_figures.compare(pictures / "spin_off_on.png", pairs, colormap)
    share_LH = np.mean(
        [on.silenced_LH for _, _, on in pairs if on.words] or [pairs[0][2].silenced_LH], axis=0
    )
    heatmap_figures.silenced(pictures / "silenced_heads.png", share_LH, settings(gate), colormap)
    cards = [
        heatmap_page.Card(
            item, [off, on], [right(item.truth, explanation.answer) for explanation in (off, on)]
        )
        for item, off, on in pairs
    ]
    words = heatmap_page.Words(
        "What the model looked at", LEAD, ["SPIN off", f"SPIN on ({settings(gate)})"], NOTE,
        unit(pairs[0][1]), share_LH=share_LH,
    )  # fmt: skip
    heatmap_page.write(out / "index.html", cards, words, colormap)
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


def write_none(why: str, out: Path) -> None:
    """The same files of a model or a split without an answer to explain."""
    out.mkdir(parents=True, exist_ok=True)
    words = heatmap_page.Words("No answers to explain", f"{why[:1].upper()}{why[1:]}.", [], "")
    heatmap_page.write(out / "index.html", [], words, "magma")
    artifacts.write_json(out / "explanations.json", {"items": [], "silenced_heads": []})


def _plain(explanation: Explanation) -> dict[str, Any]:
    words = [
        {
            "word": heat.provenance["word"],
            "method": heat.provenance["method"],
            "image_share": round(heat.provenance["image_share"], 4),
            "patch_map": np.round(heat.patch_map, 3).tolist(),
            "question": [[word, round(score, 4)] for word, score in heat.text_scores],
        }
        for heat in explanation.words
    ]
    return {"answer": explanation.answer, "confidence": round(explanation.confidence, 4), "words": words}
