"""The files of a tokenizer, as Hugging Face lays them out: tokenizer.json, and beside it those that give its
special tokens their roles. Read with distrust: they come from anywhere."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from sightline.core import artifacts, hub_files

TOKENIZER, *ROLES = hub_files.TOKENIZER_FILES  # of the others a checkpoint may have one, both or none
MAX_FILE_BYTES = 64 * 2**20
ROLE_KEYS = {
    "pad": ("pad_token",),
    "unk": ("unk_token",),
    "bos": ("bos_token", "cls_token"),
    "eos": ("eos_token", "sep_token"),
    "mask": ("mask_token",),
}


def copy(tokenizer_file: Path, folder: Path) -> None:
    """The tokenizer with the files beside it that give its tokens their roles, as they are."""
    shutil.copyfile(tokenizer_file, folder / TOKENIZER)
    for name in ROLES:
        if (source := tokenizer_file.parent / name).is_file():
            shutil.copyfile(source, folder / name)


def digest(tokenizer_file: Path) -> str:
    """sha256 of the tokenizer; where it has files beside it that give roles, of all of them."""
    digests = [artifacts.sha256(tokenizer_file)]
    digests += [artifacts.sha256(path) for name in ROLES if (path := tokenizer_file.parent / name).is_file()]
    return "".join(digests)


def bad(path: Path | str, why: str) -> ValueError:
    """The error for a file that is no tokenizer."""
    return ValueError(
        f"{path}: {why}; expected a tokenizer.json, a tokenizer saved in the fast format; "
        "run `sightline doctor --repair`, rerun the convert stage, or download the checkpoint again"
    )


def read(path: Path) -> dict:
    """The JSON object in a file of at most MAX_FILE_BYTES."""
    if not path.is_file():
        raise bad(path, "no such file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise bad(path, f"{path.stat().st_size} bytes, more than {MAX_FILE_BYTES}")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise bad(path, f"no readable JSON ({error})") from error
    if not isinstance(data, dict):
        raise bad(path, "the file holds no JSON object")
    return data


def vocabulary(path: Path, data: dict) -> dict[str, int]:
    """Every token of a tokenizer.json with its id, added tokens too. Raises ValueError unless the ids are 0,
    1, 2, ..., each once."""
    model, added = data.get("model"), data.get("added_tokens")
    learned = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(learned, list) and all(isinstance(entry, list) and entry for entry in learned):
        learned = {entry[0]: i for i, entry in enumerate(learned) if isinstance(entry[0], str)}
    if not isinstance(learned, dict) or not learned:
        raise bad(path, "it has no vocabulary")
    entries = dict(learned)
    for token in added if isinstance(added, list) else []:
        content, i = (token.get("content"), token.get("id")) if isinstance(token, dict) else (None, None)
        if type(content) is not str or type(i) is not int or entries.setdefault(content, i) != i:
            raise bad(path, f"added token {token!r} contradicts the vocabulary")
    ids = list(entries.values())
    if not all(type(i) is int for i in ids):
        raise bad(path, "vocabulary entries are not all text: number")
    if sorted(ids) != list(range(len(ids))):
        raise bad(path, f"the {len(ids)} ids are not 0..{len(ids) - 1}, each once")
    return entries


def named_roles(folder: Path) -> dict[str, list[str]]:
    """The tokens that the files beside a tokenizer.json name for each role, first choice first."""
    files = [read(folder / name) for name in ROLES if (folder / name).is_file()]
    return {role: _named(files, keys) for role, keys in ROLE_KEYS.items()}


def _named(files: Sequence[dict], keys: Sequence[str]) -> list[str]:
    values = [data.get(key) for data in files for key in keys]
    texts = [value.get("content") if isinstance(value, dict) else value for value in values]
    return [text for text in texts if isinstance(text, str)]
