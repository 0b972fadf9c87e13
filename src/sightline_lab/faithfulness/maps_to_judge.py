"""Maps of answers on test pictures, large enough for a person to say whether they are right: a page, one
picture with all of them, and a table for the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sightline.core import progress, registry, templates
from sightline.core.plotting import BAD, DPI, GOOD, INK, MUTED, draw_picture, new_figure, save, wrap
from sightline.explain import heatmap_page
from sightline.explain.explained_items import Item
from sightline.explain.heatmap import Explanation, Heatmap
from sightline.explain.heatmap_figures import draw_overlay
from sightline.explain.target import ExplainedModel, ask, explain_answer

METHODS = ["cross_attention", "kernel_shap", "lime"]
SIDE = 240  # pixels of a picture and of a map
ACROSS = 2  # questions in a row of maps.png
LEAD = """One word of each answer, by every method of the switch. Point at a picture to see it bare. The word
is one that the decoder's attention reads from the picture, at one place."""


@dataclass(frozen=True)
class Judged:
    """An answer, the word of it that is drawn, its map by every method in order; `right`: None for a
    description."""

    item: Item
    explanation: Explanation
    word: str
    heats: list[Heatmap]
    right: bool | None


def draw(
    model: ExplainedModel, methods: Sequence[str], items: list[Item], right: Callable[[str, str], bool],
    colormap: str, out: Path,
) -> int:  # fmt: skip
    """Writes index.html, maps.png and verdicts.md into `out`; returns how many answers have a word to draw.
    Raises ValueError where none has, and for an unknown method or colormap."""
    heatmap_page.colours(colormap)  # an unknown one is refused before anything is explained
    modules = [registry.load("explain/methods", method) for method in methods]
    judged = []
    for item in progress.track(items, "explaining items"):
        answer = ask(model, item.rgb, item.question)
        if not answer.words:
            continue
        explanation = explain_answer(model, "cross_attention", answer)
        word, tokens = answer.words[heatmap_page.most_interesting(explanation)]
        heats = [module.explain(model, answer, tokens) for module in modules]
        verdict = None if item.type == "describe" else right(item.truth, answer.answer)
        judged.append(Judged(item, explanation, word, heats, verdict))
    if not judged:
        raise ValueError("maps: the model gave no answer of a word or more to any of the questions")
    out.mkdir(parents=True, exist_ok=True)
    _page(out / "index.html", judged, methods, colormap)
    _picture(out / "maps.png", judged, methods, colormap)
    rows = templates.render("sightline_lab.faithfulness", "verdicts.md", judged=judged, methods=methods)
    (out / "verdicts.md").write_text(rows, encoding="utf-8", newline="\n")
    return len(judged)


def _page(path: Path, judged: list[Judged], methods: Sequence[str], colormap: str) -> None:
    cards = [
        heatmap_page.Card(
            each.item, [replace(each.explanation, words=[heat]) for heat in each.heats],
            [each.right] * len(methods),
        )
        for each in judged
    ]  # fmt: skip
    words = heatmap_page.Words("Maps to judge", LEAD, list(methods), "", "relevance")
    heatmap_page.write(path, cards, words, colormap)


def _picture(path: Path, judged: list[Judged], methods: Sequence[str], colormap: str) -> None:
    """A row of a question: the picture, then its map by every method, each SIDE pixels a side."""
    panels, rows = 1 + len(methods), -(-len(judged) // ACROSS)
    inch, text, gap, head = SIDE / DPI, 0.62, 0.08, 0.3
    width, height = (inch + gap) * panels + 0.2, inch + text
    figure = new_figure(width * ACROSS, height * rows + head)
    whole_width, whole_height = figure.get_size_inches()
    for number, each in enumerate(judged):
        left, top = number % ACROSS * width + 0.1, whole_height - head - number // ACROSS * height
        for panel in range(panels):
            x = left + panel * (inch + gap)
            box = (x / whole_width, (top - inch) / whole_height, inch / whole_width, inch / whole_height)
            axes = figure.add_axes(box)
            if panel == 0:
                draw_picture(axes, each.item.displayed, each.item.size)
            else:
                draw_overlay(axes, each.item.displayed, each.item.size, each.heats[panel - 1], colormap)
            if number < ACROSS:
                title = methods[panel - 1] if panel else "the picture"
                figure.text(x / whole_width, (top + 0.07) / whole_height, title, fontsize=9, color=MUTED)
        colour = INK if each.right is None else GOOD if each.right else BAD
        asked = wrap(f"{number + 1}. {each.item.question}  map of: {each.word}", int(12 * width), 1)
        figure.text(left / whole_width, (top - inch - 0.2) / whole_height, asked, fontsize=9.5, color=INK)
        answered = each.explanation.answer + (
            "" if each.right is not False else f"  (true: {each.item.truth})"
        )
        line = wrap(answered, int(13 * width), 1)
        figure.text(left / whole_width, (top - inch - 0.4) / whole_height, line, fontsize=9, color=colour)
    save(figure, path)
