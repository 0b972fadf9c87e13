"""Audits of a user's own data: the official POPE files with COCO's annotations and CHAIR's word list, a
table, a folder. All in the official layouts, small and made here."""

import json

import numpy as np
import pytest
from PIL import Image

from sightline.audit import audit_report, probes, source_items
from sightline.audit.answerer import Identity, Reply
from tests.support import audited
from tests.support.command_line import run

# photo -> categories in it, and its captions
PHOTOS = {
    101: ({"person", "dog"}, ["A man walks his puppy."]),
    102: ({"cat"}, ["A kitten sleeps."]),
    103: ({"dining table", "cup"}, ["A mug stands on a table."]),
    104: ({"person", "sports ball"}, ["A boy kicks a ball."]),
}
CATEGORIES = ("person", "dog", "cat", "dining table", "cup", "sports ball", "hot dog")
WORDS = """person, girl, boy, man, woman
dog, puppy
cat, kitten
dining table, table
cup, mug
sports ball, ball
hot dog
"""


def name(photo: int) -> str:
    return f"COCO_val2014_{photo:012d}.jpg"


@pytest.fixture
def coco(tmp_path):
    """(folder of annotations, folder of photos, word list)."""
    pictures, texts = tmp_path / "val2014", tmp_path / "annotations"
    pictures.mkdir(), texts.mkdir()
    rng = np.random.default_rng(0)
    for photo in PHOTOS:
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(pictures / name(photo))
    for kind in ("random", "popular", "adversarial"):
        asked = [(photo, thing) for photo in PHOTOS for thing in ("dog", "cat", "cup")]
        lines = [
            {"question_id": number, "image": name(photo), "text": f"Is there a {thing} in the image?",
             "label": "yes" if thing in PHOTOS[photo][0] else "no"}
            for number, (photo, thing) in enumerate(asked, 1)
        ]  # fmt: skip
        (texts / f"coco_pope_{kind}.json").write_text("\n".join(map(json.dumps, lines)))
    images = [{"id": photo, "file_name": name(photo)} for photo in PHOTOS]
    categories = [{"id": number, "name": thing} for number, thing in enumerate(CATEGORIES)]
    boxes = [
        (photo, CATEGORIES.index(thing)) for photo, (kinds, _) in PHOTOS.items() for thing in sorted(kinds)
    ]
    instances = [{"id": n, "image_id": photo, "category_id": thing} for n, (photo, thing) in enumerate(boxes)]
    captions = [
        {"id": n, "image_id": photo, "caption": said[0]}
        for n, (photo, (_, said)) in enumerate(PHOTOS.items())
    ]
    for file, annotations in (("instances_val2014", instances), ("captions_val2014", captions)):
        document = {"images": images, "categories": categories, "annotations": annotations}
        (texts / f"{file}.json").write_text(json.dumps(document))
    (tmp_path / "synonyms.txt").write_text(WORDS)
    return texts, pictures, tmp_path / "synonyms.txt"


def test_pope_and_chair_are_read_as_published(coco):
    items = source_items.read("vqa", *coco, 10, 0)
    order = [int(picture.id[-6:]) for picture in items.pictures]
    assert sorted(order) == sorted(PHOTOS)
    by_photo = dict(zip(order, items.present, strict=True))
    assert by_photo == {photo: kinds for photo, (kinds, _) in PHOTOS.items()}  # boxes and captions agree
    made = probes.audit(items)
    polls = [q for q in made.asked.questions if q.probe == "plain" and q.type == "pope_popular"]
    asked = {(order[q.about], q.text): q.truths for q in polls}
    assert len(asked) == 3 * len(PHOTOS) and asked[101, "Is there a dog in the image?"] == ("yes",)
    assert asked[103, "Is there a dog in the image?"] == ("no",)
    reworded = {q.text for q in made.asked.questions if q.probe == "reworded"}
    assert reworded <= {f"Does the picture show a {thing}?" for thing in ("dog", "cat", "cup")} and reworded
    swapped = [q for q in made.asked.questions if q.probe == "swapped"]
    assert swapped and all(q.truths != made.asked.questions[q.base].truths for q in swapped)


def test_the_figures_of_pope_and_chair_by_hand(coco):
    """Says yes to every dog and cat; describes each photo as a man with a hot dog on a table, and a mug."""
    items = source_items.read("vqa", *coco, 10, 0)
    made = probes.audit(items)
    replies = {
        q.key: Reply(text="Yes." if "dog" in q.text or "cat" in q.text else "No.")
        if q.type != "describe" else Reply(text="A man with a hot dog at a table and a mug")
        for q in made.asked.questions
    }  # fmt: skip
    report = audit_report.report(made.asked, replies, Identity(form="endpoint", name="m", version=""))
    of = {(f.part, f.kind, f.metric): f.value for f in report.figures if f.row == "model"}
    # 12 questions: 2 yes right (101 dog, 102 cat), 6 false alarms, 3 no right, 1 missed (103 cup)
    assert of["existence", "random", "accuracy"] == pytest.approx(100 * 5 / 12, abs=1e-3)
    assert of["existence", "random", "precision"] == 25.0
    assert of["existence", "random", "recall"] == pytest.approx(100 * 2 / 3, abs=1e-3)
    assert of["existence", "random", "yes_rate"] == pytest.approx(100 * 8 / 12, abs=1e-3)
    # mentions: person, hot dog (no dog), dining table, cup; right: person in 101, 104, table and cup in 103
    assert of["descriptions", "described", "chair_i"] == pytest.approx(100 * 12 / 16, abs=1e-3)
    assert of["descriptions", "described", "chair_s"] == 100.0
    assert of["descriptions", "described", "recall"] == pytest.approx(100 * 4 / 7, abs=1e-3)


def test_a_label_that_is_neither_yes_nor_no_is_named(coco):
    texts, pictures, words = coco
    path = texts / "coco_pope_random.json"
    path.write_text(path.read_text().replace('"label": "yes"', '"label": "maybe"', 1))
    with pytest.raises(ValueError, match="the label of 'Is there a dog in the image.' is 'maybe'"):
        source_items.read("vqa", texts, pictures, words, 10, 0)


def test_fewer_items_are_a_part_of_more(coco):
    some, more = (source_items.read("vqa", *coco, count, 5) for count in (2, 4))
    assert [it.id for it in some.pictures] == [it.id for it in more.pictures][:2]
    assert source_items.read("vqa", *coco, 2, 5).pictures == some.pictures


def test_the_command_audits_pope(tmp_path, coco):
    texts, pictures, words = coco
    with audited.endpoint(answer=lambda question, picture: "yes") as server:
        done = run(
            tmp_path, "audit", "--endpoint", server.url, "--model", "m", "--data", f"vqa:{texts}",
            "--pictures", pictures, "--words", words, "-o", "out", code=0,
        )  # fmt: skip
    assert "audit: 4 pictures, " in done.stdout and "POPE adversarial: right in 25.0 %" in done.stdout


def test_a_table_with_questions_and_captions(tmp_path):
    rng = np.random.default_rng(1)
    rows = ["image,caption,question,answer"]
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,a red mug on a table,Is it red?,{('yes', 'no')[number % 2]}")
        rows.append(f"{number}.png,a red mug on a table,How many mugs?,{number}")
    (tmp_path / "items.csv").write_text("\n".join(rows))
    items = source_items.read("table", tmp_path / "items.csv", None, None, 4, 0)
    made = probes.audit(items)
    plain = [q for q in made.asked.questions if q.probe == "plain"]
    assert len(items.pictures) == 4 and {q.type for q in plain} >= {"yes/no", "number"}
    assert {q.choices for q in plain if q.type == "yes/no"} == {("yes", "no")}
    right = {q.key: Reply(text=q.truths[0]) for q in made.asked.questions}
    report = audit_report.report(made.asked, right, Identity(form="endpoint", name="m", version=""))
    of = {(f.part, f.kind, f.metric): f.value for f in report.figures if f.row == "model"}
    assert of["short answers", "yes/no", "accuracy"] == of["short answers", "number", "accuracy"] == 100.0
    assert not [f for f in report.figures if f.part == "existence"]  # the data asks none


def test_a_folder_of_pictures_with_texts_is_described(tmp_path):
    rng = np.random.default_rng(2)
    for number in range(40):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(
            tmp_path / f"{number:02d}.png"
        )
        color, thing = ("red", "blue")[number % 2], ("mug", "lamp", "chair", "spoon")[number % 4]
        (tmp_path / f"{number:02d}.txt").write_text(f"a {color} {thing} on a wooden table")
    with pytest.raises(ValueError, match="names a known thing; give questions .* or --words FILE"):
        source_items.read("folder", tmp_path, None, None, 12, 0)  # too few texts to tell what a thing is
    words = tmp_path.parent / "words.txt"
    words.write_text("mug\nlamp\nchair\nspoon\ntable\n")
    items = source_items.read("folder", tmp_path, None, words, 12, 0)
    made = probes.audit(items)
    described = [q for q in made.asked.questions if q.type == "describe" and q.probe == "plain"]
    assert len(described) == 12 and all(items.present[q.about] for q in described)


@pytest.mark.parametrize(
    ("text", "message"), [("", "got an empty file"), ("person, man\ndog,,puppy\n", "line 2: expected names")]
)
def test_a_word_list_of_another_form_is_refused(tmp_path, text, message):
    (tmp_path / "words.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        source_items.word_list(tmp_path / "words.txt")


def test_data_without_pictures_is_refused(tmp_path):
    (tmp_path / "items.csv").write_text("image,caption\nnowhere.png,a mug\n")
    with pytest.raises(ValueError, match="no item with a readable picture"):
        source_items.read("table", tmp_path / "items.csv", None, None, 4, 0)
