"""The evaluation's figures: every split x variant x SPIN, baselines and ceiling included, into metrics/
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
    paired_pictures,
    predictions,
    result_files,
    scoring,
    split_contents,
)
from sightline.evaluate.bootstrap import resamples
from sightline.evaluate.collect_predictions import Setting, VariantPredictions
from sightline.evaluate.metrics import calibration, retrieval, selective_prediction
from sightline.evaluate.scoring import Group
from sightline.evaluate.split_contents import Split
from sightline.inference.session import Session

REFERENCE, SHIPPED = "fp32", "shipped"
UNTUNED = metrics_summary.UNTUNED  # a pretrained dual encoder as it came, which only searches
_FIGURE = ["split", "variant", "spin", "type", "metric", "value", "low", "high", "n", "pictures"]
_PAIRED = [
    *["split", "comparison", "variant", "spin", "family", "type", "metric", "value", "low", "high"],
    *["loss_bound", "not_worse", "n", "pictures"],
]


def evaluate(
    outputs: dict[str, dict[str, VariantPredictions]],
    blind: Session | None,
    setting: Setting,
    metrics: Path,
    plots: Path,
) -> list[dict]:
    """Scores the predictions of the variants, writes every table; returns the tidy rows of all families.

    `blind` answers the first split's questions without the picture (None: no blind row).
    """
    train = Triples(setting.vqa, "train")
    by_type = majority_baseline.majority(train[index] for index in range(len(train)))
    rows, differences = [], []
    compared: dict[str, list[list[Group]]] = {variant: [] for variant in outputs}
    for name in progress.track(setting.params.splits, "scoring splits"):
        split = setting.read(name)
        of_split = {variant: by_split[name] for variant, by_split in outputs.items()}
        baselines = {}
        if any(predicted.answers for predicted in of_split.values()):
            baselines = {
                "majority": majority_baseline.answers(split.triples, by_type),
                "ceiling": oracle.answers(split.triples),
            }
        if blind is not None and name == setting.params.splits[0]:
            baselines["blind"] = predictions.blind_answers(
                blind, split, setting.generation, setting.params.batch_size
            )
        more_rows, more_differences, served = _score(split, of_split, baselines, setting)
        rows += more_rows
        differences += more_differences
        for variant, groups in served.items():
            compared[variant].append(groups)
        if SHIPPED in served:
            paired_pictures.write(metrics / paired_pictures.file_of(name), split, served[SHIPPED])
        for variant, of_variant in of_split.items():
            for spin, answers in of_variant.answers.items():
                path = metrics / f"predictions-{name}-{variant}-spin_{spin}.jsonl"
                result_files.write_predictions(path, split.triples, answers.texts, answers.confidence_N)
    for family in ("vqa", "pope", "chair", "caption", "retrieval", *scoring.CONFIDENCES):
        of_family = [{key: row[key] for key in _FIGURE} for row in rows if row["family"] == family]
        result_files.write_csv(metrics / f"{family}.csv", of_family, _FIGURE)
    if {REFERENCE, SHIPPED} <= set(outputs):
        key = {
            "split": metrics_summary.POOLED,
            "comparison": f"{SHIPPED} - {REFERENCE}",
            "variant": "",
            "spin": setting.served,
        }
        differences += scoring.loss_bounds(compared[SHIPPED], compared[REFERENCE], key)
    result_files.write_csv(metrics / "paired.csv", differences, _PAIRED)
    _plots(outputs, setting, plots)
    return rows


def _score(
    split: Split, of_split: dict[str, VariantPredictions], baselines: dict[str, list[str]], setting: Setting
) -> tuple[list[dict], list[dict], dict[str, list[Group]]]:
    """(figures, paired differences, groups of every variant as the bundle answers) of one split.

    `baselines`: answers of the baselines and the oracle."""
    words = split_contents.lexicon(setting.vqa)
    rng = np.random.default_rng(derive_seed(setting.seed, "bootstrap", split.name))
    weights_RC = resamples(len(split.lines), setting.params.bootstrap, rng)
    texts = {
        (variant, spin): answers.texts
        for variant, of_variant in of_split.items()
        for spin, answers in of_variant.answers.items()
    }
    texts |= {(name, ""): answers for name, answers in baselines.items()}
    groups = {key: scoring.answer_groups(split, answers, words, weights_RC) for key, answers in texts.items()}
    retrieved = {
        variant: scoring.retrieval_groups(of_variant.retrieval, weights_RC)
        for variant, of_variant in of_split.items()
    }
    if UNTUNED in retrieved:  # there is nothing trained yet that could put results in another order
        retrieved[UNTUNED] = [each for each in retrieved[UNTUNED] if not each.kind.endswith("reranked")]
    confidence_by_key = [
        ((variant, spin), scoring.confidence_groups(split, answers, weights_RC))
        for variant, of_variant in of_split.items()
        for spin, answers in of_variant.answers.items()
    ]
    retrieval_by_key = [((variant, ""), of_variant) for variant, of_variant in retrieved.items()]
    rows = []
    for (variant, spin), variant_groups in [*groups.items(), *retrieval_by_key, *confidence_by_key]:
        for group in variant_groups:
            if (group.family, variant) == ("caption", "ceiling"):
                continue  # the oracle gives one of the references
            key = {"family": group.family, "split": split.name, "variant": variant, "spin": spin}
            rows += scoring.figure_rows(group, key, exact=variant == "ceiling")
    served = {variant: groups.get((variant, setting.served), []) + retrieved[variant] for variant in of_split}
    directions = {kind for of_variant in of_split.values() for kind in of_variant.retrieval.ranks}
    rows += _retrieval_bounds(split, directions)
    return rows, _differences(split.name, groups, retrieved), served


def _differences(
    name: str, groups: dict[tuple[str, str], list[Group]], retrieved: dict[str, list[Group]]
) -> list[dict]:
    rows = []
    for variant in retrieved:
        if {(variant, "on"), (variant, "off")} <= set(groups):
            key = {"split": name, "comparison": "spin_on - spin_off", "variant": variant, "spin": ""}
            rows += scoring.difference_rows(groups[variant, "on"], groups[variant, "off"], key)
    if {REFERENCE, SHIPPED} <= set(retrieved):
        key = {"split": name, "comparison": f"{SHIPPED} - {REFERENCE}", "variant": ""}
        for spin in (spin for variant, spin in groups if variant == REFERENCE):
            rows += scoring.difference_rows(
                groups[SHIPPED, spin], groups[REFERENCE, spin], {**key, "spin": spin}
            )
        rows += scoring.difference_rows(retrieved[SHIPPED], retrieved[REFERENCE], {**key, "spin": ""})
    if {UNTUNED, SHIPPED} <= set(retrieved):
        key = {"split": name, "comparison": metrics_summary.TUNED_GAIN, "variant": "", "spin": ""}
        kinds = {each.kind for each in retrieved[UNTUNED]}
        tuned = [each for each in retrieved[SHIPPED] if each.kind in kinds]
        rows += scoring.difference_rows(tuned, retrieved[UNTUNED], key)
    return rows


def _retrieval_bounds(split: Split, directions: set[str]) -> list[dict]:
    """Figures of chance and of an oracle on this gallery, for the orders in `directions`; they have no
    sampling error, so no interval."""
    texts, owner_T, size = split.gallery()
    ranks = dict(zip(("image_to_text", "text_to_image"), oracle.ranks(texts, owner_T, size), strict=True))
    ranks |= {
        f"{direction}_{by}": ranks_Q
        for direction, ranks_Q in ranks.items()
        for by in ("reranked", "described")
        if f"{direction}_{by}" in directions
    }
    described = any(direction.endswith("described") for direction in directions)
    rows = []
    for direction, ranks_Q in ranks.items():
        best = {f"r{k}": 100.0 * float(np.mean(ranks_Q <= k)) for k in (1, 5, 10)}
        for baseline, figures in (("chance", retrieval.chance(size)), ("ceiling", best)):
            rows += [
                {
                    "family": "retrieval",
                    "split": split.name,
                    "variant": baseline,
                    "spin": "",
                    "type": direction,
                    "metric": metric,
                    "value": scoring.rounded(value),
                    "low": "",
                    "high": "",
                    "n": len(ranks_Q),
                    "pictures": size,
                }
                for metric, value in figures.items()
            ]
    if split.true_objects:
        rows += [
            {
                "family": "retrieval",
                "split": split.name,
                "variant": baseline,
                "spin": "",
                "type": kind,
                "metric": "accuracy",
                "value": value,
                "low": "",
                "high": "",
                "n": size,
                "pictures": size,
            }
            for kind in ("swapped_kind", *(["swapped_kind_described"] if described else []))
            for baseline, value in (("chance", 50.0), ("ceiling", 100.0))
        ]
    return rows


def _plots(outputs: dict[str, dict[str, VariantPredictions]], setting: Setting, plots: Path) -> None:
    """Confusion and confidences of the shipped variant on the first split; empty where it does not answer."""
    plotted = SHIPPED if SHIPPED in outputs else next(iter(outputs))
    split = setting.read(setting.params.splits[0])
    served = outputs[plotted][split.name].answers.get(setting.served)
    pairs: list[dict] = []
    bins: list[dict] = []
    points: list[dict] = []
    if served is not None:
        pairs = result_files.confusion(split.triples, served.texts)
        binary, short = scoring.yes_no_questions(split), scoring.short_questions(split)
        right_B, right_S = (scoring.correctness(split, served, asked) for asked in (binary, short))
        bins = calibration.reliability(served.confidence_N[binary], right_B)
        points = selective_prediction.points(served.confidence_N[short], right_S)
    result_files.write_csv(plots / "confusion.csv", pairs, ["actual", "predicted"])
    result_files.write_csv(plots / "reliability.csv", bins, ["confidence", "accuracy", "n"])
    result_files.write_csv(plots / "abstention.csv", points, ["coverage", "accuracy"])
