"""A sentence for each part of a report. "Better" and "worse" stand only where the 95 % interval of the paired
difference excludes 0; a difference that is not shown is not said to be none.
"""

from collections.abc import Iterator, Mapping, Sequence

from sightline.audit.audit_figures import (
    ALL,
    BLIND_ROW,
    CALIBRATION,
    CONSISTENT,
    DESCRIPTIONS,
    EXISTENCE,
    MAJORITY,
    MODEL,
    PRIOR,
    PROMPT,
    REFUSALS,
    SHORT,
)
from sightline.audit.probes import CONSISTENCY, GREY, PROMPTS
from sightline.evaluate.bootstrap import Sample, difference, interval
from sightline.evaluate.scoring import Group

ROWS = {MAJORITY: "the most frequent answer", BLIND_ROW: "itself without the picture"}
Rows = Mapping[str, Sequence[Group]]


def sentences(by_row: Rows) -> Iterator[tuple[str, str]]:
    """(part, sentence) of every part that was asked; of calibration also where no probability was given."""
    found = {group.family for group in by_row[MODEL]}
    for part, sentence in (
        (EXISTENCE, _existence), (DESCRIPTIONS, _descriptions), (SHORT, _short), (CONSISTENT, _consistency),
        (PRIOR, _prior), (PROMPT, _prompts), (CALIBRATION, _calibration), (REFUSALS, _refusals),
    ):  # fmt: skip
        if part in found or part == CALIBRATION:
            yield part, sentence(by_row)


def _existence(by_row: Rows) -> str:
    group = _group(by_row, MODEL, EXISTENCE, "adversarial") or _group(by_row, MODEL, EXISTENCE, ALL)
    assert group is not None  # the part was asked
    poll = f"POPE {group.kind}" if group.kind != ALL else "POPE"
    rows = [name for name in ROWS if _group(by_row, name, EXISTENCE, group.kind)]
    others = [
        f"{ROWS[name]} {_value(_group(by_row, name, EXISTENCE, group.kind), 'accuracy')}" for name in rows
    ]
    compared = [f"{_compared(by_row, name, EXISTENCE, group.kind)} {ROWS[name]}" for name in rows]
    return (
        f"{poll}: right in {_figure(group, 'accuracy')} of {_size(group)} questions ({', '.join(others)}): "
        f"{', '.join(compared)}. It says yes to {_figure(group, 'yes_rate')}, and to "
        f"{_figure(group, 'false_positive_rate')} of what is not there; {_value(group, 'invalid')} are "
        "neither."
    )


def _descriptions(by_row: Rows) -> str:
    group = _group(by_row, MODEL, DESCRIPTIONS)
    blind = _group(by_row, BLIND_ROW, DESCRIPTIONS)
    assert group is not None and blind is not None
    return (
        f"Of the objects that its descriptions name, {_figure(group, 'chair_i')} are not in the picture; "
        f"they name {_figure(group, 'recall')} of those that are. Its description of an empty picture, taken "
        f"for all: {_value(blind, 'chair_i')} and {_value(blind, 'recall')}."
    )


def _short(by_row: Rows) -> str:
    groups = [group for group in by_row[MODEL] if group.family == SHORT]
    values = [f"{group.kind} {_figure(group, 'accuracy')}" for group in groups]
    parts = [f"Right answers: {', '.join(values)}."]
    for row, words in ROWS.items():
        doubted = [
            group.kind for group in groups if _compared(by_row, row, SHORT, group.kind) != "better than"
        ]
        parts.append(
            f"Not shown to be better than {words}: {', '.join(doubted)}."
            if doubted
            else f"All are better than {words}."
        )
    return " ".join(parts)


def _consistency(by_row: Rows) -> str:
    said = {
        "reworded": "keeps its answer in other words in {}",
        "negated": "turns it round under a negation in {}",
        "reordered": "keeps it with the choices in another order in {}",
    }
    groups = [_group(by_row, MODEL, CONSISTENT, wording.probe) for wording in CONSISTENCY]
    parts = [said[one.kind].format(_figure(one, "agreement")) for one in groups if one]
    return f"It {', '.join(parts)} of the cases."


def _prior(by_row: Rows) -> str:
    grey = _group(by_row, MODEL, PRIOR, f"{GREY} picture")
    wordings = _group(by_row, MODEL, PRIOR, f"{GREY} picture, wordings")
    another = _group(by_row, MODEL, PRIOR, "another picture")
    parts = []
    if wordings:
        parts.append(
            f"It says that a thing is in an empty picture for {_figure(wordings, 'yes')} of "
            f"{_size(wordings)} wordings."
        )
    if grey:
        parts.append(f"Of its yes to real pictures, {_figure(grey, 'still_yes')} are yes without them, too.")
    if another:
        parts.append(
            "Shown another picture for which the other answer is right, it is right about both in "
            f"{_figure(another, 'followed')} and gives one answer to both in "
            f"{_figure(another, 'same_answer')}."
        )
    return " ".join(parts)


def _prompts(by_row: Rows) -> str:
    groups = [
        group for group in by_row[MODEL] if group.family == PROMPT and "accuracy" in group.measure.FIGURES
    ]
    values = [
        (interval(group.measure.FIGURES["accuracy"], group.sample).value, group.kind) for group in groups
    ]
    (low, worst), (high, best) = min(values), max(values)
    steady = _group(by_row, MODEL, PROMPT, "all prompts")
    assert steady is not None  # it comes with the others
    return (
        f"The same questions under {1 + len(PROMPTS)} prompts: right in {low:.1f} % ({worst}) to "
        f"{high:.1f} % ({best}); all give one answer in {_figure(steady, 'agreement')}."
    )


def _calibration(by_row: Rows) -> str:
    groups = [group for group in by_row[MODEL] if group.family == CALIBRATION]
    if not groups:
        return "The model gives no probabilities, so nothing is known of what its confidence is worth."
    parts = [
        f"{group.kind}: {_value(group, 'confidence')} sure on the average and right in "
        f"{_value(group, 'accuracy')}, expected calibration error {_figure(group, 'ece')}"
        for group in groups
    ]
    return f"{'; '.join(parts)}."


def _refusals(by_row: Rows) -> str:
    group = _group(by_row, MODEL, REFUSALS)
    assert group is not None
    return (
        f"It declines {_figure(group, 'refused')} of {_size(group)} questions; {_figure(group, 'cut')} of "
        "the answers were cut at the longest that is read."
    )


def _group(by_row: Rows, row: str, part: str, kind: str | None = None) -> Group | None:
    groups = (group for group in by_row.get(row, ()) if group.family == part)
    return next((group for group in groups if kind in (None, group.kind)), None)


def _figure(group: Group, metric: str) -> str:
    found = interval(group.measure.FIGURES[metric], group.sample)
    return f"{found.value:.1f} % [{found.low:.1f}, {found.high:.1f}]"


def _value(group: Group | None, metric: str) -> str:
    assert group is not None
    return f"{interval(group.measure.FIGURES[metric], group.sample).value:.1f} %"


def _size(group: Group) -> str:
    return f"{int(group.measure.sample_size(group.sample.total)):,}"


def _compared(by_row: Rows, row: str, part: str, kind: str) -> str:
    """Whether the model is better than a row in accuracy, on the same questions."""
    model, other = _group(by_row, MODEL, part, kind), _group(by_row, row, part, kind)
    assert model is not None and other is not None
    return relation("accuracy", model, other.sample)


def relation(metric: str, model: Group, other: Sample) -> str:
    gap = difference(model.measure.FIGURES[metric], model.sample, other)
    return "better than" if gap.low > 0 else "worse than" if gap.high < 0 else "not shown to differ from"
