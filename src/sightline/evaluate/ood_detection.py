"""How well out-of-domain pictures and questions separate from the data's own: false alarms on test splits,
and the area under the ROC curve (AUROC) against drawn pictures, which are no scenes and no photos,
and against questions about other things, in other languages, and without sense."""

from collections.abc import Callable, Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.core import artifacts
from sightline.core.runtime import derive_seed
from sightline.evaluate import foreign_questions, result_files, scoring, split_contents
from sightline.evaluate.bootstrap import Sample, cluster, interval, resamples, sample
from sightline.evaluate.collect_predictions import Setting
from sightline.evaluate.metrics.ratios import share
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.question_detector import QuestionDetector
from sightline.inference.session import Session

Scores = Callable[[Iterator[np.ndarray]], np.ndarray]  # pictures -> [N], higher is less like the data
SIDE, PER_KIND = 64, 50  # pixels and pictures
BOOTSTRAP = 1000  # resamples of the command's figures
KINDS = ("noise", "clouds", "stripes", "gradient", "inverted")
COLUMNS = ["split", "variant", "spin", "type", "metric", "value", "low", "high", "n", "pictures"]


def evaluate(session: Session, setting: Setting, metrics: Path) -> list[dict]:
    """Writes domain.csv of a bundle's session and returns its rows."""
    assert session.folder is not None  # where the bundle lies
    pictures, questions = OODDetector.load(session.folder), session.question_detector
    rows = picture_rows(partial(pictures.scores, session), pictures.bound, setting)
    if questions is not None:
        language = artifacts.read_json(session.folder / "config.json")["language"]
        rows += question_rows(questions, language, setting)
    result_files.write_csv(metrics / "domain.csv", rows, COLUMNS)
    return rows


def picture_rows(scores: Scores, bound: float, setting: Setting) -> list[dict]:
    """Rows of domain.csv: of every split the share of pictures that is warned about (`false_alarm`), and on
    the first one, of every kind of synthetic picture, the share warned about and the AUROC."""
    rows: list[dict] = []
    for name in setting.params.splits:
        split = split_contents.read(setting.raw, setting.vqa, name, setting.params.max_items)
        in_domain_N = scores(split.rgb())
        rng = np.random.default_rng(derive_seed(setting.seed, "domain", name))
        alarms = warned(in_domain_N, bound, setting.params.bootstrap, rng)
        rows += _rows(name, "own pictures", {"false_alarm": alarms}, in_domain_N)
        if name != setting.params.splits[0]:
            continue
        synthetic = {kind: scores(draw(kind, split.rgb(), rng)) for kind in KINDS}
        for kind, ood_N in {**synthetic, "all drawn": np.concatenate(list(synthetic.values()))}.items():
            figures = {
                "warned": warned(ood_N, bound, setting.params.bootstrap, rng),
                "auroc": separation(in_domain_N, ood_N, setting.params.bootstrap, rng),
            }
            rows += _rows(name, kind, figures, ood_N)
    return rows


def question_rows(detector: QuestionDetector, language: str, setting: Setting) -> list[dict]:
    """The same rows for questions, own and foreign ones; language: of the data."""
    rows: list[dict] = []
    for name in setting.params.splits:
        split = split_contents.read(setting.raw, setting.vqa, name, setting.params.max_items)
        own = [triple["question"] for triple in split.triples]
        own_N = np.array([detector.score(question) for question in own])
        rng = np.random.default_rng(derive_seed(setting.seed, "question domain", name))
        alarms = warned(own_N, detector.bound, setting.params.bootstrap, rng)
        rows += _rows(name, "own questions", {"false_alarm": alarms}, own_N)
        if name != setting.params.splits[0]:
            continue
        for kind in foreign_questions.KINDS:
            drawn = foreign_questions.draw(kind, language, own, rng)
            if drawn:
                ood_N = np.array([detector.score(question) for question in drawn])
                figures = {
                    "warned": warned(ood_N, detector.bound, setting.params.bootstrap, rng),
                    "auroc": separation(own_N, ood_N, setting.params.bootstrap, rng),
                }
                rows += _rows(name, kind, figures, ood_N)
    return rows


def compare(scores: Scores, bound: float, in_domain: Iterator[np.ndarray], ood: Iterator[np.ndarray]) -> dict:
    """The same figures for someone's pictures `ood` against the data's, percent with intervals."""
    in_domain_N, ood_M = scores(in_domain), scores(ood)
    rng = np.random.default_rng(derive_seed(0, "domain"))
    return {
        "pictures": len(ood_M),
        "own_pictures": len(in_domain_N),
        "warned": warned(ood_M, bound, BOOTSTRAP, rng),
        "false_alarm": warned(in_domain_N, bound, BOOTSTRAP, rng),
        "auroc": separation(in_domain_N, ood_M, BOOTSTRAP, rng),
    }


def _rows(split: str, kind: str, figures: dict[str, dict], scores_N: np.ndarray) -> list[dict]:
    key = {"split": split, "variant": "shipped", "spin": "", "type": kind}
    size = {"n": len(scores_N), "pictures": len(scores_N)}
    return [{**key, "metric": metric, **figure, **size} for metric, figure in figures.items()]


def warned(scores_N: np.ndarray, bound: float, bootstrap: int, rng: np.random.Generator) -> dict[str, float]:
    """Percent of pictures above the bound, with its interval."""
    item_counts = [{"questions": 1.0, "warned": float(score > bound)} for score in scores_N]
    weights_RN = resamples(len(scores_N), bootstrap, rng)
    counts = sample(cluster(item_counts, list(range(len(scores_N))), len(scores_N)), weights_RN)
    return _rounded(counts, lambda counts: share(counts["warned"], counts["questions"]))


def separation(
    in_domain_N: np.ndarray, ood_M: np.ndarray, bootstrap: int, rng: np.random.Generator
) -> dict[str, float]:
    """AUROC in percent, with its interval: pictures of both sides are resampled."""
    auroc_R = [
        auroc(rng.choice(in_domain_N, len(in_domain_N)), rng.choice(ood_M, len(ood_M)))
        for _ in range(bootstrap)
    ]
    total, smaller = np.asarray(auroc(in_domain_N, ood_M)), min(len(in_domain_N), len(ood_M))
    counts = Sample({"auroc": total}, {"auroc": np.array(auroc_R)}, smaller)
    return _rounded(counts, itemgetter("auroc"))


def auroc(in_domain_N: np.ndarray, ood_M: np.ndarray) -> float:
    """Percent of pairs in which the out-of-domain picture has the higher score; equals count half."""
    in_domain_N = np.sort(in_domain_N)
    below_M, upto_M = (np.searchsorted(in_domain_N, ood_M, side) for side in ("left", "right"))
    return 100.0 * float(np.mean((below_M + upto_M) / 2.0)) / len(in_domain_N)


def _rounded(counts: Sample, figure: Callable) -> dict[str, float]:
    estimate = interval(figure, counts)
    return {name: scoring.rounded(getattr(estimate, name)) for name in ("value", "low", "high")}


def draw(kind: str, pictures: Iterator[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """PER_KIND pictures, uint8 [SIDE, SIDE, 3], that no dataset has; `inverted`: negatives of `pictures`."""
    row_Y1, column_1X = np.arange(SIDE)[:, None], np.arange(SIDE)[None, :]
    for _ in range(PER_KIND):
        if kind == "inverted":
            picture = next(pictures, None)
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
            bands_YX = (across * column_1X + down * row_Y1) // width % 2
            yield np.where(bands_YX[..., None] == 1, one_3, other_3)


def _smooth(coarse: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
