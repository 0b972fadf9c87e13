"""answers.jsonl: every answer of an audit, kept as it comes. The first line says which audit it is; a line
that a killed process did not finish is cut off when the audit goes on.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from sightline.audit.answerer import Identity, Reply
from sightline.core.atomic_io import FULL, full
from sightline.core.typed_json import Described

NAME = "answers.jsonl"
CURE = "give another folder with -o, or remove this one"


class Head(Described):
    """The first line: the model, the digest of what is asked, and the longest short answer in tokens."""

    model: Identity
    asked: str
    answer_tokens: int


class _Line(Described):
    key: str
    reply: Reply


class AnswerFile:
    """Open for appending: `replies` holds what was read, by the key of the request. Make one by `opened`."""

    def __init__(self, path: Path, descriptor: int, replies: dict[str, Reply]) -> None:
        self.replies, self._path, self._descriptor = replies, path, descriptor

    def add(self, key: str, reply: Reply) -> None:
        """Append an answer; it survives the process. ArtifactError for a full disk."""
        _append(self._path, self._descriptor, {"key": key, "reply": reply.model_dump()})
        self.replies[key] = reply


@contextmanager
def opened(folder: Path, head: Head) -> Iterator[AnswerFile]:
    """The file of the audit `head` in `folder`, begun or gone on with. Raises ValueError where it is of
    another audit or damaged."""
    path = folder / NAME
    replies: dict[str, Reply] = {}
    if path.is_file() and path.stat().st_size:
        found, replies = read(path)
        if found is not None and found != head:
            raise ValueError(f"{path}: holds the answers of another audit ({_change(found, head)}); {CURE}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _cut_torn_line(path, descriptor)
        if not os.fstat(descriptor).st_size:
            _append(path, descriptor, head.model_dump())
        yield AnswerFile(path, descriptor, replies)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> tuple[Head | None, dict[str, Reply]]:
    """(first line, answers by key) of a file; a torn last line is left out, and a torn first one is None."""
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line end is torn or empty
    if not lines:
        return None, {}
    replies: dict[str, Reply] = {}
    try:
        head = Head.model_validate_json(lines[0])
        for line in lines[1:]:
            entry = _Line.model_validate_json(line)
            replies[entry.key] = entry.reply
    except ValidationError as error:
        raise ValueError(f"{path}: damaged ({error.errors()[0]['msg']}); {CURE}") from error
    return head, replies


def _cut_torn_line(path: Path, descriptor: int) -> None:
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.ftruncate(descriptor, data.rfind(b"\n") + 1)


def _append(path: Path, descriptor: int, entry: dict) -> None:
    data = json.dumps(entry, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise full(path, len(data)) from error


def _change(found: Head, head: Head) -> str:
    if found.model != head.model:
        return f"of {found.model.name} {found.model.version[:12]}".rstrip()
    if found.asked != head.asked:
        return "other questions: --data, --items or --seed differ"
    return f"--answer-tokens {found.answer_tokens}"
