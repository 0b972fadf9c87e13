"""CSV and JSON-lines files of the evaluation: the same bytes for the same figures."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np

from sightline.data.questions.question_types import is_short
from sightline.evaluate.metrics.normalize_answers import normalise
from sightline.evaluate.metrics.vqa_accuracy import truths

_LABELS = 40  # a confusion matrix with more answers than that cannot be read


def write_csv(path: Path, rows: list[dict], columns: list[str]) -> None:
    """Writes `rows` under exactly these columns, line feeds only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_predictions(path: Path, triples: list[dict], texts: list[str], confidence_N: np.ndarray) -> None:
    """One line per question: the item, the question, the truth, the answer and its confidence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for triple, text, confidence in zip(triples, texts, confidence_N, strict=True):
            kept = ("item", "image", "type", "question", "answer", "answers")
            row = {key: triple[key] for key in kept if key in triple}
            row |= {"prediction": text, "confidence": round(float(confidence), 6)}
            file.write(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n")


def confusion(triples: list[dict], texts: list[str]) -> list[dict]:
    """(actual, predicted) of every short question that is not POPE; rare and unknown answers are 'other'. Of
    the answers of several people the actual one is the predicted one where somebody gave it."""
    pairs = [
        (_actual(triple, normalise(text)), normalise(text))
        for triple, text in zip(triples, texts, strict=True)
        if is_short(triple["type"])
    ]
    counted = Counter(actual for actual, _ in pairs)
    kept = set(sorted(counted, key=lambda answer: (-counted[answer], answer))[:_LABELS])
    return [
        {
            "actual": actual if actual in kept else "other",
            "predicted": predicted if predicted in kept else "other",
        }
        for actual, predicted in pairs
    ]


def _actual(triple: dict, predicted: str) -> str:
    given = {normalise(truth) for truth in truths(triple)}
    return predicted if predicted in given else normalise(triple["answer"])
