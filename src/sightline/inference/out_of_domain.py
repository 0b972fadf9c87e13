"""Out-of-domain detection of pictures: the distance of one from the training pictures in the image tokens.

The score is the Mahalanobis distance (Lee et al. 2018, arXiv 1807.03888, with one class) of the picture's
mean token from those of training pictures, under a covariance shrunk after Ledoit and Wolf (2004), so that
few pictures suffice. Above the bound the picture is out of domain: answers about it mean nothing.
N pictures, P patches, D width.

No matrix product or inverse here is a BLAS library's: their bits depend on the processor and the number of
threads, and the same bundle could not be built on two machines.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import artifacts, progress, typed_json
from sightline.data import images
from sightline.data.shards import Items
from sightline.inference import drift
from sightline.inference.drift import Histogram
from sightline.inference.question_detector import FOLDER
from sightline.inference.session import Session

STATISTICS, BOUND = "statistics.safetensors", "domain.json"
PICTURES = 2000  # of a split: the covariance is then known well enough, and it takes seconds


class Bound(typed_json.Described):
    """domain.json."""

    bound: float
    reference: Histogram | None = None


@dataclass(frozen=True)
class OODDetector:
    """Mean and precision of the training pictures, the score above which a picture is out of domain, and the
    scores of val (None: an older bundle, or too few)."""

    mean_D: np.ndarray
    precision_DD: np.ndarray
    bound: float
    reference: Histogram | None = None

    def scores(self, session: Session, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """Distance of each picture (uint8 [Y, X, 3]), [N]; they are read one at a time."""
        return self.distances(pooled(session, pictures))

    def distances(self, pooled_ND: np.ndarray) -> np.ndarray:
        """Distance of mean tokens, [N]."""
        apart_ND = pooled_ND - self.mean_D
        return np.sqrt(np.einsum("nd,de,ne->n", apart_ND, self.precision_DD, apart_ND))

    def save(self, folder: Path) -> None:
        folder.mkdir()
        statistics = {"mean": self.mean_D, "precision": self.precision_DD}
        artifacts.save_weights(folder / STATISTICS, statistics)
        document: dict[str, Any] = {"bound": self.bound}
        if self.reference is not None:
            document["reference"] = self.reference.model_dump(mode="json")
        artifacts.write_json(folder / BOUND, document)

    @classmethod
    def load(cls, bundle: Path) -> "OODDetector":
        """The part of a bundle that Session.load has verified. Raises ValueError for a bundle without it."""
        folder = bundle / FOLDER
        if not (folder / BOUND).is_file():
            raise ValueError(f"{folder / BOUND}: no such file; rerun the index stage (`dvc repro index`)")
        known = typed_json.read(folder / BOUND, Bound, "rerun the index stage (`dvc repro index`)")
        statistics = artifacts.load_weights(folder / STATISTICS)
        mean_D, precision_DD = (statistics.get(name, np.zeros(0)) for name in ("mean", "precision"))
        numbers = mean_D.dtype.kind == precision_DD.dtype.kind == "f"
        if not numbers or mean_D.ndim != 1 or precision_DD.shape != 2 * mean_D.shape:
            raise ValueError(
                f"{folder / STATISTICS}: expected a mean and the inverse of a covariance, found "
                f"{mean_D.shape} and {precision_DD.shape}; rerun the index stage (`dvc repro index`)"
            )
        return cls(mean_D, precision_DD, known.bound, known.reference)


def fit(session: Session, items: Items, percentile: float, max_pixels: int) -> OODDetector:
    """Statistics of up to PICTURES pictures of `train`, evenly spread; the bound is that percentile of the
    scores of `val`. Raises ValueError when either split has no pictures."""
    train_pictures = progress.track(split_pictures(items, "train", max_pixels), "pictures of train")
    pooled_ND = pooled(session, train_pictures).astype(np.float64)
    mean_D = pooled_ND.mean(axis=0)
    detector = OODDetector(mean_D, inverse(shrunk(pooled_ND - mean_D)), 0.0)
    val_pictures = progress.track(split_pictures(items, "val", max_pixels), "pictures of val")
    scores_N = detector.scores(session, val_pictures)
    bound = float(np.percentile(scores_N, percentile))
    return OODDetector(mean_D, detector.precision_DD, bound, drift.reference(scores_N, bound))


def pooled(session: Session, pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Mean token of each picture, [N, D]."""
    # One at a time: a score then never depends on what else is scored.
    return np.stack([session.encode_images([picture])[0][0].mean(axis=0) for picture in pictures])


def shrunk(centred_ND: np.ndarray) -> np.ndarray:
    """Covariance [D, D] of centred rows, drawn towards a multiple of the identity as far as is best in
    expectation (Ledoit and Wolf 2004, section 3.2); invertible also for fewer rows than columns."""
    count, width = centred_ND.shape
    sample_DD = np.einsum("nd,ne->de", centred_ND, centred_ND) / count
    mean = np.trace(sample_DD) / width
    spread = np.sum((sample_DD - mean * np.eye(width)) ** 2)
    noise = (np.sum(np.sum(centred_ND**2, axis=1) ** 2) / count - np.sum(sample_DD**2)) / count
    weight = min(noise, spread) / spread if spread else 1.0
    return (1.0 - weight) * sample_DD + weight * mean * np.eye(width)


def inverse(spd_DD: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive definite matrix by the sweep operator (Goodnight 1979): one operation
    on single numbers after the other, so that its bits are the same everywhere."""
    swept_DD = np.array(spd_DD, np.float64)
    for index in range(len(swept_DD)):
        pivot, row_D = swept_DD[index, index], swept_DD[index].copy()
        swept_DD -= np.multiply.outer(row_D, row_D) / pivot
        swept_DD[index] = swept_DD[:, index] = row_D / pivot
        swept_DD[index, index] = -1.0 / pivot
    return -swept_DD


def split_pictures(items: Items, split: str, max_pixels: int) -> Iterator[np.ndarray]:
    """Up to PICTURES of a split, evenly spread. Raises ValueError when it has none."""
    lines = [line for line in items.split(split) if items[line]["image"] is not None]
    if not lines:
        raise ValueError(f"{items.path}: no pictures in the split {split!r}, nothing to compare with")
    spread = np.linspace(0, len(lines) - 1, min(PICTURES, len(lines))).round().astype(int)
    for position in np.unique(spread):
        item = items[lines[position]]
        yield images.decode(items.image_bytes(item), max_pixels, item["id"])
