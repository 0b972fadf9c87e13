"""`sightline lab audit`: a sample of the questions on a sheet, for a reader who judges them."""

import csv
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline_lab.cli.app import app

COLUMNS = ("item", "split", "type", "rule", "question", "answer", "captions", "verdict", "note")
VERDICTS = ("right", "wrong", "doubtful")


@app.command()
def audit(
    sheet: Annotated[
        Path, typer.Argument(help="A CSV file: a new one, or one whose verdicts are filled in.")
    ],
    items: Annotated[int, typer.Option(min=1, help="Items that are drawn, a question of each.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 7,
) -> None:
    """Write a sheet with a question of each of some items of data/vqa; or count the verdicts of a sheet.

    The column `verdict` takes right, wrong or doubtful. Doubtful counts as wrong. The sheet holds captions:
    keep it out of the repository where the data may not be copied.
    """
    if sheet.exists():
        _count(sheet)
        return
    from sightline.data.shards import Items

    here = checkout_files.root()
    drawn = _draw(here / "data" / "vqa", items, seed)
    source = Items(here / "data" / "raw")
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for split, triple in drawn:
            captions = " / ".join(source[triple["item"]]["captions"])
            writer.writerow(triple | {"item": triple["image"], "split": split, "captions": captions})
    typer.echo(f"audit: {len(drawn)} questions in {sheet}; fill in the column verdict, then run this again")


def _draw(vqa: Path, items: int, seed: int) -> list[tuple[str, dict]]:
    """One short or POPE question of each of `items` items of all splits, with its split."""
    import random

    from sightline.data.questions.triples import Triples

    generator = random.Random(seed)
    files = {
        path.stem: Triples(vqa, path.stem) for path in sorted(vqa.glob("*.jsonl")) if path.stem != "rejected"
    }
    groups = [(split, lines) for split, triples in files.items() for lines in triples.by_item().values()]
    generator.shuffle(groups)
    drawn: list[tuple[str, dict]] = []
    for split, lines in groups:
        asked = [triple for triple in (files[split][line] for line in lines) if triple["type"] != "describe"]
        if asked:
            drawn.append((split, generator.choice(asked)))
        if len(drawn) == items:
            break
    return drawn


def _count(sheet: Path) -> None:
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, 2):
        if row.get("verdict") not in VERDICTS:
            raise typer.BadParameter(
                f"{sheet}, line {number}: the verdict is {row.get('verdict')!r}, expected one of "
                f"{', '.join(VERDICTS)}"
            )
    read: Counter[str] = Counter(row["type"] for row in rows)
    right: Counter[str] = Counter(row["type"] for row in rows if row["verdict"] == "right")
    for kind in sorted(read):
        typer.echo(f"{kind}: {right[kind]} of {read[kind]} right")
    typer.echo(f"audit: {right.total()} of {read.total()} right ({100 * right.total() / read.total():.1f} %)")
