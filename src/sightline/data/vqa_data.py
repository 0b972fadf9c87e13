"""The data of a training on pictures, captions and questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline.core import artifacts
from sightline.data import tokenizer_files
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.data.tokenizer import Tokenizer

TRAINED_ON = ("train", "val")


@dataclass(frozen=True)
class VqaData:
    """Pictures with their captions, the questions about them by split, and the tokenizer that reads both.
    digests: of their files, by which a run decides whether it may resume another."""

    tokenizer: Tokenizer
    items: Items
    triples: dict[str, Triples]
    digests: tuple[str, ...] = ()

    @property
    def raw_digest(self) -> str:
        """That of the pictures; empty for data that were not read from artifacts."""
        return self.digests[0] if self.digests else ""

    @classmethod
    def read(cls, raw: artifacts.Artifact, vqa: artifacts.Artifact, tokenizer_file: Path) -> VqaData:
        triples = {split: Triples(vqa.path, split) for split in TRAINED_ON}
        digests = raw.digest(), vqa.digest(), tokenizer_files.digest(tokenizer_file)
        return cls(Tokenizer.load(tokenizer_file), Items(raw.path), triples, digests)
