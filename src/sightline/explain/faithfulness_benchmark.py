"""Every method over test questions "What color is the X?" that the model answers correctly; and whether the
shipped variant answers for the same reasons. On rendered scenes one X is in the picture and its box is known.
On photos no box is known: deletion, insertion and broken weights need none.

Shapes: N cases, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.core import progress, registry
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.explain import faithfulness, perturbation
from sightline.explain.faithfulness import Box
from sightline.explain.heatmap import Heatmap
from sightline.explain.target import ExplainedAnswer, ExplainedModel, ask, force, log_prob

CONTROLS = ("random", "centre_gaussian")
SAMPLING = ("kernel_shap", "lime", "rise")  # hundreds of calls a map: fewer cases
BACKGROUNDS = ("mean", "blur")
COMPARED = 500  # answers over which every build compares its shipped variant with fp32: a few seconds
COMPARED_BY = "cross_attention"  # needs no gradients, so it explains each variant itself


@dataclass(frozen=True)
class LocatedAnswer:
    """An answer about the picture of `item`, a row of data/raw; whether it is right, and the true box of what
    it is about where that is known."""

    answer: ExplainedAnswer
    right: bool
    box: Box | None
    item: dict


def located_answers(
    model: ExplainedModel, raw: Path, vqa: Path, split: str, right: Callable[[str, str], bool]
) -> Iterator[LocatedAnswer]:
    """The split's color questions in order, one per picture; of scenes only those about a kind that is there
    once. Of a split without any, its other short questions. None where the model only searches."""
    if not model.session.answers:
        return
    items, triples, used = Items(raw), Triples(vqa, split), set()
    every = [triples[index] for index in range(len(triples))]
    colors = [triple for triple in every if triple["type"] == "color"]
    for triple in colors or [triple for triple in every if triple["type"] != "describe"]:
        item = items[triple["item"]]
        objects = item.get("scene", {}).get("objects", [])
        boxes = [part["box"] for part in objects if part["kind"] == triple.get("object")]
        if triple["item"] in used or (objects and len(boxes) != 1):
            continue
        answer = ask(model, items.image(item), triple["question"])
        if answer.words:
            used.add(triple["item"])
            is_right = right(triple["answer"], answer.answer)
            yield LocatedAnswer(answer, is_right, tuple(boxes[0]) if boxes else None, item)


def count(method: str, items: int) -> int:
    """On how many of the cases a method is measured."""
    return max(1, items // 5) if method in SAMPLING else items


def heat(model: ExplainedModel, method: str, answer: ExplainedAnswer) -> Heatmap:
    """The map of the answer's first word: colours are one word."""
    return registry.load("explain/methods", method).explain(model, answer, answer.words[0][1])


def localisation_scores(located: LocatedAnswer, heat: Heatmap) -> dict[str, float]:
    """Figures of one map that need only the box of the object, which must be known."""
    assert located.box is not None
    return {
        "pointing": float(faithfulness.pointing(heat, located.box)),
        "mass_inside": faithfulness.mass_inside(heat, located.box),
    }


def deletion_scores(model: ExplainedModel, located: LocatedAnswer, heat: Heatmap) -> dict[str, float]:
    """Figures of one map that ask the model again, with pixels taken away."""
    answer, tokens = located.answer, located.answer.words[0][1]
    pixels_CYX = model.session.pixels([answer.rgb])[0]
    backgrounds = perturbation.backgrounds(model, answer.rgb)
    _, mask_1S = model.session.question_ids([answer.question])
    figures: dict[str, float] = {}
    for name in BACKGROUNDS:

        def ask_with(there_NSS: np.ndarray, background_CYX: np.ndarray = backgrounds[name]) -> np.ndarray:
            pixels_NCYX = perturbation.over(pixels_CYX, background_CYX, there_NSS)
            mask_NS = np.repeat(mask_1S, len(there_NSS), axis=0)
            return np.exp(log_prob(model, answer, tokens, pixels_NCYX, mask_NS))

        deleted, inserted = faithfulness.deletion_insertion(heat, ask_with, pixels_CYX.shape[1])
        figures |= {f"deletion_{name}": deleted, f"insertion_{name}": inserted}
    return figures


def shifted(rgb: np.ndarray) -> np.ndarray:
    """The picture moved by one pixel to the right; its left edge is repeated."""
    return np.concatenate([rgb[:, :1], rgb[:, :-1]], axis=1)


def agreement(
    one: Heatmap, other: ExplainedModel, method: str, answer: ExplainedAnswer, rgb: np.ndarray | None = None
) -> float:
    """Rank correlation of a case's map with that of another model, or of another picture, over the same
    answer."""
    again = force(other, answer.rgb if rgb is None else rgb, answer.question, answer.ids)
    return faithfulness.rank_correlation(one.scores, heat(other, method, again).scores)


def measure(
    model: ExplainedModel,
    broken: dict[str, ExplainedModel],
    answers: list[LocatedAnswer],
    boxed: list[LocatedAnswer],
    checks: int,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[str, list[float]]]:
    """method -> figure -> its value per case. Pixels are taken away on the first quarter of `answers`.
    `broken`: models with randomised weights; they and the shifted picture are tried on the first `checks`
    of them. Places are compared on `boxed`, cases with a box: the same ones, or others where `answers` have
    none. Methods that sample get a fifth of the cases and checks."""
    measured = {}
    several = max(1, len(answers) // 4)
    for method in registry.names("explain/methods"):

        def explained(
            cases: list[LocatedAnswer], method: str = method
        ) -> list[tuple[LocatedAnswer, Heatmap]]:
            return [(each, heat(model, method, each.answer)) for each in cases[: count(method, len(cases))]]

        maps = explained(answers)
        rows = [localisation_scores(*pair) for pair in (maps if boxed is answers else explained(boxed))]
        figures = {name: [row[name] for row in rows] for name in rows[0]}
        rows = [deletion_scores(model, *pair) for pair in maps[:several]]
        figures |= {name: [row[name] for row in rows] for name in rows[0]}
        checked = [(one, located.answer) for located, one in maps[: count(method, checks)]]
        figures["one_pixel_shift"] = [
            agreement(one, model, method, answer, shifted(answer.rgb)) for one, answer in checked
        ]
        for name, other in broken.items():
            figures[f"randomised {name}"] = [agreement(one, other, method, answer) for one, answer in checked]
        measured[method] = figures
        report(f"{method}: {len(maps)} maps, pointing {np.mean(figures['pointing']):.3f}")
    return measured


def compare_variants(
    model: ExplainedModel, shipped: ExplainedModel, method: str, answers: Iterable[LocatedAnswer]
) -> dict[str, float | str | None]:
    """Does the shipped variant answer for the same reasons? Over the same `n` answers: mean rank correlation
    of the maps; over the `pointed` of them with a box also each model's pointing game. None where
    there is nothing to average."""
    correlations, hits = [], []
    for located in progress.track(answers, "comparing maps"):
        again = force(shipped, located.answer.rgb, located.answer.question, located.answer.ids)
        one, two = heat(model, method, located.answer), heat(shipped, method, again)
        correlations.append(faithfulness.rank_correlation(one.scores, two.scores))
        if located.right and located.box is not None:
            hits.append([faithfulness.pointing(each, located.box) for each in (one, two)])
    of_fp32, of_shipped = np.mean(hits, axis=0) if hits else (None, None)
    return {
        "method": method,
        "n": len(correlations),
        "rank_correlation": None if not correlations else round(float(np.mean(correlations)), 4),
        "pointed": len(hits),
        "pointing_fp32": None if of_fp32 is None else round(float(of_fp32), 4),
        "pointing_shipped": None if of_shipped is None else round(float(of_shipped), 4),
    }


def summary(measured: dict[str, dict[str, list[float]]], seed: int) -> dict[str, dict]:
    """method -> n, the mean of every figure, 95 % intervals of all of them (`pointing_interval` and
    `intervals`), and `deletion_p`: the larger p over both backgrounds that its deletion AUC is no better than
    that of the random map on the same cases (None for random itself)."""
    rng, table = np.random.default_rng(seed), {}
    for method, figures in measured.items():
        n = len(figures["pointing"])
        row: dict = {name: round(float(np.mean(values)), 4) for name, values in figures.items()}
        removals = len(figures["deletion_mean"])
        row |= {"n": n, "removals": removals, "checks": len(figures["one_pixel_shift"])}
        bounds = faithfulness.wilson(float(np.mean(figures["pointing"])), n)
        row["pointing_interval"] = [round(bound, 4) for bound in bounds]
        row["intervals"] = {
            name: [round(bound, 4) for bound in faithfulness.mean_interval(np.array(values), rng)]
            for name, values in figures.items()
            if name != "pointing"
        }
        row["deletion_p"] = None
        if method != "random":
            gains = [
                np.subtract(measured["random"][f"deletion_{name}"][:removals], figures[f"deletion_{name}"])
                for name in BACKGROUNDS
            ]
            row["deletion_p"] = round(max(faithfulness.sign_flip_p(gain, rng) for gain in gains), 5)
        table[method] = row
    return table
