"""metrics/retrieval_augmented.json as docs/reports/retrieval.md."""

from pathlib import Path
from typing import Any

from sightline.cli.readme_tables import row
from sightline.core.artifacts import read_json
from sightline.core.atomic_io import write_bytes
from sightline_lab.retrieval.retrieval_augmentation import CHOOSE, REPORT

RESULT, PAGE = Path("metrics/retrieval_augmented.json"), Path("docs/reports/retrieval.md")
NAMES = {
    "all": "short answers", "adversarial": "POPE-adversarial", "chair_i": "CHAIR_i (lower is better)",
    "recall": "objects named",
}  # fmt: skip
WAYS = {
    "nearest in the index": "captions of the most similar other pictures of the index, as `--retrieve` does",
    "nearest in train": "the same from the pictures of `train`",
    "drawn from the index": "captions of other pictures, drawn at random",
    "the picture's own": "its own caption, which no user has: what the best caption would be worth",
    "nearest in the index, as memory": "those of the first, as tokens of their own in the decoder's memory",
}  # fmt: skip
UNREAD = "trained without captions beside its questions, the model does not read them as evidence."


def write(checkout: Path) -> None:
    """The page, from the JSON alone."""
    write_bytes(checkout / PAGE, page(read_json(checkout / RESULT)).encode())


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    chosen, found = result[CHOOSE], result[REPORT]
    k = result["chosen"]
    captions = "caption" if k == 1 else "captions"
    return f"""# Answers beside the captions of similar pictures

`sightline lab retrieval` wrote this page from `metrics/retrieval_augmented.json`: profile
{result["profile"]}, shipped variant ({result["variant"]}), SPIN off; 95 % intervals from
{result["resamples"]:,} resamples of pictures; one seed.

{_verdict(result)}

`sightline ask picture.png "..." --retrieve {k}` looks up the pictures of the index that are most like this
one, itself left out, and reads the question once bare and once beside each of their captions; the decoder's
memory holds the mean of the readings. `--index` names an index of your own items; the API's field is
`{{"sightline": {{"retrieval": {k}}}}}`. The captions that were read come with the answer. Without the option
nothing changes, to the bit. The same picture is one whose embedding has a cosine above 0.9999: a copy that
was scaled or saved as JPEG is another picture to it, so its caption may be read.

## How many captions: chosen on `{CHOOSE}`

{chosen["pictures"]:,} pictures, {chosen["questions"]:,} short questions; gallery: the shipped index.

{_tried(chosen)}
## With and without, on `{REPORT}`

{found["pictures"]:,} pictures, {found["questions"]:,} questions; {k} {captions}. Percent
without, then what captions change, in points, on the same questions.

{_gaps(found)}
{_legend(found)}"""


def _verdict(result: dict[str, Any]) -> str:
    shown, own = (
        _find(way["minus_off"], "vqa", "all", "accuracy")
        for name in ("nearest in the index", "the picture's own")
        for way in result[REPORT]["ways"]
        if way["way"] == name
    )
    said = {
        -1: "**It makes answers worse**", 0: "**It changes the answers by less than the noise**",
        1: "**It makes answers better**",
    }[_sign(shown)]  # fmt: skip
    able = {
        -1: f"Even the picture's own caption makes them worse: {UNREAD}",
        0: f"The picture's own caption does not help either: {UNREAD}",
        1: "The picture's own caption helps, so the model does read captions.",
    }[_sign(own)]
    return f"{said}: {_cell(shown)} points of short answers. {able}"


def _sign(gap: dict[str, float]) -> int:
    return 1 if gap["low"] > 0 else -1 if gap["high"] < 0 else 0


def _tried(found: dict[str, Any]) -> str:
    types = [one["type"] for one in found["off"] if one["family"] == "vqa"]
    table = row("captions", *(NAMES.get(kind, kind) for kind in types)) + row("---", *["---:"] * len(types))
    off = {one["type"]: one for one in found["off"]}
    table += row("none, %", *(f"{off[kind]['value']:.1f}" for kind in types))
    for one in found["tried"]:
        gaps = [_find(one["minus_off"], "vqa", kind, "accuracy") for kind in types]
        table += row(f"{one['k']}, points", *map(_cell, gaps))
    return table


def _gaps(found: dict[str, Any]) -> str:
    ways = found["ways"]
    table = row("figure", "n", "without", *(way["way"] for way in ways))
    table += row("---", *["---:"] * (2 + len(ways)))
    for one in sorted(found["off"], key=_order):
        key = one["family"], one["type"], one["metric"]
        gaps = [_cell(_find(way["minus_off"], *key)) for way in ways]
        name = NAMES.get(one["metric"]) or NAMES.get(one["type"], one["type"])
        table += row(name, f"{one['n']:,}", f"{one['value']:.1f}", *gaps)
    return table


def _legend(found: dict[str, Any]) -> str:
    lines = [f"- {name}: {WAYS[name]}" for name in (way["way"] for way in found["ways"])]
    galleries = f"The index holds {found['index']:,} items, train {found['train']:,} pictures.\n"
    return "\n".join(lines) + "\n\n" + galleries


def _order(one: dict[str, Any]) -> tuple[int, str]:
    """Short answers first, all of them before their types; then POPE, then descriptions."""
    place = {"vqa": 1, "pope": 2, "chair": 3}[one["family"]]
    return (0, "") if one["type"] == "all" else (place, one["type"])


def _find(rows: list[dict[str, Any]], family: str, kind: str, metric: str) -> dict[str, Any]:
    wanted = (family, kind, metric)
    return next(one for one in rows if (one["family"], one["type"], one["metric"]) == wanted)


def _cell(gap: dict[str, float]) -> str:
    return f"{gap['value']:+.1f} [{gap['low']:.1f}, {gap['high']:.1f}]"
