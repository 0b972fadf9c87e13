"""Schemas of the sections `data` (which pictures and captions, how they are stored) and `convert` (captions
and scenes to questions and answers)."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sightline.core.params.checks import (
    NO_INPUT,
    Count,
    CountOrNone,
    Matches,
    Name,
    PlugIn,
    Positive,
    Settings,
    require,
)

NEEDS = {"scenes": "sizes"} | dict.fromkeys(("table", "folder", "webdataset", "flickr30k", "vqa"), "path")
FETCHED = ("flickr8k", "coco", "hf")  # data.path, or data.base_url
Source = Annotated[str, AfterValidator(PlugIn("data/sources"))]
Address = Annotated[
    str,
    AfterValidator(
        Matches(r"((https?|file|hf)://.*)?", "an address that starts with https://, file:// or hf://")
    ),
]
Checksum = Annotated[
    str,
    AfterValidator(Matches(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", "md5:<32 hex> or sha256:<64 hex>")),
]


class ColumnParams(Settings):
    """Which column of a table holds what. An empty one is told from its usual names, which the log shows."""

    id: str = Field(description="names the item; without one, ids are made from what the rows hold")
    image: str = Field(description="path or address of the picture")
    captions: tuple[str, ...] = Field(strict=False, description="texts of the picture, best first")
    split: str = Field(description="train, val or test")
    question: str = Field(description="a question about the picture")
    answer: str = Field(description="the answer to it")


class DataParams(Settings):
    """Parameters of the download stage."""

    source: Source = Field(description="where pictures and captions come from")
    path: Name = Field(
        description="your table, folder, shards or dataset, by data.source; never in a profile"
    )
    pictures: Name = Field(
        description="table, hf, vqa: folder of the pictures that are named by a path; never in a profile"
    )
    columns: ColumnParams
    base_url: Address = Field(
        description="flickr8k, coco: where the archives are (https:// or file://); hf: hf://datasets/<owner>/<name>@<commit>"
    )
    checksums: dict[str, Checksum] = Field(description="archive name -> md5:<hex> or sha256:<hex>")
    max_items: CountOrNone = Field(description="per split; 0 takes all")
    sizes: dict[str, Count] = Field(description="scenes: images per split")
    image_side: int = Field(ge=16, le=4096, description="longest side kept in the shards, pixels")
    shard_mb: Count = Field(description="size of a shard, MiB")
    max_pixels: Count = Field(description="a larger picture is rejected before it is decoded")
    timeout_s: Positive = Field(description="of a request, seconds")
    val_share: float = Field(
        ge=0.001, le=0.4, description="where the data has no splits: items that become val and test"
    )

    @property
    def has_path(self) -> bool:
        """Return whether a local input was given."""
        return self.path != NO_INPUT

    @property
    def has_pictures(self) -> bool:
        """Return whether a folder of pictures was given."""
        return self.pictures != NO_INPUT

    @model_validator(mode="after")
    def source_has_its_input(self) -> "DataParams":
        need = NEEDS.get(self.source)
        value = getattr(self, need or "source")
        words = f"a value: the source {self.source} needs it"
        require(bool(value) and value != NO_INPUT, need or "source", value, words)
        found = self.source not in FETCHED or self.has_path or bool(self.base_url)
        require(
            found, "path", self.path, f"a value, or one of data.base_url: {self.source} needs one of them"
        )
        for name in self.sizes:
            lower = bool(re.fullmatch(r"[a-z][a-z0-9_]*", name))
            require(lower, "sizes", name, "split names in lower case")
        return self


class ConvertParams(Settings):
    """Parameters of the convert stage."""

    lexicon: Annotated[str, AfterValidator(PlugIn("data/questions/lexicons"))] = Field(
        description="how things are found in captions: by a list of what photos show, or from the captions"
    )
    language: Annotated[str, AfterValidator(Matches(r"[a-z]{2,3}", "a code of two or three letters"))] = (
        Field(
            description="of the captions, as ISO 639 has it; questions are made in the languages of "
            "src/sightline/data/questions/languages"
        )
    )
    vocab_size: int = Field(ge=100, description="entries of the tokenizer at most")
    min_frequency: Count = Field(description="a rarer word has no entry of its own")
    relation_margin: CountOrNone = Field(
        description="pixels between the larger and the smaller offset of two things"
    )
    pope_per_image: CountOrNone = Field(
        description="POPE questions of each kind per evaluated image, half of them yes"
    )
    near_duplicates: Literal["drop", "keep"] = Field(
        description="training items whose photo is in val or test too, encoded, scaled or cropped anew"
    )

    @model_validator(mode="after")
    def lexicon_knows_the_language(self) -> "ConvertParams":
        known = self.lexicon != "photos" or self.language == "en"
        require(known, "language", self.language, "en with convert.lexicon=photos; or convert.lexicon=corpus")
        return self

    @model_validator(mode="after")
    def as_many_yes_as_no(self) -> "ConvertParams":
        even = self.pope_per_image % 2 == 0
        require(even, "pope_per_image", self.pope_per_image, "an even number: half of them are yes")
        return self
