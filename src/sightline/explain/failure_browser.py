"""The failure browser: answers that are wrong and descriptions that name what is not there, the surest first,
each with its maps.

It reads the answers of the evaluation (metrics/evaluate/predictions-*.jsonl), so the model answers again
only what the page displays.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from sightline.core import progress
from sightline.data.shards import Items
from sightline.explain.explained_items import DISPLAY_SIDE, Item, names
from sightline.explain.heatmap_page import Card, Words
from sightline.explain.target import ExplainedModel, explain

NOTE = Markup("""\
<p>A confident mistake at the right place is a confusion; one at the wrong place is a mix-up of objects; one
that came from nowhere in the picture is a guess.</p>""")


@dataclass(frozen=True)
class Failure:
    """A line of the predictions file, and what is wrong with it in a word."""

    line: dict
    why: str


def read(path: Path, right: Callable[[str, str], bool], absent: Callable[[dict], list[str]]) -> list[Failure]:
    """Every failure of a predictions file, the surest first. `right(truth, answer)` judges short answers,
    `absent(line)` lists what a description names though it is not there. Raises ValueError when the file is
    missing."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run `dvc repro evaluate`, or `dvc checkout` to fetch it")
    failures = []
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["type"] == "describe":
            if invented := absent(line):
                failures.append(Failure(line, f"hallucinated: {', '.join(invented)}"))
        elif not any(right(truth, line["prediction"]) for truth in line.get("answers", [line["answer"]])):
            failures.append(Failure(line, "wrong"))
    return sorted(failures, key=lambda failure: -failure.line["confidence"])


def surest(failures: list[Failure], count: int) -> list[Failure]:
    """`count` of them: of every type of question the surest, then the next ones; in the end the surest first.
    A question that several types ask counts once."""
    distinct = {(f.line["item"], f.line["question"], f.line["prediction"]): f for f in reversed(failures)}
    queues: dict[str, list[Failure]] = {}
    for failure in reversed(distinct.values()):
        queues.setdefault(failure.line["type"], []).append(failure)
    turns = max((len(queue) for queue in queues.values()), default=0)
    in_turn = [queue[turn] for turn in range(turns) for queue in queues.values() if turn < len(queue)]
    return sorted(in_turn[:count], key=lambda failure: -failure.line["confidence"])


def cards(
    model: ExplainedModel, method: str, failures: list[Failure], raw: Path, objects: dict[str, list[str]]
) -> Iterator[Card]:
    """A card for each failure, explained by `method`."""
    items = Items(raw)
    for number, failure in enumerate(progress.track(failures, "explaining failures")):
        line = failure.line
        item = items[line["item"]]
        rgb = items.image(item)
        boxes = [
            (part["kind"], tuple(part["box"]))
            for part in item.get("scene", {}).get("objects", [])
            if line["type"] == "describe" or names(line["question"], part["kind"], objects)
        ]
        kind = f"{line['type']}: {failure.why}"
        displayed = items.displayed(item, DISPLAY_SIDE)
        card_item = Item(
            f"failure{number:03d}", rgb, displayed, kind, line["question"], line["answer"], boxes
        )
        explanation = explain(model, method, rgb, line["question"])
        yield Card(card_item, [explanation], [None if line["type"] == "describe" else False])


def words(failures: list[Failure], displayed: int, answered: int, unit: str) -> Words:
    """The text of the page. `answered`: how many answers were judged."""
    kinds: dict[str, int] = {}
    for failure in failures:
        kinds[failure.line["type"]] = kinds.get(failure.line["type"], 0) + 1
    listed = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    return Words(
        "Where the model fails",
        f"{len(failures)} of {answered} answers of the shipped model are wrong or name what is not there "
        f"({listed}). Shown are {displayed}, the surest of every type, the surest first. Point at a word to "
        "see what it came from; turquoise boxes are where the named objects truly are.",
        [],
        NOTE,
        unit,
    )  # fmt: skip
