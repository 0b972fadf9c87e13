"""Captions and scenes to question-answer triples: one pass to count, one to write, read item by item.

Both are maps over parts of the items (`shard_map`), merged in the order of the parts. Only questions about
scenes are made in this process: those of a split share a generator, which balances them from scene to scene.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np

from sightline.core import artifacts, progress, registry
from sightline.core.params.data_params import ConvertParams
from sightline.core.runtime import derive_seed
from sightline.core.shard_map import map_shards
from sightline.data.questions import split_coverage
from sightline.data.questions.annotated_questions import annotated
from sightline.data.questions.leakage import NEAR, Leak, find_leaks
from sightline.data.questions.lexicon import Lexicon
from sightline.data.questions.prompt_template import DESCRIBE, TEMPLATE, prompt
from sightline.data.scenes.scene_questions import SceneQuestionGenerator
from sightline.data.shards import Items
from sightline.data.tokenizer import Tokenizer

PART = 256  # items of a part

Numbered = tuple[int, dict]  # an item and its line
T = TypeVar("T")


@dataclass
class Asked:
    """The triples of some items, as JSON lines by split; how many of each kind, and the pictures they are
    about."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    pictures: Counter[str] = field(default_factory=Counter)
    answers: set[str] = field(default_factory=set)  # to short questions about training items
    generated: bool = False  # whether any item's questions come from its captions


def convert(
    raw: artifacts.Artifact,
    out: Path,
    params: ConvertParams,
    seed: int,
    max_pixels: int,
    train_tokenizer: bool,
) -> dict:
    """Fill `out` with <split>.jsonl, rejected.jsonl and tokenizer.json; returns the config of the artifact.

    ValueError if no training item is left.
    """
    items = Items(raw.path)
    with progress.step("comparing the pictures of all splits"):
        leaks = find_leaks(items, max_pixels)
    dropped = {leak.dropped for leak in leaks if not _stays(leak, params)}
    usable = [line not in dropped and _refusal(items[line]) == "" for line in range(len(items))]
    chosen = progress.track(_chosen(items, usable), "words of the captions", sum(usable))
    lexicon = counted_lexicon((item for _, item in chosen if item["split"] == "train"), params)
    chosen = progress.track(_chosen(items, usable), "questions about items", sum(usable))
    asked: Iterator[Asked]
    if len(items) and "scene" in items[0]:
        about_scene = _about_scenes(raw.config, params, seed)
        asked = (ask(about_scene, part) for part in _parts(chosen))
    else:
        of_captions = partial(caption_questions, lexicon=lexicon, params=params, seed=seed)
        asked = map_shards(partial(ask, of_captions), _parts(chosen))
    total = _write(asked, out)
    counts = total.counts
    if "train" not in counts:
        raise ValueError(
            f"{raw.path}: none of {len(items)} items can be used for training, expected at least one of "
            "split train with picture and caption; see rejected.jsonl there and data in params.yaml"
        )
    refused, kept_copies = _reject(out / "rejected.jsonl", items, leaks, params)
    if train_tokenizer:
        texts = _texts(items, usable, out / "train.jsonl")
        with progress.step("training the tokenizer"):
            Tokenizer.train(texts, params.vocab_size, params.min_frequency).save(out / "tokenizer.json")
    kinds = sum(counts.values(), Counter())
    return {
        "objects": raw.config.get("objects") or lexicon.objects(),
        "template": TEMPLATE,
        "types": {name: n for name, n in kinds.items() if not name.startswith("answers_")},
        "counts": {split: {name: n for name, n in count.items() if n} for split, count in counts.items()},
        "answers": sorted(total.answers),
        "left_out": split_coverage.left_out(
            counts, total.pictures, lexicon.left_out() if total.generated else []
        ),
        "rejected": dict(refused),
        "kept_copies": kept_copies,
        "raw": raw.digest(),
    }


def caption_questions(item: dict, lexicon: Lexicon, params: ConvertParams, seed: int) -> list[dict]:
    """Triples of an item from its captions, or its own questions where it has some.

    The generator is the item's own, so neighbours change nothing but the lexicon's statistics.
    """
    rng = np.random.default_rng(derive_seed(seed, "convert", item["id"]))
    texts = [" ".join(caption.split()) for caption in item["captions"] if caption.strip()]
    train = item["split"] == "train"
    described = texts if train else texts[:1]
    triples: list[dict] = [
        {"type": "describe", "rule": "caption", "question": DESCRIBE, "answer": text.lower(), "source": n}
        for n, text in enumerate(described)
    ]
    if given := annotated(item):
        return triples + given
    title = " ".join(item.get("title", "").split())
    triples += lexicon.questions(texts, title, rng)
    return triples if train else triples + lexicon.polls(texts, title, rng, params.pope_per_image)


def ask(triples_of: Callable[[dict], list[dict]], part: list[Numbered]) -> Asked:
    """The triples of a part of the items."""
    asked = Asked()
    for line, item in part:
        split = item["split"]
        asked.pictures[split] += 1
        asked.generated |= "scene" not in item and not item.get("questions")
        lines = asked.lines.setdefault(split, [])
        counts = asked.counts.setdefault(split, Counter())
        for triple in triples_of(item):
            record = {"item": line, "image": item["id"], **triple}
            lines.append(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n")
            counts[triple["type"]] += 1
            if triple["answer"] in ("yes", "no"):
                counts[f"answers_{triple['answer']}"] += 1
            if split == "train" and triple["type"] != "describe":
                asked.answers.add(triple["answer"])
    return asked


def _write(asked: Iterable[Asked], out: Path) -> Asked:
    """<split>.jsonl of all parts, in their order; returns what they have in all, without the lines."""
    total = Asked()
    with ExitStack() as stack:
        files: dict[str, TextIO] = {}
        for part in asked:
            for split, lines in part.lines.items():
                if split not in files:
                    files[split] = stack.enter_context(_open(out / f"{split}.jsonl"))
                files[split].writelines(lines)
                total.counts.setdefault(split, Counter()).update(part.counts[split])
            total.pictures.update(part.pictures)
            total.answers |= part.answers
            total.generated |= part.generated
    return total


def _about_scenes(config: dict, params: ConvertParams, seed: int) -> Callable[[dict], list[dict]]:
    generators: dict[str, SceneQuestionGenerator] = {}
    margin, polls = params.relation_margin, params.pope_per_image

    def triples_of(item: dict) -> list[dict]:
        split = item["split"]
        if split not in generators:
            rng = np.random.default_rng(derive_seed(seed, "convert", split))
            generators[split] = SceneQuestionGenerator(split, config["statistics"], rng, margin, polls)
        return generators[split].generate(item["scene"], item["captions"][0])

    return triples_of


def _refusal(item: dict) -> str:
    if item["image"] is None:
        return "no_picture"
    return "" if any(caption.strip() for caption in item["captions"]) else "no_caption"


def _chosen(items: Items, usable: list[bool]) -> Iterator[Numbered]:
    return ((line, items[line]) for line in range(len(items)) if usable[line])


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    return iter(lambda: list(islice(left, PART)), [])


def counted_lexicon(training: Iterable[dict], params: ConvertParams) -> Lexicon:
    """The lexicon that the parameters name, after it has counted the training items."""
    lexicon = _lexicon(params)
    described = (item for item in training if "scene" not in item)
    for part in map_shards(partial(counted, params), _parts(described)):
        lexicon.merge(part)
    lexicon.finish()
    return lexicon


def counted(params: ConvertParams, part: list[dict]) -> Lexicon:
    """A lexicon that has counted a part of the training items."""
    lexicon = _lexicon(params)
    for item in part:
        lexicon.count(item)
    return lexicon


def _lexicon(params: ConvertParams) -> Lexicon:
    lexicon: Lexicon = registry.load("data/questions/lexicons", params.lexicon).build(params.language)
    return lexicon


def _stays(leak: Leak, params: ConvertParams) -> bool:
    return leak.reason == NEAR and params.near_duplicates == "keep"


def _reject(path: Path, items: Items, leaks: list[Leak], params: ConvertParams) -> tuple[Counter[str], int]:
    """Write what is left out, with the reason, and near-duplicates that stay (`kept`): how many of each."""
    refused: Counter[str] = Counter()
    kept_copies = 0
    leaking = {leak.dropped: leak for leak in leaks}
    with _open(path) as file:
        for line in range(len(items)):
            item = items[line]
            reason, details = _refusal(item), {}
            leak, stays = leaking.get(line), False
            if leak and (not reason or not _stays(leak, params)):
                partner, stays = items[leak.kept], _stays(leak, params)
                reason, details = leak.reason, {"with": partner["id"], "with_split": partner["split"]}
                details |= {"kept": True} if stays else {}
            if reason:
                record = {"id": item["id"], "split": item["split"], "reason": reason, **details}
                file.write(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n")
                refused[reason] += not stays
                kept_copies += stays
    return +refused, kept_copies


def _open(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="\n")


def _texts(items: Items, usable: list[bool], triples: Path) -> Iterator[str]:
    for _, item in _chosen(items, usable):
        if item["split"] == "train":
            yield from item["captions"]
    with triples.open(encoding="utf-8") as file:
        for line in file:
            triple = json.loads(line)
            yield prompt(triple["question"])
            yield triple["answer"]
