"""audit.json: the schema, versioned, and the report of an audit's answers. Equal answers give equal bytes:
times and costs stand in cost.json.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sightline.audit import audit_figures, audit_verdicts
from sightline.audit.answer_reading import RULE
from sightline.audit.answerer import Identity, Reply
from sightline.audit.audit_figures import DESCRIPTIONS, MODEL, Answers
from sightline.audit.audit_items import PLAIN, Asked
from sightline.core.runtime import derive_seed
from sightline.evaluate import scoring
from sightline.evaluate.bootstrap import interval, resamples, sample
from sightline.evaluate.metrics import calibration
from sightline.evaluate.metrics.ratios import share
from sightline.evaluate.scoring import Group

SCHEMA = "docs/reference/audit.schema.json"
CHAIR_RULE = (
    "An object is named by any of its names, singular or plural, the longest first (CHAIR, arXiv 1809.02156)."
)
INTERVAL_RULE = (
    "Intervals: 95 %, bootstrap of 1,000 resamples in which all answers on one picture are drawn together."
)


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Figure(Record):
    """One figure of one row; percent, but `words` (a number) and `mcc` (100 times the coefficient)."""

    part: str
    kind: str
    row: Literal["model", "majority", "blind"]
    metric: str
    value: float
    low: float
    high: float
    n: int
    pictures: int


class Verdict(Record):
    """What a part of the report says, in a sentence."""

    part: str
    sentence: str


class Bin(Record):
    """Answers of about one confidence, percent."""

    confidence: float
    accuracy: float
    n: int


class Data(Record):
    """What was asked. `asked`: sha256 of all questions with their truth."""

    source: str
    truth: str
    pictures: int
    questions: int
    requests: int
    asked: str


class AuditReport(Record):
    """audit.json."""

    version: Literal[1] = Field(description="of this schema")
    model: Identity
    data: Data
    rules: list[str]
    verdicts: list[Verdict]
    figures: list[Figure]
    reliability: list[Bin] = Field(description="yes/no answers by confidence; empty without probabilities")


class Latency(Record):
    """Seconds of a request as the audit saw them, its retries included."""

    mean: float
    low: float
    high: float
    median: float
    p95: float


class Cost(Record):
    """cost.json. Tokens are None where they are not counted; `cost` is in the currency of the prices."""

    requests: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    seconds: Latency


def report(asked: Asked, replies: Mapping[str, Reply], model: Identity) -> AuditReport:
    """The report of answered questions. Raises ValueError where answers are missing."""
    answers = Answers(asked, replies)
    weights_RC = audit_figures.weights(asked)
    by_row = {MODEL: audit_figures.groups(answers, weights_RC)}
    by_row |= audit_figures.baseline_groups(answers, weights_RC)
    figures = [
        Figure(**row)
        for name, groups in by_row.items()
        for group in groups
        for row in figure_rows(name, group)
    ]
    requests = {question.key for question in asked.questions}
    data = Data(
        source=asked.source, truth=asked.truth, pictures=len(asked.pictures),
        questions=len(asked.questions), requests=len(requests), asked=asked.digest,
    )  # fmt: skip
    verdicts = [Verdict(part=part, sentence=said) for part, said in audit_verdicts.sentences(by_row)]
    rules = [RULE, INTERVAL_RULE]
    if any(group.family == DESCRIPTIONS for group in by_row[MODEL]):
        rules.insert(1, CHAIR_RULE)
    return AuditReport(
        version=1, model=model, data=data, rules=rules, verdicts=verdicts, figures=figures,
        reliability=_reliability(answers),
    )  # fmt: skip


def figure_rows(name: str, group: Group) -> list[dict[str, Any]]:
    """The fields of a Figure for each figure of a group, in the row `name`."""
    rows = scoring.figure_rows(group, {"part": group.family, "row": name})
    return [{("kind" if key == "type" else key): value for key, value in row.items()} for row in rows]


def _reliability(answers: Answers) -> list[Bin]:
    given = [
        index for index in answers.once(answers.of(PLAIN))
        if answers.replies[index].probability is not None and audit_figures.is_poll(answers.questions[index])
    ]  # fmt: skip
    if not given:
        return []
    confidence_N, right_N = np.array([audit_figures.confidence(answers, index) for index in given]).T
    return [Bin(**row) for row in calibration.reliability(confidence_N, right_N)]


def cost(asked: Asked, replies: Mapping[str, Reply], price: float | None) -> Cost:
    """What the answers took; `price` is what all of them cost, None without prices."""
    shown = {question.key: question.shown for question in asked.questions}
    used = [replies[key] for key in shown]
    seconds_N = np.array([reply.seconds for reply in used])
    number = {digest: place for place, digest in enumerate(dict.fromkeys(shown.values()))}
    cluster_N = np.array([number[digest] for digest in shown.values()])
    rng = np.random.default_rng(derive_seed(0, "audit", "latency"))
    counts_C = {
        "seconds": np.bincount(cluster_N, weights=seconds_N), "requests": np.bincount(cluster_N).astype(float)
    }  # fmt: skip
    drawn = sample(counts_C, resamples(len(number), audit_figures.RESAMPLES, rng))
    mean = interval(lambda c: share(c["seconds"], c["requests"], 1.0), drawn, percent=False)
    return Cost(
        requests=len(used), prompt_tokens=_total([reply.prompt_tokens for reply in used]),
        completion_tokens=_total([reply.completion_tokens for reply in used]),
        cost=None if price is None else round(price, 6),
        seconds=Latency(
            mean=round(mean.value, 4), low=round(mean.low, 4), high=round(mean.high, 4),
            median=round(float(np.median(seconds_N)), 4), p95=round(float(np.percentile(seconds_N, 95)), 4),
        ),
    )  # fmt: skip


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def write_schema(root: Path) -> list[Path]:
    """Write the JSON schema of audit.json below the checkout `root`; returns what was written."""
    path = root / SCHEMA
    path.write_text(json_schema(), encoding="utf-8", newline="\n")
    return [path]


def json_schema() -> str:
    return json.dumps(AuditReport.model_json_schema(), indent=1, sort_keys=True) + "\n"
