"""A tiny data set and a session that answers by a script: it reads what the test wrote into the pixels."""

import json
from pathlib import Path

import numpy as np

from sightline.core.params.quality_params import EvaluateParams
from sightline.data import images
from sightline.data.shards import ShardWriter
from sightline.evaluate import ood_detection, result_files
from sightline.inference.answering import Answer

KINDS = ("ball", "cube", "ring", "star")
SIDE = 16


def picture(number: int) -> np.ndarray:
    """A flat picture whose red channel is its number."""
    return np.full((SIDE, SIDE, 3), (number, 7, 9), np.uint8)


def build(folder: Path, count: int = 6, scenes: bool = True, extra: str = "") -> tuple[Path, Path]:
    """data/raw and data/vqa with the splits train and test, `count` pictures each; i shows kind i % 3."""
    raw, vqa = folder / "raw", folder / "vqa"
    vqa.mkdir(parents=True)
    lines: dict[str, list[dict]] = {"train": [], "test": []}
    with ShardWriter(raw, 1 << 20) as writer:
        for line in range(2 * count):
            split, number = ("train", "test")[line // count], line % count
            kind, other = KINDS[number % 3], KINDS[(number + 1) % 3]
            caption = f"picture {number}: a {kind}{extra}"
            item = {"id": f"{split}-{number}", "split": split, "captions": [caption, f"a {kind}"]}
            if scenes:
                item["scene"] = {
                    "objects": [
                        {"kind": kind, "color": "red", "size": "small", "box": [2, 2, 9, 9], "visible": 1.0}
                    ],
                    "tone": 0,
                    "noise": number,
                }
            writer.add(item, images.encode(picture(number))[0])
            asked = [
                ("existence", f"Is there a {kind}?", "yes"),
                ("existence", f"Is there a {other}?", "no"),
                ("color", f"What color is the {kind}?", "red" if number % 2 else "blue"),
                ("describe", "Describe the image in detail.", caption),
            ]
            if split == "test":
                asked += [
                    (f"pope_{how}", f"Is there a {kind}?", "yes")
                    for how in ("random", "popular", "adversarial")
                ]
                asked += [("pope_random", f"Is there a {other}?", "no")]
            lines[split] += [
                {
                    "item": line,
                    "image": item["id"],
                    "type": kind_of,
                    "question": question,
                    "answer": answer,
                    "rule": "script",
                    "source": "scene",
                }
                for kind_of, question, answer in asked
            ]
    (raw / "config.json").write_text(json.dumps({"image_side": SIDE, "source": "scenes"}))
    (vqa / "config.json").write_text(json.dumps({"objects": {kind: [kind] for kind in KINDS}}))
    for split, triples in lines.items():
        (vqa / f"{split}.jsonl").write_text(
            "".join(json.dumps(triple, sort_keys=True) + "\n" for triple in triples)
        )
    return raw, vqa


def write_domain(rows: list[dict], folder: Path) -> None:
    """As the stage writes them."""
    result_files.write_csv(folder / "domain.csv", rows, ood_detection.COLUMNS)


def evaluate_params(**changed) -> EvaluateParams:
    return EvaluateParams(
        **{
            "splits": ("test",), "max_items": 0, "batch_size": 4, "bootstrap": 100, "rerank_top": 10,
            "description_weight": 0.05, "nothing_share": 0.5, "prior_pictures": 0, **changed,
        }
    )  # fmt: skip


class Scripted:
    """Sees everything, except that with SPIN on it denies every ball and calls every red thing blue."""

    answers = True

    def __init__(self, lying: bool = False):
        self.lying, self.calls = lying, 0

    def answer(self, images, questions, generation, spin, *, batch_size=1):
        self.calls += 1
        on = spin.keep < 1
        return [
            Answer(
                self._one(int(rgb[0, 0, 0]), question, on), [], 0.5, *self._trust(question), True, None,
                None, [], generation.decoding,
            )
            for rgb, question in zip(images, questions, strict=True)
        ]  # fmt: skip

    def _one(self, number: int, question: str, on: bool) -> str:
        kind = KINDS[number % 3]
        if self.lying:
            return "a star"
        if question.startswith("Describe"):
            return f"picture {number}: a {kind}" + (" and a star" if on else "")
        if question.startswith("Is there"):
            return "no" if on and "ball" in question else "yes" if kind in question else "no"
        return "blue" if on or number % 2 == 0 else "red"

    def _trust(self, question: str) -> tuple[float, bool | None]:
        """Sure of what is there, less so of colours; long answers have no bound."""
        if question.startswith("Describe"):
            return 0.5, None
        return (0.75, True) if question.startswith("Is there") else (0.6, False)

    def encode_images(self, images, batch_size=1):
        embeds = np.eye(64)[[int(rgb[0, 0, 0]) for rgb in images]]
        return embeds[:, None, :], embeds

    def embed_images(self, images, batch_size=1):
        return self.encode_images(images, batch_size)[1]

    def encode_texts(self, texts, batch_size=1):
        """Embeds the number in the caption; a changed kind makes the text point elsewhere."""
        numbers = [int(text.split(":")[0].split()[-1]) if ":" in text else 62 for text in texts]
        own = [n == 62 or KINDS[n % 3] in text for n, text in zip(numbers, texts, strict=True)]
        embeds = np.eye(64)[[n if right else 63 for n, right in zip(numbers, own, strict=True)]]
        return embeds[:, None, :], np.ones((len(texts), 1), bool), embeds

    def match(self, tokens, states, mask, batch_size=1):
        return (tokens[:, 0] * states[:, 0]).sum(axis=1)

    def score_captions(self, images, texts, image_N, text_N, batch_size=1):
        """A text of another picture is less likely."""
        numbers = [int(rgb[0, 0, 0]) for rgb in images]
        said = [f"picture {number}:" in text for number, text in
                ((numbers[i], texts[t]) for i, t in zip(image_N, text_N, strict=True))]  # fmt: skip
        return np.where(said, -1.0, -40.0)
