"""How well out-of-domain pictures are told from the data's own: false alarms on test splits, and the area
under the ROC curve (AUROC) against pictures drawn here, which are no scenes and no photos."""

from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.core.runtime import derive_seed
from sightline.evaluate import result_files, scoring, split_contents
from sightline.evaluate.bootstrap import Sample, cluster, interval, resamples, sample
from sightline.evaluate.collect_predictions import Setting
from sightline.evaluate.metrics.ratios import share

Scores = Callable[[Iterator[np.ndarray]], np.ndarray]  # pictures -> [N], higher is less like the data
SIDE, PER_KIND = 64, 50  # pixels and pictures
BOOTSTRAP = 1000  # resamples of a figure that is no stage's
KINDS = ("noise", "clouds", "stripes", "gradient", "inverted")
COLUMNS = ["split", "variant", "spin", "type", "metric", "value", "low", "high", "n"]


def evaluate(scores: Scores, bound: float, setting: Setting, metrics: Path) -> list[dict]:
    """Writes domain.csv and returns its rows: of every split the share that is warned about (`false_alarm`),
    and on the first one, of every kind of drawn picture, the share warned about and the AUROC."""
    rows: list[dict] = []
    for name in setting.params.splits:
        split = split_contents.read(setting.raw, setting.vqa, name, setting.params.max_items)
        own_N = scores(split.rgb())
        rng = np.random.default_rng(derive_seed(setting.seed, "domain", name))
        alarms = warned(own_N, bound, setting.params.bootstrap, rng)
        rows += _rows(name, "own pictures", {"false_alarm": alarms}, own_N)
        if name != setting.params.splits[0]:
            continue
        drawn = {kind: scores(draw(kind, split.rgb(), rng)) for kind in KINDS}
        for kind, odd_N in {**drawn, "all drawn": np.concatenate(list(drawn.values()))}.items():
            found = {
                "warned": warned(odd_N, bound, setting.params.bootstrap, rng),
                "auroc": separation(own_N, odd_N, setting.params.bootstrap, rng),
            }
            rows += _rows(name, kind, found, odd_N)
    result_files.write_csv(metrics / "domain.csv", rows, COLUMNS)
    return rows


def compare(scores: Scores, bound: float, own: Iterator[np.ndarray], odd: Iterator[np.ndarray]) -> dict:
    """The same figures for someone's pictures `odd` beside the data's `own`, percent with intervals."""
    own_N, odd_M = scores(own), scores(odd)
    rng = np.random.default_rng(derive_seed(0, "domain"))
    return {
        "pictures": len(odd_M),
        "own_pictures": len(own_N),
        "warned": warned(odd_M, bound, BOOTSTRAP, rng),
        "false_alarm": warned(own_N, bound, BOOTSTRAP, rng),
        "auroc": separation(own_N, odd_M, BOOTSTRAP, rng),
    }


def _rows(split: str, kind: str, figures: dict[str, dict], scores_N: np.ndarray) -> list[dict]:
    key = {"split": split, "variant": "shipped", "spin": "", "type": kind}
    return [{**key, "metric": metric, **figure, "n": len(scores_N)} for metric, figure in figures.items()]


def warned(scores_N: np.ndarray, bound: float, bootstrap: int, rng: np.random.Generator) -> dict[str, float]:
    """Percent of pictures above the bound, with its interval."""
    tallies = [{"questions": 1.0, "warned": float(one > bound)} for one in scores_N]
    weights_RN = resamples(len(scores_N), bootstrap, rng)
    found = sample(cluster(tallies, list(range(len(scores_N))), len(scores_N)), weights_RN)
    return _rounded(found, lambda counts: share(counts["warned"], counts["questions"]))


def separation(
    own_N: np.ndarray, odd_M: np.ndarray, bootstrap: int, rng: np.random.Generator
) -> dict[str, float]:
    """AUROC in percent, with its interval: pictures of both sides are drawn again."""
    drawn_R = [auroc(rng.choice(own_N, len(own_N)), rng.choice(odd_M, len(odd_M))) for _ in range(bootstrap)]
    found = Sample({"auroc": auroc(own_N, odd_M)}, {"auroc": np.array(drawn_R)}, min(len(own_N), len(odd_M)))
    return _rounded(found, itemgetter("auroc"))


def auroc(own_N: np.ndarray, odd_M: np.ndarray) -> float:
    """Percent of pairs (own, odd) in which the odd picture has the higher score; equals count half."""
    own_N = np.sort(own_N)
    below_M, upto_M = (np.searchsorted(own_N, odd_M, side) for side in ("left", "right"))
    return 100.0 * float(np.mean((below_M + upto_M) / 2.0)) / len(own_N)


def _rounded(found: Sample, figure: Callable) -> dict[str, float]:
    known = interval(figure, found)
    return {name: scoring.rounded(getattr(known, name)) for name in ("value", "low", "high")}


def draw(kind: str, own: Iterator[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """PER_KIND pictures, uint8 [SIDE, SIDE, 3], that no data set holds; `inverted` are negatives of `own`."""
    place_Y1, place_1X = np.arange(SIDE)[:, None], np.arange(SIDE)[None, :]
    for _ in range(PER_KIND):
        if kind == "inverted":
            picture = next(own, None)
            if picture is None:
                return
            yield 255 - picture
        elif kind == "noise":
            yield rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        elif kind == "clouds":
            yield _smooth(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        elif kind == "gradient":
            yield _smooth(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))
        else:
            one_3, other_3 = rng.integers(0, 256, (2, 3), dtype=np.uint8)
            across, down, width = rng.integers(1, 4), rng.integers(-3, 4), rng.integers(4, 17)
            bands_YX = (across * place_1X + down * place_Y1) // width % 2
            yield np.where(bands_YX[..., None] == 1, one_3, other_3)


def _smooth(coarse: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
