"""POPE and CHAIR of answers that somebody published: files in the papers' formats, and nothing is asked.

POPE (arXiv 2305.10355): an answer a line, a label a line. Its figures come by two rules of reading an answer:
`paper`, that of the published scorer, and `sightline`, that of every audit. CHAIR (arXiv 1809.02156): a
caption for each photo; what is in a photo is what COCO's boxes and captions name.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from sightline.audit.answer_reading import YES_NO
from sightline.audit.audit_figures import RESAMPLES
from sightline.audit.source_items import word_list
from sightline.core import artifacts
from sightline.core.atomic_io import sha256
from sightline.core.runtime import derive_seed
from sightline.core.typed_json import Described
from sightline.evaluate.bootstrap import interval, resamples
from sightline.evaluate.metrics import chair, pope
from sightline.evaluate.metrics.chair import Lexicon
from sightline.evaluate.scoring import NOT_PERCENT, counted_group

FILE = "published.json"
PAPER, OURS = "paper", "sightline"  # rules of reading an answer
PAPER_FIGURES = ("accuracy", "precision", "recall", "f1", "yes_rate")  # of POPE's scorer
Number = int | str
Line = TypeVar("Line", bound=Described)


class Label(Described):
    """A line of a POPE file."""

    question_id: Number | None = None
    image: str | None = None
    text: str | None = None
    label: str


class Answered(Described):
    """A line of a file of answers: `answer`, or `text` as LLaVA's files have it; some bring their label."""

    question_id: Number | None = None
    image: str | None = None
    question: str | None = None
    answer: str | None = None
    text: str | None = None
    label: str | None = None


class Caption(Described):
    """An entry of a file of captions."""

    image_id: int
    caption: str


class PublishedFigure(Described):
    """A figure of `cases` answers or captions with its 95 % interval, by a rule of reading."""

    rule: str
    figure: str
    value: float
    low: float
    high: float
    cases: int


class PublishedFigures(Described):
    """published.json. files: sha256 of every file that was read, by its name."""

    metric: str
    files: dict[str, str]
    figures: list[PublishedFigure]


@dataclass(frozen=True)
class _Poll:
    """A label, an answer and the picture they are about."""

    truth: str
    answer: str
    picture: str


def score_pope(answers: Path, labels: Path | None) -> PublishedFigures:
    """Answers with the labels of a file, by `question_id` where all have one, else line by line; None: with
    the labels that the answers bring. Raises ValueError, naming file and line, for what does not fit."""
    given = _lines(answers, Answered)
    polls = _own_labels(answers, given) if labels is None else _paired(answers, given, labels)
    texts = {PAPER: [_paper_reads(poll.answer) for poll in polls], OURS: [poll.answer for poll in polls]}
    figures = []
    for rule, read in texts.items():
        counts = [pope.item_counts(poll.truth, text) for poll, text in zip(polls, read, strict=True)]
        names = PAPER_FIGURES if rule == PAPER else tuple(pope.FIGURES)
        figures += _figures(rule, pope, names, counts, [poll.picture for poll in polls])
    files = [answers] if labels is None else [answers, labels]
    return PublishedFigures(metric="pope", files=_digests(files), figures=figures)


def score_chair(captions: Path, annotations: Path, words: Path) -> PublishedFigures:
    """A caption for each photo against instances_*.json and captions_*.json of COCO in the folder
    `annotations`, with CHAIR's word list. Raises ValueError for a photo that they do not know."""
    lexicon, entries = Lexicon(dict(word_list(words))), _captions(captions)
    wanted = {entry.image_id for entry in entries}
    read = sorted([*annotations.glob("instances_*.json"), *annotations.glob("captions_*.json")])
    present: dict[int, set[str]] = {}
    for path in read:
        for image, text in _named(path):
            if image in wanted:
                present.setdefault(image, set()).update(lexicon.mentions(text))
    if unknown := sorted(wanted - present.keys()):
        raise ValueError(
            f"{captions}: photo {unknown[0]} and {len(unknown) - 1} more are in no instances_*.json or "
            f"captions_*.json of {annotations}: give the annotations of the photos that were described"
        )
    counts = [chair.item_counts(entry.caption, present[entry.image_id], lexicon) for entry in entries]
    pictures = [str(entry.image_id) for entry in entries]
    figures = _figures(OURS, chair, tuple(chair.FIGURES), counts, pictures)
    return PublishedFigures(metric="chair", files=_digests([captions, words, *read]), figures=figures)


def write(out: Path, scored: PublishedFigures) -> None:
    out.mkdir(parents=True, exist_ok=True)
    artifacts.write_json(out / FILE, scored.model_dump())


def _paper_reads(text: str) -> str:
    """As the published scorer: of the first sentence, no where `No`, `no` or `not` is a word, else yes."""
    words = text.split(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def _own_labels(path: Path, given: Sequence[Answered]) -> list[_Poll]:
    for number, line in enumerate(given, 1):
        if line.label is None:
            raise ValueError(f"{path}, line {number}: no label; give the file of labels: --data pope:FILE")
    return [_poll(path, number, line.label or "", line, line.image) for number, line in enumerate(given, 1)]


def _paired(path: Path, given: Sequence[Answered], labels: Path) -> list[_Poll]:
    known = _lines(labels, Label)
    if len(given) != len(known):
        raise ValueError(f"{path}: {len(given)} answers, and {labels} has {len(known)} labels")
    by_id = {line.question_id: line for line in given}
    if None not in by_id and len(by_id) == len(known) and {line.question_id for line in known} == set(by_id):
        given = [by_id[line.question_id] for line in known]
    polls = []
    for number, (label, line) in enumerate(zip(known, given, strict=True), 1):
        if line.question is not None and label.text is not None and line.question != label.text:
            raise ValueError(
                f"{path}, line {number}: answers {line.question!r}, but {labels} asks {label.text!r} there"
            )
        polls.append(_poll(labels, number, label.label, line, label.image))
    return polls


def _poll(path: Path, number: int, truth: str, line: Answered, picture: str | None) -> _Poll:
    """Pictures without a name count as one each."""
    answer = line.text if line.answer is None else line.answer
    if truth not in YES_NO or answer is None:
        raise ValueError(
            f"{path}, line {number}: label {truth!r}, answer {answer!r}; expected a label yes or no, and an "
            "answer under `answer` or `text`"
        )
    return _Poll(truth, answer, str(number) if picture is None else picture)


def _lines(path: Path, schema: type[Line]) -> list[Line]:
    """JSON lines. ValueError that names the line."""
    read = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                read.append(schema.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(map(str, first["loc"])) or "the line"
                raise ValueError(f"{path}, line {number}: {key}: {first['msg']}") from error
    if not read:
        raise ValueError(f"{path}: expected an object of JSON a line, got an empty file")
    return read


def _captions(path: Path) -> list[Caption]:
    """A list of captions, or what CHAIR itself writes: them under `sentences`, or by photo under
    `imgToEval`."""
    document = _json(path)
    if isinstance(document, dict):
        by_image = document.get("imgToEval", {})
        document = document.get("sentences") or (
            list(by_image.values()) if isinstance(by_image, dict) else []
        )
    try:
        entries = [Caption.model_validate(entry) for entry in document]
    except (ValidationError, TypeError) as error:
        raise ValueError(f"{path}: expected entries with image_id and caption ({error})") from error
    if not entries:
        raise ValueError(f"{path}: expected captions: a list of image_id and caption, or imgToEval")
    return entries


def _named(path: Path) -> list[tuple[int, str]]:
    """(photo, a text that names what is in it) of a COCO file: of a box its category, or a caption."""
    try:
        document = _json(path)
        names = {entry["id"]: entry["name"] for entry in document.get("categories", [])}
        return [
            (
                int(entry["image_id"]),
                str(entry["caption"] if "caption" in entry else names[entry["category_id"]]),
            )
            for entry in document["annotations"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected annotations as COCO has them ({error!r})") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, found a damaged file ({error})") from error


def _figures(
    rule: str, measure: Any, names: Sequence[str], counts: list[dict[str, float]], pictures: Sequence[str]
) -> list[PublishedFigure]:
    number = {name: index for index, name in enumerate(dict.fromkeys(pictures))}
    weights_RC = resamples(
        len(number), RESAMPLES, np.random.default_rng(derive_seed(0, "audit", "bootstrap"))
    )
    group = counted_group(
        measure.__name__, rule, measure, counts, [number[name] for name in pictures], weights_RC
    )
    made = []
    for name in names:
        each = interval(measure.FIGURES[name], group.sample, name not in NOT_PERCENT)
        made.append(
            PublishedFigure(
                rule=rule, figure=name, value=each.value, low=each.low, high=each.high, cases=len(counts)
            )
        )
    return made


def _digests(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: sha256(path) for path in paths}
