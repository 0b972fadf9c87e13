"""The evaluation: every split x variant x SPIN, baselines and ceiling beside them, into metrics/ and plots/.

Each variant is asked in a process of its own (its answers need nothing of the other's); figures are
computed here.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline import artifacts
from sightline.data.vqa.triples import Triples
from sightline.evaluate import baselines, ceiling, predict, retrieval, score, splits, tables
from sightline.evaluate.intervals import resamples
from sightline.evaluate.score import Group
from sightline.evaluate.splits import Split
from sightline.runtime import derive_seed, guard_parent

Load = Callable[[], predict.Predictor]
SPINS = ("off", "on")
REFERENCE, SHIPPED = "fp32", "shipped"
_FIGURE = ["split", "variant", "spin", "type", "metric", "value", "low", "high", "n"]
_PAIRED = [
    "split",
    "comparison",
    "variant",
    "spin",
    "family",
    "type",
    "metric",
    "value",
    "low",
    "high",
    "loss_bound",
    "not_worse",
    "n",
]


@dataclass(frozen=True)
class Setting:
    """Where the data is and how to ask (params.evaluate and params.spin)."""

    raw: Path
    vqa: Path
    splits: list[str]
    max_items: int
    asking: predict.Asking
    spin: dict
    seed: int
    bootstrap: int

    def read(self, name: str) -> Split:
        return splits.read(self.raw, self.vqa, name, self.max_items)


@dataclass(frozen=True)
class Asked:
    """What one variant said about one split: answers by SPIN setting, and its retrieval."""

    answers: dict[str, predict.Answers]
    retrieved: predict.Retrieved


def ask(load: Load, setting: Setting) -> dict[str, Asked]:
    """Everything one variant is asked, by split; runs in a worker process."""
    guard_parent()
    predictor, words = load(), splits.lexicon(setting.vqa)
    kinds = sorted(artifacts.read_json(setting.vqa / "config.json")["objects"])
    said = {}
    for name in setting.splits:
        split = setting.read(name)
        rng = np.random.default_rng(derive_seed(setting.seed, "swapped", name))
        said[name] = Asked(
            {
                "off": predict.answers(predictor, split, predict.SPIN_OFF, setting.asking),
                "on": predict.answers(predictor, split, setting.spin, setting.asking),
            },
            predict.retrieve(predictor, split, words, kinds, setting.asking, rng),
        )
    return said


def ask_all(loaders: dict[str, Load], setting: Setting) -> dict[str, dict[str, Asked]]:
    """`ask` for every variant, one process each: variant -> split -> what it said."""
    with ProcessPoolExecutor(len(loaders), multiprocessing.get_context("spawn")) as pool:
        running = {variant: pool.submit(ask, load, setting) for variant, load in loaders.items()}
        return {variant: future.result() for variant, future in running.items()}


def evaluate(
    said: dict[str, dict[str, Asked]],
    blind: predict.Predictor | None,
    setting: Setting,
    metrics: Path,
    plots: Path,
) -> list[dict]:
    """Scores what the variants said, writes every table; returns the tidy rows of all families.

    `blind` answers the first split's questions without the picture (None: no blind row).
    """
    words, train = splits.lexicon(setting.vqa), Triples(setting.vqa, "train")
    by_type = baselines.majority(train[index] for index in range(len(train)))
    rows, differences = [], []
    for name in setting.splits:
        split = setting.read(name)
        rng = np.random.default_rng(derive_seed(setting.seed, "bootstrap", name))
        weights_RC = resamples(len(split.lines), setting.bootstrap, rng)
        groups = {
            (variant, spin): score.of_answers(split, of_split[name].answers[spin].texts, words)
            for variant, of_split in said.items()
            for spin in SPINS
        }
        found = {
            variant: score.of_retrieval(of_split[name].retrieved, len(split.lines))
            for variant, of_split in said.items()
        }
        beside = {
            "majority": baselines.answers(split.triples, by_type),
            "ceiling": ceiling.answers(split.triples),
        }
        if blind is not None and name == setting.splits[0]:
            beside["blind"] = predict.by_question(blind, split, setting.asking)
        answered = {
            **groups,
            **{(who, ""): score.of_answers(split, texts, words) for who, texts in beside.items()},
        }
        answered |= {(variant, ""): of_variant for variant, of_variant in found.items()}
        for (variant, spin), of_variant in answered.items():
            for group in of_variant:
                key = {"family": group.family, "split": name, "variant": variant, "spin": spin}
                rows += score.figures(group, weights_RC, key, exact=variant == "ceiling")
        rows += _retrieval_bounds(split, name)
        differences += _differences(name, groups, found, weights_RC)
        for variant, of_split in said.items():
            for spin in SPINS:
                tables.write_predictions(
                    metrics / f"predictions-{name}-{variant}-spin_{spin}.jsonl",
                    split.triples,
                    of_split[name].answers[spin].texts,
                )
    for family in ("vqa", "pope", "chair", "retrieval"):
        tables.write_csv(
            metrics / f"{family}.csv",
            [{key: row[key] for key in _FIGURE} for row in rows if row["family"] == family],
            _FIGURE,
        )
    tables.write_csv(metrics / "paired.csv", differences, _PAIRED)
    _plots(said, rows, setting, plots)
    return rows


def _differences(
    name: str,
    groups: dict[tuple[str, str], list[Group]],
    found: dict[str, list[Group]],
    weights_RC: np.ndarray,
) -> list[dict]:
    rows = []
    for variant in found:
        rows += score.paired(
            groups[variant, "on"],
            groups[variant, "off"],
            weights_RC,
            {"split": name, "comparison": "spin_on - spin_off", "variant": variant, "spin": ""},
        )
    if {REFERENCE, SHIPPED} <= set(found):
        against = {"split": name, "comparison": f"{SHIPPED} - {REFERENCE}", "variant": ""}
        for spin in SPINS:
            rows += score.paired(
                groups[SHIPPED, spin], groups[REFERENCE, spin], weights_RC, {**against, "spin": spin}
            )
        rows += score.paired(found[SHIPPED], found[REFERENCE], weights_RC, {**against, "spin": ""})
    return rows


def _retrieval_bounds(split: Split, name: str) -> list[dict]:
    """What chance and an oracle that knows every caption get on this gallery; no sampling error, so no
    interval."""
    texts, owner_T, size = split.gallery()
    oracle_IT = ceiling.similarity(texts, owner_T, size)
    ranks = {
        "image_to_text": retrieval.image_to_text_ranks(oracle_IT, owner_T),
        "text_to_image": retrieval.text_to_image_ranks(oracle_IT, owner_T),
    }
    rows = []
    for direction, ranks_Q in ranks.items():
        best = {f"r{k}": 100.0 * float(np.mean(ranks_Q <= k)) for k in (1, 5, 10)}
        for who, figures in (("chance", retrieval.chance(size)), ("ceiling", best)):
            rows += [
                {
                    "family": "retrieval",
                    "split": name,
                    "variant": who,
                    "spin": "",
                    "type": direction,
                    "metric": metric,
                    "value": score.rounded(value),
                    "low": "",
                    "high": "",
                    "n": len(ranks_Q),
                }
                for metric, value in figures.items()
            ]
    if split.true_objects:
        rows += [
            {
                "family": "retrieval",
                "split": name,
                "variant": who,
                "spin": "",
                "type": "swapped_kind",
                "metric": "accuracy",
                "value": value,
                "low": "",
                "high": "",
                "n": size,
            }
            for who, value in (("chance", 50.0), ("ceiling", 100.0))
        ]
    return rows


def _plots(said: dict[str, dict[str, Asked]], rows: list[dict], setting: Setting, plots: Path) -> None:
    """Confusion of the shipped variant on the first split, retrieval bars, and which heads SPIN silences."""
    first = setting.splits[0]
    shown = SHIPPED if SHIPPED in said else next(iter(said))
    asked = said[shown][first]
    tables.write_csv(
        plots / "confusion.csv",
        tables.confusion(setting.read(first).triples, asked.answers["off"].texts),
        ["actual", "predicted"],
    )
    bars = [
        {
            "figure": f"{row['split']} {row['type']} {row['metric']}",
            "variant": row["variant"],
            "value": row["value"],
        }
        for row in rows
        if row["family"] == "retrieval"
    ]
    tables.write_csv(plots / "retrieval.csv", bars, ["figure", "variant", "value"])
    silenced_LH = asked.answers["on"].silenced_LH
    heat = [
        {"layer": layer, "head": head, "share": round(float(value), 4)}
        for layer, of_layer in enumerate(silenced_LH)
        for head, value in enumerate(of_layer)
    ]
    tables.write_csv(plots / "silenced_heads.csv", heat, ["layer", "head", "share"])
