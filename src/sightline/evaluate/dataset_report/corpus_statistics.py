"""Every figure of a corpus as one plain dict: the content of analysis.json."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from sightline.core.runtime import derive_seed
from sightline.data.questions.convert_captions import counted_lexicon
from sightline.evaluate.dataset_report import object_statistics, question_statistics
from sightline.evaluate.dataset_report.analysed_corpus import Corpus, rejected
from sightline.evaluate.dataset_report.text_statistics import share, summary, tokens, vocabulary, words

EXAMPLES = 12
DISPLAY_SIDE = 320  # pixels of the longer side of an example
LISTED = 20  # refused rows and sizes of pictures that are named one by one


def measure(corpus: Corpus) -> dict:
    """All figures. Where a split has no captions, pictures or questions there are zeros or nulls."""
    names = corpus.splits
    base = names[0]
    counted: dict[str, Counter[str]] = {name: Counter() for name in names}
    splits: dict[str, dict] = {}
    captions: dict[str, dict[str, Any]] = {}
    vocabularies: dict[str, dict] = {}
    pictures: dict[str, dict] = {}
    objects: dict[str, list[set[str]]] = {}
    coder = corpus.tokenizer()
    lexicon = counted_lexicon(split_items(corpus, base), corpus.convert)
    base_captions: set[str] = set()
    for name in names:
        # Items are read anew for each figure: the words of a large table, all at once, take gigabytes.
        texts = [caption for item in split_items(corpus, name) for caption in item["captions"]]
        lengths: list[int] = []
        for text in texts:
            parted = words(text)
            counted[name].update(parted)
            lengths.append(len(parted))
        pictures[name] = picture_sizes(corpus, split_items(corpus, name))
        objects[name] = [object_statistics.object_names(item, lexicon) for item in split_items(corpus, name)]
        count = len(corpus.items.split(name))
        splits[name] = {"items": count, "pictures": pictures[name]["n"], "captions": len(texts)}
        captions[name] = {
            "per_item": summary(len(item["captions"]) for item in split_items(corpus, name)),
            "words": summary(lengths),
            "tokens": tokens(texts, coder, corpus.max_tokens) if coder else None,
            "different": len(set(texts)),
        }
        if name == base:
            base_captions = set(texts)
        else:
            captions[name][f"also_in_{base}_share"] = share(
                sum(text in base_captions for text in texts), len(texts)
            )
        vocabularies[name] = vocabulary(counted[name], None if name == base else counted[base])
    questions = question_figures(corpus)
    for name, kinds in questions.items():
        splits[name]["questions"] = sum(row["n"] for row in kinds.values())
    faults = rejected(corpus.raw.path)
    return {
        "name": corpus.name,
        "table": corpus.table,
        "base": base,
        "order": names,
        "splits": splits,
        "pictures": pictures,
        "captions": captions,
        "vocabulary": vocabularies,
        "objects": object_figures(corpus, objects, base),
        "colors": color_figures(corpus),
        "questions": questions,
        "refused": dict(sorted(Counter(fault["reason"] for fault in faults).items())),
        "refused_first": faults[:LISTED],
        "left_out": dict(sorted(corpus.left_out.items())),
        "cannot_teach": corpus.cannot_teach,
    }


def split_items(corpus: Corpus, name: str) -> Iterator[dict]:
    """The items of a split, read one by one."""
    return (corpus.items[line] for line in corpus.items.split(name))


def picture_sizes(corpus: Corpus, items: Iterable[dict]) -> dict:
    """Sides in pixels and bytes of the kept pictures; headers are read, nothing is decoded."""
    sides: Counter[tuple[int, int]] = Counter()
    formats: Counter[str] = Counter()
    weight = 0
    for item in items:
        if item["image"] is None:
            continue
        data = corpus.items.image_bytes(item)
        with Image.open(io.BytesIO(data)) as image:
            sides[image.size] += 1
            formats[str(image.format)] += 1
        weight += len(data)
    n = sides.total()
    if not n:
        return {"n": 0}
    ranked = sorted(sides.items(), key=lambda entry: (-entry[1], entry[0]))
    result = {
        "n": n,
        "formats": dict(sorted(formats.items())),
        "bytes": weight,
        "different_sizes": len(sides),
    }
    result["common_sizes"] = [[width, height, times] for (width, height), times in ranked[:LISTED]]
    for index, side in enumerate(("width", "height")):
        full = summary(size[index] for size in sides.elements())
        result[side] = {key: value for key, value in full.items() if key not in ("histogram", "n")}
    return result


def object_figures(corpus: Corpus, objects: dict[str, list[set[str]]], base: str) -> dict:
    """Object and pair frequencies and biases per split, and the strongest of `base` across the splits."""
    names = sorted({name for sets in objects.values() for each in sets for name in each})
    tables = {split: object_statistics.counts(sets, names) for split, sets in objects.items()}
    result: dict = {"source": "captions", "splits": {}}
    if "objects" in corpus.raw.config:
        result["source"] = "scene graphs"
    for split, (alone_K, both_KK) in tables.items():
        total = len(objects[split])
        pairs = zip(*np.nonzero(np.triu(both_KK)), strict=True)
        result["splits"][split] = {
            "items": total,
            "none_share": share(sum(not each for each in objects[split]), total),
            "per_item": round(sum(map(len, objects[split])) / total, 3) if total else None,
            "counts": {name: int(n) for name, n in zip(names, alone_K, strict=True) if n},
            "pairs": [[names[a], names[b], int(both_KK[a, b])] for a, b in pairs],
            "biases": object_statistics.biases(alone_K, both_KK, total, names),
        }
    built_in = {(lead, partner) for lead, partner in corpus.raw.config.get("bias", [])}
    result["across"] = []
    for row in result["splits"][base]["biases"]:
        a, b = names.index(row["given"]), names.index(row["then"])
        shares = {
            split: {"share": share(int(both_KK[a, b]), int(alone_K[a])), "given": int(alone_K[a])}
            for split, (alone_K, both_KK) in tables.items()
        }
        pair = {"given": row["given"], "then": row["then"], "base": row["base"], "splits": shares}
        result["across"].append(pair | {"built_in": (row["given"], row["then"]) in built_in})
    return result


def color_figures(corpus: Corpus) -> dict | None:
    """Kind x colour per split where scene graphs give both, and the pairs that a split never has."""
    config = corpus.raw.config
    if "colors" not in config:
        return None
    kinds, names = sorted(config["objects"]), config["colors"]
    result: dict = {"kinds": kinds, "colors": names, "splits": {}, "never": {}}
    for split in corpus.splits:
        items = (corpus.items[line] for line in corpus.items.split(split))
        table = object_statistics.colors(items, kinds, names)
        result["splits"][split] = table
        result["never"][split] = [
            [color, kind] for kind in kinds for color in names if not table[kind][color]
        ]
    result["held_out"] = [list(pair) for pair in config["held_out"]]
    return result


def question_figures(corpus: Corpus) -> dict[str, dict]:
    """Balance of the questions per split and type."""
    train = corpus.triples("train")
    prior = question_statistics.AnswerPrior(train[i] for i in range(len(train))) if train else None
    result = {}
    for split in corpus.splits:
        if triples := corpus.triples(split):
            each = (triples[i] for i in range(len(triples)))
            result[split] = question_statistics.balance(each, None if split == "train" else prior)
    return result


def examples(corpus: Corpus) -> list[dict]:
    """Up to EXAMPLES items of the first split with questions, drawn by the seed.

    `displayed` is the picture, [Y, X, 3]. The type of the question is drawn before the
    question, so that rare types take part.
    """
    questions_of = ((name, corpus.triples(name)) for name in corpus.splits)
    split, triples = next(((name, triples) for name, triples in questions_of if triples), ("", None))
    if triples is None:
        return []
    lines = triples.by_item()
    rng = np.random.default_rng(derive_seed(corpus.seed, "analyse"))
    order = sorted(lines)
    drawn = rng.permutation(len(order))[:EXAMPLES]
    rows = []
    for line in (order[index] for index in sorted(drawn)):
        item = corpus.items[line]
        questions = [triples[index] for index in lines[line]]
        kinds = sorted({triple["type"] for triple in questions} - {"describe"}) or ["describe"]
        kind = kinds[rng.integers(len(kinds))]
        fitting = [triple for triple in questions if triple["type"] == kind]
        triple = fitting[rng.integers(len(fitting))]
        rows.append(
            {
                "id": item["id"],
                "split": split,
                "displayed": corpus.items.displayed(item, DISPLAY_SIDE),
                "captions": item["captions"],
                "type": kind,
                "question": triple["question"],
                "answer": triple["answer"],
            }
        )
    return rows
