"""Captions and scenes to question-answer triples: one pass to count, one to write, read item by item."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import numpy as np

from sightline.core import artifacts, progress, registry
from sightline.core.params.data_params import ConvertParams
from sightline.core.runtime import derive_seed
from sightline.data.questions import split_coverage
from sightline.data.questions.annotated_questions import annotated
from sightline.data.questions.leakage import NEAR, Leak, find_leaks
from sightline.data.questions.lexicon import Lexicon
from sightline.data.questions.prompt_template import DESCRIBE, TEMPLATE, prompt
from sightline.data.scenes.scene_questions import SceneQuestionGenerator
from sightline.data.shards import Items
from sightline.data.tokenizer import Tokenizer

QuestionSource = Callable[[dict], list[dict]]


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
    counts: dict[str, Counter[str]] = {}
    pictures: Counter[str] = Counter()
    answers: set[str] = set()
    chosen = progress.track(_chosen(items, usable), "words of the captions", sum(usable))
    lexicon = counted_lexicon((item for _, item in chosen if item["split"] == "train"), params)
    sources: dict[str, QuestionSource] = {}
    generated = False  # whether any item's questions come from its captions
    with ExitStack() as stack:
        files: dict[str, TextIO] = {}
        for line, item in progress.track(_chosen(items, usable), "questions about items", sum(usable)):
            split = item["split"]
            pictures[split] += 1
            generated |= "scene" not in item and not item.get("questions")
            if split not in files:
                files[split] = stack.enter_context(_open(out / f"{split}.jsonl"))
                sources[split] = _question_source(item, raw.config, lexicon, params, seed)
                counts[split] = Counter()
            for triple in sources[split](item):
                record = {"item": line, "image": item["id"], **triple}
                files[split].write(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n")
                counts[split][triple["type"]] += 1
                counts[split][f"answers_{triple['answer']}"] += triple["answer"] in ("yes", "no")
                if split == "train" and triple["type"] != "describe":
                    answers.add(triple["answer"])
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
    total = sum(counts.values(), Counter())
    return {
        "objects": raw.config.get("objects") or lexicon.objects(),
        "template": TEMPLATE,
        "types": {name: n for name, n in total.items() if not name.startswith("answers_")},
        "counts": {split: {name: n for name, n in count.items() if n} for split, count in counts.items()},
        "answers": sorted(answers),
        "left_out": split_coverage.left_out(counts, pictures, lexicon.left_out() if generated else []),
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


def _question_source(
    item: dict, config: dict, lexicon: Lexicon, params: ConvertParams, seed: int
) -> QuestionSource:
    if "scene" not in item:
        return lambda described: caption_questions(described, lexicon, params, seed)
    rng = np.random.default_rng(derive_seed(seed, "convert", item["split"]))
    margin, polls = params.relation_margin, params.pope_per_image
    generator = SceneQuestionGenerator(item["split"], config["statistics"], rng, margin, polls)
    return lambda scene: generator.generate(scene["scene"], scene["captions"][0])


def _refusal(item: dict) -> str:
    if item["image"] is None:
        return "no_picture"
    return "" if any(caption.strip() for caption in item["captions"]) else "no_caption"


def _chosen(items: Items, usable: list[bool]) -> Iterator[tuple[int, dict]]:
    return ((line, items[line]) for line in range(len(items)) if usable[line])


def counted_lexicon(training: Iterable[dict], params: ConvertParams) -> Lexicon:
    """The lexicon that the parameters name, after it has counted the training items."""
    lexicon: Lexicon = registry.load("data/questions/lexicons", params.lexicon).build(params.language)
    for item in training:
        if "scene" not in item:
            lexicon.count(item)
    lexicon.finish()
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
