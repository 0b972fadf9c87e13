"""Names of splits, and the split of an item that has none: by a hash of its id, so that neither the order of
the rows nor the seed decides, and an added row moves no other."""

import difflib
import hashlib
import re

NAMES = {
    "train": "train", "training": "train", "restval": "train", "val": "val", "valid": "val",
    "validation": "val", "dev": "val", "test": "test", "testing": "test",
    "testdev": "test",
}  # fmt: skip
FORM = re.compile(r"[a-z][a-z0-9_]{0,39}")


def split_name(text: str) -> str:
    """train, val and test for their usual spellings, another name in lower case; '' for what is no name."""
    lower = text.strip().lower()
    return NAMES.get(lower, lower if FORM.fullmatch(lower) else "")


def misspelled(name: str) -> str:
    """The usual name that a split's name was probably meant to be; '' for one that stands for itself."""
    close = difflib.get_close_matches(name, list(NAMES), n=1, cutoff=0.75)
    return NAMES[close[0]] if close and name not in NAMES.values() else ""


def split_in(path: str) -> str:
    """The split that a path names (`val2014/a.jpg`, `captions_train2017.json`, `test-0000-of-0001.tar`), the
    last one if several; '' if it names none."""
    words = re.findall("[a-z]+", path.lower())
    return next((NAMES[word] for word in reversed(words) if word in NAMES), "")


def hash_share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def split_of(id: str, val_share: float) -> str:
    """The split of an item of data without splits: `val_share` of the items each for val and test."""
    share = hash_share(id)
    return "val" if share < val_share else "test" if share < 2 * val_share else "train"
