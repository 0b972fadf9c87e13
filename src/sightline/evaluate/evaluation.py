"""The evaluation's figures: every split x variant x SPIN, baselines and ceiling beside them, into metrics/
and plots/."""

from pathlib import Path

import numpy as np

from sightline.core import progress
from sightline.core.runtime import derive_seed
from sightline.data.questions.triples import Triples
from sightline.evaluate import (
    majority_baseline,
    metrics_summary,
    oracle,
    predictions,
    result_files,
    scoring,
    split_contents,
)
from sightline.evaluate.bootstrap import resamples
from sightline.evaluate.collect_predictions import Asked, Setting
from sightline.evaluate.metrics import calibration, retrieval, selective_prediction
from sightline.evaluate.scoring import Group
from sightline.evaluate.split_contents import Split
from sightline.inference.session import Session

REFERENCE, SHIPPED = "fp32", "shipped"
_FIGURE = ["split", "variant", "spin", "type", "metric", "value", "low", "high", "n"]
_PAIRED = [
    *["split", "comparison", "variant", "spin", "family", "type", "metric", "value", "low", "high"],
    *["loss_bound", "not_worse", "n"],
]


def evaluate(
    said: dict[str, dict[str, Asked]],
    blind: Session | None,
    setting: Setting,
    metrics: Path,
    plots: Path,
) -> list[dict]:
    """Scores what the variants said, writes every table; returns the tidy rows of all families.

    `blind` answers the first split's questions without the picture (None: no blind row).
    """
    train = Triples(setting.vqa, "train")
    by_type = majority_baseline.majority(train[index] for index in range(len(train)))
    rows, differences = [], []
    compared: dict[str, list[list[Group]]] = {variant: [] for variant in said}
    for name in progress.track(setting.params.splits, "scoring splits"):
        split = setting.read(name)
        beside = {
            "majority": majority_baseline.answers(split.triples, by_type),
            "ceiling": oracle.answers(split.triples),
        }
        if blind is not None and name == setting.params.splits[0]:
            beside["blind"] = predictions.by_question(
                blind, split, setting.generation, setting.params.batch_size
            )
        given = {variant: of_split[name] for variant, of_split in said.items()}
        more_rows, more_differences, plain = _score(split, given, beside, setting)
        rows += more_rows
        differences += more_differences
        for variant, groups in plain.items():
            compared[variant].append(groups)
        for variant, asked in given.items():
            for spin, found in asked.answers.items():
                path = metrics / f"predictions-{name}-{variant}-spin_{spin}.jsonl"
                result_files.write_predictions(path, split.triples, found.texts, found.confidence_N)
    for family in ("vqa", "pope", "chair", "caption", "retrieval", *scoring.CONFIDENCES):
        of_family = [{key: row[key] for key in _FIGURE} for row in rows if row["family"] == family]
        result_files.write_csv(metrics / f"{family}.csv", of_family, _FIGURE)
    if {REFERENCE, SHIPPED} <= set(said):
        key = {
            "split": metrics_summary.POOLED,
            "comparison": f"{SHIPPED} - {REFERENCE}",
            "variant": "",
            "spin": "off",
        }
        differences += scoring.bounds(compared[SHIPPED], compared[REFERENCE], key)
    result_files.write_csv(metrics / "paired.csv", differences, _PAIRED)
    _plots(said, rows, setting, plots)
    return rows


def _score(
    split: Split, given: dict[str, Asked], beside: dict[str, list[str]], setting: Setting
) -> tuple[list[dict], list[dict], dict[str, list[Group]]]:
    """(figures, paired differences, groups of every variant without SPIN) of one split; `beside`: answers of
    the baselines and the oracle."""
    words = split_contents.lexicon(setting.vqa)
    rng = np.random.default_rng(derive_seed(setting.seed, "bootstrap", split.name))
    weights_RC = resamples(len(split.lines), setting.params.bootstrap, rng)
    texts = {
        (variant, spin): answers.texts
        for variant, asked in given.items()
        for spin, answers in asked.answers.items()
    }
    texts |= {(who, ""): answers for who, answers in beside.items()}
    groups = {who: scoring.of_answers(split, said, words, weights_RC) for who, said in texts.items()}
    found = {variant: scoring.of_retrieval(asked.retrieved, weights_RC) for variant, asked in given.items()}
    trusted = [
        ((variant, spin), scoring.of_confidence(split, answers, weights_RC))
        for variant, asked in given.items()
        for spin, answers in asked.answers.items()
    ]
    found_by = [((who, ""), of) for who, of in found.items()]
    rows = []
    for (variant, spin), of_variant in [*groups.items(), *found_by, *trusted]:
        for group in of_variant:
            if (group.family, variant) == ("caption", "ceiling"):
                continue  # the oracle says one of the references
            key = {"family": group.family, "split": split.name, "variant": variant, "spin": spin}
            rows += scoring.figures(group, key, exact=variant == "ceiling")
    plain = {variant: groups[variant, "off"] + found[variant] for variant in given}
    rows += _retrieval_bounds(split, split.name)
    return rows, _differences(split.name, groups, found), plain


def _differences(
    name: str, groups: dict[tuple[str, str], list[Group]], found: dict[str, list[Group]]
) -> list[dict]:
    rows = []
    for variant in found:
        if (variant, "on") in groups:
            key = {"split": name, "comparison": "spin_on - spin_off", "variant": variant, "spin": ""}
            rows += scoring.paired(groups[variant, "on"], groups[variant, "off"], key)
    if {REFERENCE, SHIPPED} <= set(found):
        key = {"split": name, "comparison": f"{SHIPPED} - {REFERENCE}", "variant": ""}
        for spin in (spin for who, spin in groups if who == REFERENCE):
            rows += scoring.paired(groups[SHIPPED, spin], groups[REFERENCE, spin], {**key, "spin": spin})
        rows += scoring.paired(found[SHIPPED], found[REFERENCE], {**key, "spin": ""})
    return rows


def _retrieval_bounds(split: Split, name: str) -> list[dict]:
    """What chance and an oracle that knows every caption get on this gallery; no sampling error, so no
    interval."""
    texts, owner_T, size = split.gallery()
    oracle_IT = oracle.similarity(texts, owner_T, size)
    ranks = {
        "image_to_text": retrieval.image_to_text_ranks(oracle_IT, owner_T),
        "text_to_image": retrieval.text_to_image_ranks(oracle_IT, owner_T),
    }
    ranks |= {
        f"{direction}_{by}": found for direction, found in ranks.items() for by in ("reranked", "described")
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
                    "value": scoring.rounded(value),
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
                "type": kind,
                "metric": "accuracy",
                "value": value,
                "low": "",
                "high": "",
                "n": size,
            }
            for kind in ("swapped_kind", "swapped_kind_described")
            for who, value in (("chance", 50.0), ("ceiling", 100.0))
        ]
    return rows


def _plots(said: dict[str, dict[str, Asked]], rows: list[dict], setting: Setting, plots: Path) -> None:
    """Confusion and confidences of the shipped variant on the first split, retrieval bars, and which heads
    SPIN silences."""
    shown = SHIPPED if SHIPPED in said else next(iter(said))
    split = setting.read(setting.params.splits[0])
    asked = said[shown][split.name]
    plain = asked.answers["off"]
    result_files.write_csv(
        plots / "confusion.csv", result_files.confusion(split.triples, plain.texts), ["actual", "predicted"]
    )
    binary, short = scoring.yes_no_questions(split), scoring.short_questions(split)
    bins = calibration.reliability(plain.confidence_N[binary], scoring.right(split, plain, binary))
    result_files.write_csv(plots / "reliability.csv", bins, ["confidence", "accuracy", "n"])
    points = selective_prediction.points(plain.confidence_N[short], scoring.right(split, plain, short))
    result_files.write_csv(plots / "abstention.csv", points, ["coverage", "accuracy"])
    bars = [
        {
            "figure": f"{row['split']} {row['type']} {row['metric']}",
            "variant": row["variant"],
            "value": row["value"],
        }
        for row in rows
        if row["family"] == "retrieval"
    ]
    result_files.write_csv(plots / "retrieval.csv", bars, ["figure", "variant", "value"])
    silenced_LH = asked.answers["on"].silenced_LH
    heat = [
        {"layer": layer, "head": head, "share": round(float(value), 4)}
        for layer, of_layer in enumerate(silenced_LH)
        for head, value in enumerate(of_layer)
    ]
    result_files.write_csv(plots / "silenced_heads.csv", heat, ["layer", "head", "share"])
