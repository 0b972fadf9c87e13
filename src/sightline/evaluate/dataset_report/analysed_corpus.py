"""What is analysed: the built data of a checkout, or a user's own table put through the same two stages."""

import json
from dataclasses import dataclass
from pathlib import Path

from sightline.core import artifacts
from sightline.core.params.data_params import ConvertParams
from sightline.core.params.loader import Params
from sightline.data.questions.convert_captions import convert
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.data.sources import table as table_source
from sightline.data.tokenizer import Tokenizer

FIRST = ("train", "val", "test")  # the order in which splits are listed; others follow by name


@dataclass(frozen=True)
class Corpus:
    """Items with their questions. `vqa` is None where no question could be made of them.

    `table` is the file name of a user's table (else empty), `left_out` counts what the convert stage leaves
    out by reason, `cannot_teach` are its sentences about what the data cannot teach, `max_tokens` is the
    longest text that the text tower reads.
    """

    name: str
    table: str
    raw: artifacts.Artifact
    items: Items
    vqa: Path | None
    left_out: dict[str, int]
    cannot_teach: list[str]
    convert: ConvertParams
    max_tokens: int
    seed: int

    @property
    def splits(self) -> list[str]:
        """Names of the splits, train first."""
        order = {name: index for index, name in enumerate(FIRST)}
        return sorted(self.items.splits, key=lambda name: (order.get(name, len(FIRST)), name))

    def triples(self, split: str) -> Triples | None:
        """The questions of a split, if it has any."""
        if self.vqa is None or not (self.vqa / f"{split}.jsonl").is_file():
            return None
        return Triples(self.vqa, split)

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer trained on this data; None if the text tower brings its own."""
        path = self.vqa / "tokenizer.json" if self.vqa else None
        return Tokenizer.load(path) if path and path.is_file() else None


def built(data: Path, params: Params) -> Corpus:
    """What the stages download and convert wrote into `data`. ArtifactError if it is missing or damaged."""
    for name in ("raw", "vqa"):
        if not (data / name).is_dir():
            raise artifacts.ArtifactError(
                f"{data / name}: expected the built data, found nothing; run `dvc repro convert`, or name "
                "your own table: `sightline dataset-report items.csv`"
            )
    raw, vqa = artifacts.load(data / "raw", "raw"), artifacts.load(data / "vqa", "vqa")
    if vqa.config["raw"] != raw.digest():
        raise artifacts.ArtifactError(
            f"{data / 'vqa'}: made from another {data / 'raw'} than the present one; run `dvc repro convert`"
        )
    return Corpus(
        raw.config["source"],
        "",
        raw,
        Items(raw.path),
        vqa.path,
        vqa.config["rejected"],
        vqa.config["left_out"],
        params.convert,
        params.text.max_tokens,
        params.seed,
    )


def table(path: Path, params: Params, scratch: Path) -> Corpus:
    """A user's table, read and converted below `scratch` as the pipeline would, but without fetching.

    `params` are those of the profile own over this table. Raises ValueError for a table of which no row can
    be used.
    """
    data = params.data
    config: dict = {"source": "table", "image_side": data.image_side}
    with artifacts.create(scratch / "raw", "raw", config) as folder:
        config.update(table_source.build(data, params.seed, folder, online=False))
    raw = artifacts.load(scratch / "raw", "raw")
    items = Items(raw.path)
    if not len(items):
        faults = rejected(raw.path)
        first = f"; the first: {faults[0]['detail']}" if faults else ""
        raise ValueError(f"{path}: expected rows with text, found none among {config['rows']['in']}{first}")
    vqa: Path | None = scratch / "vqa"
    left_out: dict[str, int] = {}
    cannot_teach: list[str] = []
    config = {}
    try:
        with artifacts.create(scratch / "vqa", "vqa", config) as folder:
            config.update(
                convert(raw, folder, params.convert, params.seed, data.max_pixels, params.trains_tokenizer)
            )
            left_out, cannot_teach = config["rejected"], config["left_out"]
    except ValueError:  # no item to train on, as of a table whose pictures are all remote: the words remain
        vqa = None
    return Corpus(
        "table",
        path.name,
        raw,
        items,
        vqa,
        left_out,
        cannot_teach,
        params.convert,
        params.text.max_tokens,
        params.seed,
    )


def rejected(raw: Path) -> list[dict]:
    """Rows and pictures that the download stage refused: id, reason, detail."""
    with open(raw / "rejected.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
