"""Loss bounds over several splits: sums of counts, resampled within each split."""

import numpy as np
import pytest

from sightline.evaluate import scoring
from sightline.evaluate.bootstrap import cluster, difference, resamples, sample
from sightline.evaluate.metrics import pope, vqa_accuracy


def group(family, measure, kind, per_item, pictures, weights_RC):
    return scoring.Group(
        family, kind, measure, sample(cluster(per_item, pictures, weights_RC.shape[1]), weights_RC)
    )


def answers(right, weights_RC):
    """One question a picture."""
    per_item = [vqa_accuracy.item_counts(["a"], "a" if good else "b") for good in right]
    return group("vqa", vqa_accuracy, "all", per_item, list(range(len(right))), weights_RC)


def test_two_splits_count_as_one_and_are_resampled_apart():
    draw = np.random.default_rng(0)
    right = [draw.random(size) < 0.8 for size in (40, 60)]
    worse = [good & (draw.random(len(good)) < 0.9) for good in right]
    weights = [resamples(size, 400, draw) for size in (40, 60)]
    before = [[answers(good, w)] for good, w in zip(right, weights, strict=True)]
    after = [[answers(good, w)] for good, w in zip(worse, weights, strict=True)]
    (row,) = scoring.loss_bounds(after, before, {"split": "both"})
    lost = np.concatenate([a.astype(float) - b for a, b in zip(right, worse, strict=True)])
    assert row["n"] == 100 and row["value"] == pytest.approx(-100 * lost.mean())
    # by hand: the resampled loss is the sum over both splits of how often a lost answer was drawn
    drawn_R = sum(w @ (a.astype(float) - b) for w, a, b in zip(weights, right, worse, strict=True))
    assert row["loss_bound"] == pytest.approx(np.percentile(drawn_R, 95), abs=1e-3)  # of 100 questions


def test_popes_kinds_are_one_figure_and_share_their_pictures():
    draw = np.random.default_rng(1)
    weights_RC = resamples(10, 200, draw)
    kinds = []
    for kind in ("adversarial", "popular", "random"):
        per_item = [pope.item_counts("yes", "yes" if draw.random() < 0.7 else "no") for _ in range(20)]
        kinds.append(group("pope", pope, kind, per_item, [i // 2 for i in range(20)], weights_RC))
    whole = next(group for group in scoring.pooled([kinds]) if group.kind == "all")
    assert whole.sample.total["tp"] == sum(kind.sample.total["tp"] for kind in kinds)
    assert whole.sample.filled == 10  # pictures, not kinds of questions
    # two models that agree: no event in 10 pictures leaves 30 points (rule of three)
    same = difference(pope.FIGURES["f1"], whole.sample, whole.sample)
    assert (same.value, same.loss_bound) == (0.0, 30.0)
