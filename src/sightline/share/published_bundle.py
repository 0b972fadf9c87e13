"""The folder that is uploaded: a bundle with its whole card. It is checked as those who fetch it will use it,
and for what nobody wants to publish."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer as PlainTokenizer

from sightline.core import artifacts
from sightline.core.artifacts import MANIFEST
from sightline.inference import bundle_settings
from sightline.inference.bundle_settings import GENERATION
from sightline.inference.session import TOKENIZER, Session
from sightline.search import bundle, bundle_card
from sightline.search.bundle_card import Published

CARD = "README.md"
TEXTS = (".json", ".jsonl", ".md")
SECRETS = {
    "a token of the Hub": r"\bhf_[A-Za-z0-9]{20,}",
    "a token of GitHub": r"\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{20,}",
    "an access key of AWS": r"\bAKIA[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "an address with a password": r"https?://[^/\s:@\"]+:[^/\s:@\"]+@",
    "a signed address": r"https?://[^\s\"]*[?&](?:X-Amz-Signature|Signature|sig|token|access_token|api_key)=",
}
SECRET = re.compile("|".join(f"(?P<s{number}>{pattern})" for number, pattern in enumerate(SECRETS.values())))
PROBES = ("A red ball, left of 2 blue cups!", "Été: naïve 北京", "")


@dataclass(frozen=True)
class Prepared:
    """A folder that can be uploaded; its files as paths below it, and their bytes in all."""

    folder: Path
    files: list[str]
    size: int


def prepare(source: Path, out: Path, published: Published) -> Prepared:
    """Make `out` the bundle `source` with its whole card, verified and checked.

    Raises ValueError for a bundle that is damaged or does not load, and for one with a secret in it.
    """
    artifact = artifacts.load(source, "bundle", everything=True)
    spin = bundle_settings.read(source / GENERATION).spin
    with artifacts.create(
        out, "bundle", artifact.config, bundle_card.text(artifact.config, spin, published)
    ) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=_uncopied(source))
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    _check_secrets(out, names)
    _check_loads(out)
    return Prepared(out, names, sum((out / name).stat().st_size for name in names))


def publishes(folder: Path) -> list[str]:
    """What the index of a bundle tells of its items to whoever fetches it, a line each."""
    header = artifacts.read_json(folder / bundle.INDEX / "index.json")
    pictures = (folder / bundle.INDEX / "thumbnails.bin").stat().st_size
    shown = "ids, titles and texts" + (" and small pictures" if pictures else "")
    return [f"the search index publishes {shown} of {header['items']:,} items"]


def _uncopied(source: Path):
    """What `artifacts.create` writes anew, and what git and the Hub keep beside a bundle."""

    def names(folder: str, entries: list[str]) -> set[str]:
        return {MANIFEST, CARD, *artifacts.BESIDE} & set(entries) if Path(folder) == source else set()

    return names


def _check_secrets(folder: Path, names: list[str]) -> None:
    """Raises ValueError naming file, line and kind of what looks like a secret, without repeating it."""
    for name, number, line in _lines(folder, names):
        if match := SECRET.search(line):
            kind = list(SECRETS)[int(str(match.lastgroup)[1:])]
            raise ValueError(
                f"{folder / name}:{number}: {kind} would be published; nothing was uploaded: take it out of "
                "the data (an index names where its pictures came from) and run `dvc repro`"
            )


def _lines(folder: Path, names: list[str]) -> Iterator[tuple[str, int, str]]:
    for name in names:
        if name.endswith(TEXTS):
            with open(folder / name, encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    yield name, number, line


def _check_loads(folder: Path) -> None:
    """Raises ValueError unless ONNX Runtime loads every graph, `tokenizers` alone gives the same ids, and the
    card reads as the Hub reads it."""
    from huggingface_hub import ModelCard

    session = Session.load(folder)
    plain, length = PlainTokenizer.from_file(str(folder / TOKENIZER)), session.settings.max_text
    plain.enable_truncation(length)
    for probe in PROBES:
        ours, theirs = session.tokenizer.encode(probe, length), plain.encode(probe).ids
        if ours != theirs:
            raise ValueError(
                f"{folder / TOKENIZER}: `tokenizers` reads {probe!r} as {theirs}, the model was trained with "
                f"{ours}; build the bundle anew: `dvc repro index`"
            )
    metadata = ModelCard.load(folder / CARD).data
    assert metadata.license and metadata.pipeline_tag
