"""The page of an audit, the page of a comparison, and their sections for a model card. A page is one offline
HTML file: nothing is loaded, every text is escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.audit import audit_figures
from sightline.audit.answer_reading import INVALID
from sightline.audit.answerer import Reply
from sightline.audit.audit_difference import AuditDifference
from sightline.audit.audit_figures import (
    CALIBRATION,
    CONSISTENT,
    DESCRIPTIONS,
    EXISTENCE,
    MODEL,
    PARTS,
    PRIOR,
    PROMPT,
    REFUSALS,
    SHORT,
    Answers,
)
from sightline.audit.audit_items import PLAIN, Audit
from sightline.audit.audit_report import AuditReport, Cost, Figure
from sightline.core import templates
from sightline.core.atomic_io import write_bytes
from sightline.core.plain_text import plain
from sightline.data import images

ROOM = "sightline.audit"
EXAMPLES = 6
SIDE = 256  # pixels of an example on the page
MAX_PIXELS = 2**25
# What the bars show of each part; a metric stands in the tables whether it is here or not.
SHOWN = {
    EXISTENCE: ("accuracy",), DESCRIPTIONS: ("chair_i", "recall"), SHORT: ("accuracy",),
    CONSISTENT: ("agreement",), PRIOR: ("still_yes", "yes", "followed", "same_answer"),
    PROMPT: ("accuracy", "agreement"), CALIBRATION: ("confidence", "accuracy", "ece"),
    REFUSALS: ("refused", "cut"),
}  # fmt: skip
TITLES = {
    EXISTENCE: ("Does it see what is there?", "Yes/no questions about things, half of them there (POPE)."),
    DESCRIPTIONS: ("What does it invent?", "Things that its descriptions name (CHAIR)."),
    SHORT: ("Attributes, numbers, relations", "Questions with short answers."),
    CONSISTENT: ("Does it stay with its answer?", "The same question put otherwise."),
    PRIOR: ("Does it look?", "The same questions about an empty picture, noise, and another picture."),
    PROMPT: ("Does the prompt matter?", "The same yes/no questions under several prompts."),
    CALIBRATION: ("What is its confidence worth?", "Probabilities of answers, and how often they are right."),
    REFUSALS: ("Does it decline?", "Refusals, by how they begin, and answers that were cut."),
}  # fmt: skip
NAMES = {
    "chair_i": "invented, of named (CHAIR_i)", "chair_s": "descriptions with an invention (CHAIR_s)",
    "recall": "recall", "f1": "F1", "mcc": "MCC x 100", "yes_rate": "says yes", "ece": "calibration error",
    "false_positive_rate": "false alarms", "invalid": "neither or several", "same_answer": "same answer",
    "followed": "right about both", "yes": "says yes", "still_yes": "of its yes, still yes",
    "refused": "declined", "words": "words", "brier": "Brier score",
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A wrong answer with its picture, as a data URL."""

    picture: str
    question: str
    truth: str
    answer: str
    confidence: float | None


@dataclass(frozen=True)
class Part:
    """One part of the page: its bars (a figure of the model, with those of the other rows), and the
    table of all its figures: head and rows."""

    name: str
    title: str
    about: str
    verdict: str
    bars: list[tuple[str, list[Figure]]]
    head: list[str]
    rows: list[list[str]]


def examples(audit: Audit, replies: Mapping[str, Reply]) -> list[Example]:
    """Wrong answers about things, the surest first, each of another picture."""
    answers = Answers(audit.asked, replies)
    wrong = [
        index for index in answers.once(answers.of(PLAIN))
        if audit_figures.is_poll(answers.questions[index]) and not answers.right(index)
    ]  # fmt: skip
    wrong.sort(key=lambda index: -(answers.replies[index].probability or 0.0))
    first = {answers.questions[index].about: index for index in reversed(wrong)}
    chosen = [index for index in wrong if first[answers.questions[index].about] == index][:EXAMPLES]
    by_digest = {picture.digest: picture for picture in audit.pictures}
    made = []
    for index in chosen:
        question, reply = answers.questions[index], answers.replies[index]
        picture = by_digest[question.shown]
        rgb = images.shrink(images.decode(picture.data, MAX_PIXELS, picture.id), SIDE)
        made.append(
            Example(
                images.picture_url(rgb), question.text, question.truths[0],
                "no answer that can be read" if answers.read[index] == INVALID else reply.text,
                reply.probability,
            )
        )  # fmt: skip
    return made


def write(path: Path, report: AuditReport, cost: Cost, wrong: Sequence[Example]) -> None:
    """Write the page of an audit."""
    text = templates.render(
        ROOM, "audit.html", report=report, cost=cost, examples=wrong, parts=parts(report), plain=plain,
        time=time, title=title(report),
    )  # fmt: skip
    write_bytes(path, text.encode())


def write_card(path: Path, report: AuditReport) -> None:
    """Write the section of a model card, in Markdown."""
    rows = [
        [figure.part, figure.kind, name(figure.metric), written(figure), str(figure.n)]
        for figure in report.figures
        if figure.row == MODEL and figure.metric in SHOWN[figure.part]
    ]
    text = templates.render(ROOM, "audit.md", report=report, rows=rows, title=title(report))
    write_bytes(path, text.encode())


def write_difference(folder: Path, made: AuditDifference) -> None:
    """Write the page and the section of a comparison."""
    for file in ("difference.html", "difference.md"):
        text = templates.render(ROOM, file, made=made, metric_name=name, plain=plain)
        write_bytes(folder / file, text.encode())


def title(report: AuditReport) -> str:
    return plain(report.model.name)


def parts(report: AuditReport) -> list[Part]:
    said = {verdict.part: verdict.sentence for verdict in report.verdicts}
    return [_part(report, part, said[part]) for part in PARTS if part in said]


def _part(report: AuditReport, part: str, verdict: str) -> Part:
    figures = [figure for figure in report.figures if figure.part == part]
    by_key: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        by_key.setdefault((figure.kind, figure.metric), []).append(figure)
    bars = [
        (f"{kind}: {name(metric)}", found)
        for (kind, metric), found in by_key.items()
        if metric in SHOWN[part]
    ]
    metrics = list(dict.fromkeys(figure.metric for figure in figures))
    cells: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in figures:
        cells.setdefault((figure.kind, figure.row), {})[figure.metric] = figure
    rows = [
        [
            kind, row, *(written(found[metric]) if metric in found else "-" for metric in metrics),
            f"{next(iter(found.values())).n:,}", f"{next(iter(found.values())).pictures:,}",
        ]
        for (kind, row), found in cells.items()
    ]  # fmt: skip
    head = ["kind", "row", *map(name, metrics), "n", "pictures"]
    return Part(part, *TITLES[part], verdict, bars, head, rows)


def time(seconds: float) -> str:
    """Seconds, as milliseconds where they are few."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def name(metric: str) -> str:
    """A metric as people read it."""
    return NAMES.get(metric, metric)


def written(figure: Figure) -> str:
    """Value and interval."""
    return f"{figure.value:.1f} [{figure.low:.1f}, {figure.high:.1f}]"
