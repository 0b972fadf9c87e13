"""What the figures of a monitored server are worth: does the share of doubtful descriptions follow the share
with an invented object (CHAIR_s), does drift stay silent on pictures like those of training, what does it
cost. N descriptions, R resamples.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from sightline.core.artifacts import read_json
from sightline.core.runtime import derive_seed
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.evaluate import split_contents
from sightline.evaluate.metrics.chair import Lexicon, item_counts
from sightline.evaluate.ood_detection import auroc
from sightline.evaluate.split_contents import Split
from sightline.inference.answering import Answer
from sightline.inference.calibration_data import BATCH
from sightline.inference.drift import DRIFTED, MOVED, Histogram
from sightline.inference.object_words import ObjectWords
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.session import Session
from sightline.search.user_index import BundleIndex
from sightline.serve.batch_model import Model
from sightline.serve.metric_names import WINDOW
from sightline.serve.prometheus import Metrics

WINDOWS = 1000  # drawn from pictures of the test split, to see how often drift alarms by chance
REPEATS = 2000  # of what is timed
SPLITS = ("test", "shift_test")
Echo = Callable[[str], None]
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Study:
    """Data of the study: at most `items` pictures of a split (0: all), resamples of an interval."""

    raw: Path
    vqa: Path
    items: int
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class Described:
    """Descriptions with what was invented: `signs` name -> score [N], higher is more suspicious."""

    invented_N: np.ndarray
    doubtful_N: np.ndarray
    least_N: np.ndarray
    signs: dict[str, np.ndarray]


def run(session: Session, study: Study, echo: Echo) -> dict[str, Any]:
    """The whole result. Raises ValueError for a bundle that keeps no scores of val."""
    assert session.folder is not None  # where the bundle lies
    pictures, known = OODDetector.load(session.folder), session.object_words
    if pictures.reference is None or known is None:
        raise ValueError(
            f"{session.folder}: keeps no scores of val; rerun the index stage (`dvc repro index`)"
        )
    lexicon = split_contents.lexicon(study.vqa)
    rows, proxies = [], []
    for split, name, images in _conditions(study):
        scores_N = pictures.scores(session, images)
        described = describe(session, known, images, split.present, lexicon, maps=name in SPLITS)
        rows.append(
            {
                "condition": name,
                "pictures": len(images),
                "chair_s": _percent(described.invented_N),
                "doubtful": _percent(described.doubtful_N),
                "out_of_domain": _percent(scores_N > pictures.bound),
                "psi_picture": round(_index(pictures.reference, scores_N), 3),
                "psi_object_word": round(_index(known.reference, described.least_N), 3),
            }
        )
        echo(f"{name}: {rows[-1]['doubtful']} % doubtful, {rows[-1]['chair_s']} % with an invented object")
        if name in SPLITS:
            proxies.append(_proxy(name, described, study))
        if name == SPLITS[0]:
            alarms = _false_alarms(pictures.reference, scores_N, study)
            cost = _cost(session, pictures, known, images[0])
    return {
        "variant": read_json(session.folder / "config.json")["variant"],
        "decoding": session.settings.generation.decoding,
        "resamples": study.bootstrap,
        "bound": known.bound,
        "window": WINDOW,
        "expected_doubtful": round(100.0 * (1.0 - _reference(known).share_above(known.bound)), 1),
        "splits": proxies,
        "conditions": rows,
        "rank_correlation": _rank_correlation(rows, study),
        "false_alarms": alarms,
        "cost": cost,
    }


def describe(
    session: Session, known: ObjectWords, images: list[np.ndarray], present: list[set[str]], lexicon: Lexicon,
    maps: bool,
) -> Described:  # fmt: skip
    """Describe pictures as the bundle does; `maps`: look at the attention, too."""
    answers: list[Answer] = []
    shares: list[float] = []
    patches = int(np.prod(session.engine.config["grid"]))
    for start in range(0, len(images), BATCH):
        chunk = images[start : start + BATCH]
        for answer in session.answer(chunk, [DESCRIBE] * len(chunk), need_maps=maps, batch_size=BATCH):
            if answer.maps_LHTM is not None:
                shares.append(float(answer.maps_LHTM[..., :patches].sum(axis=-1).mean()))
            answers.append(answer)
    counts = [item_counts(one.text, kinds, lexicon) for one, kinds in zip(answers, present, strict=True)]
    least_N = np.array([1.0 if one.object_probability is None else one.object_probability for one in answers])
    length_N = np.array([len(one.ids) + one.finished for one in answers])
    log_N = np.log([max(one.probability, 1e-300) for one in answers])
    signs = {"object word": -least_N, "mean token": -log_N, "whole description": -log_N * length_N}
    if shares:
        signs["attention to the picture"] = -np.array(shares)
    invented_N = np.array([one["hallucinating"] > 0 for one in counts])
    return Described(invented_N, least_N <= known.bound, least_N, signs)


def _conditions(study: Study) -> Iterator[tuple[Split, str, list[np.ndarray]]]:
    """(split, name, pictures): the splits as they are, then the first one made worse step by step."""
    first = split_contents.read(study.raw, study.vqa, SPLITS[0], study.items)
    images = list(first.rgb())
    yield first, SPLITS[0], images
    if (study.vqa / f"{SPLITS[1]}.jsonl").is_file():
        second = split_contents.read(study.raw, study.vqa, SPLITS[1], study.items)
        yield second, SPLITS[1], list(second.rgb())
    for name, change in _changes():
        rng = np.random.default_rng(derive_seed(study.seed, "monitoring", name))
        yield first, name, [change(image, rng) for image in images]


def _changes() -> Iterator[tuple[str, Change]]:
    for strength in (10, 20, 40):
        yield (
            f"noise of {strength} levels",
            lambda image, rng, strength=strength: np.clip(
                image + rng.normal(0.0, strength, image.shape), 0, 255
            ).astype(np.uint8),
        )
    for radius in (1, 2, 3):
        yield (
            f"blur of {radius} pixels",
            lambda image, rng, radius=radius: np.asarray(
                Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius))
            ),
        )


def _proxy(name: str, described: Described, study: Study) -> dict[str, Any]:
    """How well each sign tells descriptions with an invented object from others, and what the bound does."""
    invented_N, doubtful_N = described.invented_N, described.doubtful_N
    draws = _draws(study, name, len(invented_N))
    hits = {
        "invented_if_doubtful": lambda at: _percent(invented_N[at][doubtful_N[at]]),
        "invented_else": lambda at: _percent(invented_N[at][~doubtful_N[at]]),
        "found": lambda at: _percent(doubtful_N[at][invented_N[at]]),
    }
    whole = np.arange(len(invented_N))
    return {
        "split": name,
        "pictures": len(invented_N),
        "invented": int(invented_N.sum()),
        "auroc": {
            sign: _interval(lambda at, score_N=score_N: _auroc(score_N[at], invented_N[at]), draws, whole)
            for sign, score_N in described.signs.items()
        },
        "bound": {figure: _interval(value, draws, whole) for figure, value in hits.items()},
    }


def _draws(study: Study, name: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(derive_seed(study.seed, "monitoring intervals", name))
    return rng.integers(count, size=(study.bootstrap, count))


def _interval(
    figure: Callable[[np.ndarray], float], draws_RN: np.ndarray, whole: np.ndarray
) -> dict[str, float] | None:
    """None where there is nothing to tell apart."""
    value, resampled_R = figure(whole), np.array([figure(draw) for draw in draws_RN])
    if np.isnan(value):
        return None
    low, high = np.nanpercentile(resampled_R, [2.5, 97.5])
    return {"value": round(value, 1), "low": round(float(low), 1), "high": round(float(high), 1)}


def _auroc(score_N: np.ndarray, invented_N: np.ndarray) -> float:
    if invented_N.all() or not invented_N.any():
        return float("nan")
    return auroc(score_N[~invented_N], score_N[invented_N])


def _rank_correlation(rows: list[dict[str, Any]], study: Study) -> float:
    """Spearman's, over the conditions, of the share of doubtful descriptions and CHAIR_s."""
    ranks = [np.argsort(np.argsort([row[name] for row in rows])) for name in ("doubtful", "chair_s")]
    return round(float(np.corrcoef(*ranks)[0, 1]), 2)


def _false_alarms(reference: Histogram, scores_N: np.ndarray, study: Study) -> dict[str, float]:
    """The index of WINDOWS windows that are drawn from pictures like those of training."""
    rng = np.random.default_rng(derive_seed(study.seed, "drift by chance", SPLITS[0]))
    found = [_index(reference, rng.choice(scores_N, WINDOW)) for _ in range(WINDOWS)]
    return {
        "windows": WINDOWS, "mean": round(float(np.mean(found)), 3), "largest": round(max(found), 3),
        "moved": _percent(np.array(found) > MOVED), "drifted": _percent(np.array(found) > DRIFTED),
    }  # fmt: skip


def _index(reference: Histogram | None, scores_N: np.ndarray) -> float:
    assert reference is not None  # checked by `run`
    bins = [reference.bin(float(score)) for score in scores_N]
    return reference.psi(np.bincount(bins, minlength=len(reference.counts)).tolist())


def _reference(known: ObjectWords) -> Histogram:
    assert known.reference is not None  # a bundle's has one
    return known.reference


def _percent(values_N: np.ndarray) -> float:
    return round(100.0 * float(np.mean(values_N)), 1) if len(values_N) else float("nan")


def _cost(session: Session, pictures: OODDetector, known: ObjectWords, image: np.ndarray) -> dict[str, float]:
    """Microseconds of one description's bookkeeping, and milliseconds of making it alone: medians."""
    assert session.folder is not None and session.question_detector is not None
    began = time.perf_counter()
    answer = session.answer([image], [DESCRIBE])[0]
    pooled_D = session.encode_images([image])[0][0].mean(axis=0)
    made_s = time.perf_counter() - began
    index = BundleIndex(session.folder / "index", session.search_digest())
    metrics = Metrics(Model(session, pictures, index, 1), 64)
    logprobs = [-0.1] * len(answer.ids)

    def count() -> None:
        metrics.picture(pooled_D, 1.0)
        metrics.question(session.question_detector.score(DESCRIBE))  # type: ignore[union-attr]
        metrics.answer(answer, None)

    return {
        "count_us": _median_us(count),
        "object_words_us": _median_us(
            lambda: known.least_probability(session.tokenizer, answer.ids, logprobs)
        ),
        "scrape_us": _median_us(metrics.text, 50),
        "answer_ms": round(1e3 * made_s, 1),
    }  # fmt: skip


def _median_us(call: Callable[[], object], repeats: int = REPEATS) -> float:
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return round(1e6 * float(np.median(taken)), 1)
