"""The out-of-domain score: shrinkage against its formula, distances by hand, files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sightline.inference import out_of_domain
from sightline.inference.out_of_domain import OODDetector
from tests.support import tiny

ROOT = Path(__file__).resolve().parents[2]


class Means:
    """An encoder whose two tokens average to the picture's mean colour."""

    def encode_images(self, images):
        mean = np.array([image.mean(axis=(0, 1)) for image in images])
        return np.stack([mean - 1.0, mean + 1.0], axis=1), mean


def flat(*rgb):
    return np.full((4, 4, 3), rgb, np.uint8)


def test_distance_by_hand():
    known = OODDetector(np.array([10.0, 10.0, 10.0]), np.diag([1.0, 0.25, 1.0]), 3.0)
    scores = known.scores(Means(), [flat(10, 10, 10), flat(13, 10, 14), flat(10, 12, 10)])
    np.testing.assert_allclose(scores, [0.0, 5.0, 1.0])


def test_a_score_never_depends_on_the_other_pictures():
    known, pictures = OODDetector(np.zeros(3), np.eye(3), 1.0), tiny.pictures(5)
    alone = [known.scores(Means(), [picture])[0] for picture in pictures]
    assert known.scores(Means(), iter(pictures)).tolist() == alone


def ledoit_wolf(rows):
    """The paper's section 3.2, sum by sum: (covariance, shrinkage)."""
    count, width = rows.shape
    sample = sum(np.outer(row, row) for row in rows) / count
    mean = np.trace(sample) / width
    spread = np.linalg.norm(sample - mean * np.eye(width)) ** 2
    noise = sum(np.linalg.norm(np.outer(row, row) - sample) ** 2 for row in rows) / count**2
    weight = min(noise, spread) / spread
    return (1 - weight) * sample + weight * mean * np.eye(width), weight


@pytest.mark.parametrize("count", [3, 40])
def test_shrinkage_is_ledoit_and_wolfs(count):
    rows = np.random.default_rng(2).normal(size=(count, 6)) * [1, 2, 3, 1, 1, 5]
    rows -= rows.mean(axis=0)
    expected, weight = ledoit_wolf(rows)
    np.testing.assert_allclose(out_of_domain.shrunk(rows), expected, rtol=1e-10)
    assert 0 < weight <= 1 and np.linalg.cond(out_of_domain.shrunk(rows)) < 1e6


def test_the_inverse_by_hand_and_of_any_covariance():
    np.testing.assert_allclose(
        out_of_domain.inverse(np.array([[2.0, 1.0], [1.0, 3.0]])), [[0.6, -0.2], [-0.2, 0.4]]
    )
    rows = np.random.default_rng(3).normal(size=(50, 40)) @ np.random.default_rng(4).normal(size=(40, 40))
    spread = out_of_domain.shrunk(rows - rows.mean(axis=0))
    found = out_of_domain.inverse(spread)
    np.testing.assert_allclose(found @ spread, np.eye(40), atol=1e-9)
    assert np.array_equal(found, found.T)


FITTED = """
import hashlib, numpy as np
from sightline.inference import confidence, out_of_domain
draw = np.random.default_rng(5)
rows = draw.normal(size=(2000, 128)) * np.linspace(0.1, 3.0, 128)
rows[:, 1:] += rows[:, :-1]
precision = out_of_domain.inverse(out_of_domain.shrunk(rows - rows.mean(axis=0)))
probability = draw.uniform(0.4, 1.0, 2000)
temperature = confidence.fit_temperature(probability, draw.uniform(size=2000) < probability)
print(hashlib.sha256(precision.tobytes()).hexdigest(), temperature.hex())
"""


def test_what_is_fitted_has_the_same_bits_under_any_blas():
    found = set()
    for setting in ({"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"},
                    {"OPENBLAS_CORETYPE": "Haswell"}, {"OPENBLAS_CORETYPE": "Nehalem"}):  # fmt: skip
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")} | setting
        command = [sys.executable, "-c", FITTED]
        found.add(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_equal_pictures_have_no_spread_and_do_no_harm():
    assert np.isfinite(out_of_domain.shrunk(np.eye(2)[:1] * 3.0)).all()


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return tiny.raw(tmp_path_factory.mktemp("data") / "raw", 40, ("train", "val", "test"))


def test_the_bound_is_the_percentile_of_val(items):
    known = out_of_domain.fit(Means(), items, 75.0, 10**6)
    scores = known.scores(Means(), out_of_domain.split_pictures(items, "val", 10**6))
    assert known.bound == pytest.approx(np.percentile(scores, 75.0))
    train = out_of_domain.pooled(Means(), out_of_domain.split_pictures(items, "train", 10**6))
    np.testing.assert_allclose(known.mean_D, train.mean(axis=0))
    again = out_of_domain.fit(Means(), items, 75.0, 10**6)
    assert again.precision_DD.tobytes() == known.precision_DD.tobytes()


def test_saved_and_loaded(items, tmp_path):
    known = out_of_domain.fit(Means(), items, 99.0, 10**6)
    known.save(tmp_path / out_of_domain.FOLDER)
    loaded, pictures = OODDetector.load(tmp_path), tiny.pictures(3)
    assert loaded.bound == known.bound
    assert loaded.scores(Means(), pictures).tolist() == known.scores(Means(), pictures).tolist()


def test_a_split_without_pictures_and_a_bundle_without_statistics_are_named(items, tmp_path):
    with pytest.raises(ValueError, match="'nowhere'"):
        list(out_of_domain.split_pictures(items, "nowhere", 10**6))
    with pytest.raises(ValueError, match="dvc repro index"):
        OODDetector.load(tmp_path)
