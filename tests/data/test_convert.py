import io
import json

import numpy as np
import pytest
from PIL import Image

from sightline.core import artifacts
from sightline.core.params.data_params import ConvertParams
from sightline.data.questions.convert_captions import convert
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.data.questions.triples import Triples
from sightline.data.scenes import sample
from sightline.data.shards import ShardWriter
from sightline.data.tokenizer import Tokenizer

PARAMS = ConvertParams(
    lexicon="photos",
    language="en",
    vocab_size=300,
    min_frequency=1,
    relation_margin=8,
    pope_per_image=2,
    near_duplicates="drop",
)
CAPTIONS = [
    ["A brown dog runs in the snow .", "The dog is running .", "A dog ."],
    ["A man rides a white horse .", "A man is riding a horse .", "A man on a horse ."],
    ["A cat sleeps on a couch .", "The cat sits on a red couch .", "A cat ."],
    ["Two girls play with a ball .", "Two girls kick a ball .", "Two girls ."],
]


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((48, 48), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def raw(folder, items):
    with artifacts.create(folder, "raw", {"source": "test"}) as out, ShardWriter(out, 2**20) as writer:
        for item, image in items:
            writer.add(dict(item), image)
    return artifacts.load(folder, "raw")


def photos(copies: int = 5):
    items = []
    for n in range(copies * len(CAPTIONS)):
        split = ("train", "train", "train", "val", "test")[n % 5]
        items.append(({"id": f"p{n}", "split": split, "captions": CAPTIONS[n % 4]}, picture(n)))
    return items


def run(tmp_path, items, name="vqa", **kwargs):
    source = raw(tmp_path / f"raw-{name}", items)
    config = {}
    with artifacts.create(tmp_path / name, "vqa", config) as out:
        config.update(
            convert(
                source,
                out,
                kwargs.get("params", PARAMS),
                kwargs.get("seed", 7),
                10**6,
                kwargs.get("trained", True),
            )
        )
    return tmp_path / name, config


def lines(folder, split):
    triples = Triples(folder, split)
    return [triples[i] for i in range(len(triples))]


def test_splits_types_and_halves(tmp_path):
    folder, config = run(tmp_path, photos())
    for split in ("train", "val", "test"):
        found = lines(folder, split)
        polar = [t["answer"] for t in found if t["answer"] in ("yes", "no")]
        assert polar.count("yes") == polar.count("no") > 0
        assert config["counts"][split]["answers_yes"] == polar.count("yes")
        assert any(t["type"].startswith("pope_") for t in found) == (split != "train")
        assert all(
            {"item", "image", "type", "question", "answer", "rule", "source"} <= t.keys() for t in found
        )
        assert all(t["answer"] == t["answer"].lower() for t in found)
    described = [t for t in lines(folder, "train") if t["type"] == "describe"]
    assert len(described) == 12 * 3 and {t["question"] for t in described} == {DESCRIBE}
    assert len([t for t in lines(folder, "test") if t["type"] == "describe"]) == 4
    assert sum(config["types"].values()) == sum(
        len(lines(folder, split)) for split in ("train", "val", "test")
    )
    assert "running" in config["answers"] and "dog" in config["objects"]


def test_triples_by_item_and_lookup(tmp_path):
    folder, _ = run(tmp_path, photos())
    triples = Triples(folder, "val")
    items = triples.by_item()
    assert sum(map(len, items.values())) == len(triples)
    assert all(triples[i]["item"] == item for item, found in items.items() for i in found)
    with pytest.raises(IndexError):
        triples[len(triples)]
    with pytest.raises(ValueError, match="found test, train, val"):
        Triples(folder, "nope")


def test_a_question_that_quotes_an_item_does_not_confuse_the_index(tmp_path):
    record = {"question": 'odd "item": 99', "item": 3}
    (tmp_path / "train.jsonl").write_text(json.dumps(record, sort_keys=True) + "\n")
    assert Triples(tmp_path, "train").by_item() == {3: [0]}


def test_same_bytes_again_and_another_seed_differs(tmp_path):
    first, _ = run(tmp_path, photos(), "a")
    second, _ = run(tmp_path, photos(), "b")
    other, _ = run(tmp_path, photos(), "c", seed=8)
    assert artifacts.load(first, "vqa").digest() == artifacts.load(second, "vqa").digest()
    assert (first / "train.jsonl").read_bytes() != (other / "train.jsonl").read_bytes()


def test_an_item_does_not_depend_on_the_order_of_its_neighbours(tmp_path):
    items = photos()
    first, _ = run(tmp_path, items, "a")
    second, _ = run(tmp_path, items[::-1], "b")

    def by_image(folder):
        return sorted(
            (json.dumps({k: v for k, v in t.items() if k != "item"}, sort_keys=True))
            for split in ("train", "val", "test")
            for t in lines(folder, split)
        )

    assert by_image(first) == by_image(second)


def test_tokenizer_knows_the_words_or_is_left_out(tmp_path):
    folder, _ = run(tmp_path, photos())
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    assert tokenizer.unk not in tokenizer.encode("is there a brown dog?", 40)
    bare, _ = run(tmp_path, photos(), "bare", trained=False)
    assert not (bare / "tokenizer.json").exists()


def test_unusable_items_and_leaks_are_recorded_and_left_out(tmp_path):
    items = photos()
    items.append(({"id": "copy", "split": "train", "captions": CAPTIONS[0]}, picture(4)))  # p4 is in test
    items.append(({"id": "mute", "split": "train", "captions": ["  "]}, picture(900)))
    items.append(({"id": "blind", "split": "train", "captions": CAPTIONS[0]}, None))
    folder, config = run(tmp_path, items)
    rejected = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert {(r["id"], r["reason"]) for r in rejected} == {
        ("copy", "same_bytes"),
        ("mute", "no_caption"),
        ("blind", "no_picture"),
    }
    assert next(r for r in rejected if r["id"] == "copy")["with"] == "p4"
    assert config["rejected"] == {"same_bytes": 1, "no_caption": 1, "no_picture": 1}
    assert not {"copy", "mute", "blind"} & {t["image"] for t in lines(folder, "train")}


@pytest.mark.parametrize("choice", ["drop", "keep"])
def test_near_duplicates_are_reported_whether_they_stay_or_not(tmp_path, choice):
    # p5 is in train; its copy in test is the same photo, scaled.
    copy = io.BytesIO()
    Image.open(io.BytesIO(picture(5))).resize((36, 36), Image.Resampling.BICUBIC).save(copy, "PNG")
    items = photos() + [({"id": "copy", "split": "test", "captions": CAPTIONS[2]}, copy.getvalue())]
    folder, config = run(tmp_path, items, params=PARAMS.model_copy(update={"near_duplicates": choice}))
    record = json.loads((folder / "rejected.jsonl").read_text())
    expected = {"id": "p5", "split": "train", "reason": "same_picture", "with": "copy", "with_split": "test"}
    assert record == expected | ({"kept": True} if choice == "keep" else {})
    assert any(t["image"] == "p5" for t in lines(folder, "train")) == (choice == "keep")
    assert (config["rejected"], config["kept_copies"]) == (
        ({}, 1) if choice == "keep" else ({"same_picture": 1}, 0)
    )


def test_no_training_item_is_an_error_with_a_cure(tmp_path):
    with pytest.raises(ValueError, match="none of 1 items"):
        run(tmp_path, [({"id": "a", "split": "test", "captions": CAPTIONS[0]}, picture(1))])


def test_one_caption_is_enough(tmp_path):
    items = [
        ({"id": f"i{n}", "split": "train", "captions": CAPTIONS[n % 4][:1]}, picture(n)) for n in range(8)
    ]
    folder, config = run(tmp_path, items)
    assert config["types"]["existence"] > 0 and config["types"]["describe"] == 8


def test_scenes_are_asked_from_their_graph(tmp_path):
    kinds = ["cube", "ball"]
    things = [
        {
            "kind": kinds[n],
            "color": "red",
            "size": "large",
            "box": [5 + 30 * n, 10, 20 + 30 * n, 25],
            "visible": 1.0,
        }
        for n in range(2)
    ]
    kinds = sorted(sample.KINDS)[:2]
    for thing, kind in zip(things, kinds, strict=True):
        thing["kind"] = kind
    statistics = sample.statistics([{"objects": things}])
    items = [
        ({"id": f"s{n}", "split": split, "captions": ["a picture"], "scene": {"objects": things[: n + 1]}},
         picture(n))
        for n, split in enumerate(["train", "test"])
    ]  # fmt: skip
    with artifacts.create(
        tmp_path / "raw", "raw", {"statistics": statistics, "objects": {"x": ["x"]}}
    ) as out:
        with ShardWriter(out, 2**20) as writer:
            for item, image in items:
                writer.add(item, image)
    config = {}
    with artifacts.create(tmp_path / "vqa", "vqa", config) as out:
        config.update(convert(artifacts.load(tmp_path / "raw", "raw"), out, PARAMS, 7, 10**6, True))
    found = lines(tmp_path / "vqa", "test")
    assert {"describe", "existence", "relation"} <= {t["type"] for t in found}
    assert all(t["source"] == "scene" for t in found) and config["objects"] == {"x": ["x"]}


def test_questions_that_come_with_an_item_are_used_instead(tmp_path):
    items = photos()
    given = [
        {"question": "What is on the table?", "answers": ["cup", "Cup", "a mug"]},
        {"question": "Is it blue?", "answers": ["yes"]},
        {"question": "How many?", "answers": ["3"], "type": "number"},
        {"question": "Is there a cat?", "answers": ["no"], "type": "pope_random"},
        {"question": "Who?", "answers": [" "]},
    ]
    items[0][0]["questions"] = given
    items[3][0]["questions"] = given
    folder, config = run(tmp_path, items)
    for split, image in (("train", "p0"), ("val", "p3")):
        found = [t for t in lines(folder, split) if t["image"] == image and t["type"] != "describe"]
        assert [(t["type"], t["answer"], t.get("answers")) for t in found] == [
            ("other", "cup", ["cup", "cup", "a mug"]),
            ("yes/no", "yes", None),
            ("number", "3", None),
            ("pope_random", "no", None),
        ]
        assert all(t["rule"] == "annotated" for t in found)
    assert any(t["rule"] != "annotated" for t in lines(folder, "train") if t["type"] != "describe")
    assert config["counts"]["train"]["number"] == 1


def test_what_cannot_be_taught_is_said(tmp_path):
    few = [({"id": f"n{n}", "split": split, "captions": ["蓝色的汽车"]}, picture(n))
           for n, split in enumerate(("train", "train", "val"))]  # fmt: skip
    _, config = run(tmp_path, few)
    assert config["types"].keys() == {"describe"}
    nothing = (
        "the captions name nothing of the list `photos`; convert.lexicon=corpus takes the things from the "
        "captions themselves"
    )
    assert nothing in config["left_out"]
    _, config = run(tmp_path, photos(), "enough")
    assert not [sentence for sentence in config["left_out"] if "photos" in sentence]
