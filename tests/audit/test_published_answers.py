"""POPE and CHAIR of published answer files, against values by hand."""

import json

import pytest

from sightline.audit import published_answers
from tests.support.command_line import run

# Question, label, answer; by the paper's rule the last is read as yes, by ours as invalid.
POLLS = [
    ("Is there a dog in the image?", "yes", "Yes, there is a dog."),
    ("Is there a cat in the image?", "no", "No, there is not. Yes."),
    ("Is there a bus in the image?", "no", "Yes"),
    ("Is there a cup in the image?", "yes", "There is not any cup."),
    ("Is there a fork in the image?", "yes", "A fork is on the table."),
]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def labels(tmp_path):
    rows = [
        {"question_id": n, "image": f"{n // 2}.jpg", "text": text, "label": label}
        for n, (text, label, _) in enumerate(POLLS, 1)
    ]
    return lines(tmp_path / "labels.jsonl", rows)


def values(scored, rule):
    return {each.figure: each.value for each in scored.figures if each.rule == rule}


def test_pope_by_the_paper_s_rule_and_by_ours(tmp_path, labels):
    rows = [{"question": text, "answer": answer} for text, _, answer in POLLS]
    scored = published_answers.score_pope(lines(tmp_path / "answers.jsonl", rows), labels)
    # The paper reads yes, no, yes, no, yes: two right yes, one right no, one false yes, one missed.
    expected = {"accuracy": 60.0, "precision": 200 / 3, "recall": 200 / 3, "f1": 200 / 3, "yes_rate": 60.0}
    assert values(scored, "paper") == pytest.approx(expected, abs=1e-12)
    # Ours reads yes, no, yes and twice neither: one right yes, one right no, one false yes.
    ours = values(scored, "sightline")
    assert ours["accuracy"] == 40.0 and ours["invalid"] == 40.0 and ours["yes_rate"] == 40.0
    assert ours["precision"] == 50.0 and ours["recall"] == pytest.approx(100 / 3)
    assert all(each.low <= each.value <= each.high and each.cases == 5 for each in scored.figures)
    assert set(scored.files) == {"answers.jsonl", "labels.jsonl"}


def test_answers_in_another_order_are_paired_by_their_number(tmp_path, labels):
    rows = [{"question_id": n, "text": answer} for n, (_, _, answer) in enumerate(POLLS, 1)]
    scored = published_answers.score_pope(lines(tmp_path / "answers.jsonl", rows[::-1]), labels)
    assert values(scored, "paper")["accuracy"] == 60.0


def test_answers_may_bring_their_labels(tmp_path):
    rows = [{"question": text, "label": label, "answer": answer} for text, label, answer in POLLS]
    scored = published_answers.score_pope(lines(tmp_path / "answers.jsonl", rows), None)
    assert values(scored, "paper")["accuracy"] == 60.0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "Is there a dog?", "answer": "yes"}] * 5, "line 1: answers 'Is there a dog.'"),
        ([{"answer": "yes"}] * 4, "4 answers, and .* has 5 labels"),
        ([{"question_id": 1}] * 5, "line 1: label 'yes', answer None"),
        ([{"answer": 3}] * 5, "line 1: answer: Input should be a valid string"),
        ([], "empty file"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, labels, rows, message):
    with pytest.raises(ValueError, match=message):
        published_answers.score_pope(lines(tmp_path / "answers.jsonl", rows), labels)


@pytest.fixture
def coco(tmp_path):
    folder = tmp_path / "annotations"
    folder.mkdir()
    boxes = {
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "dining table"}],
        "annotations": [{"image_id": 7, "category_id": 1}, {"image_id": 8, "category_id": 2}],
    }
    told = {"annotations": [{"image_id": 7, "caption": "A puppy with two bikes."},
                            {"image_id": 9, "caption": "A lawn."}]}  # fmt: skip
    (folder / "instances_val2014.json").write_text(json.dumps(boxes))
    (folder / "captions_val2014.json").write_text(json.dumps(told))
    (tmp_path / "synonyms.txt").write_text("dog, puppy\nbicycle, bike\ndining table, table\ncat, kitten\n")
    return folder


CAPTIONS = [
    {"image_id": 7, "caption": "A dog near a bicycle and two kittens; the cat sleeps."},
    {"image_id": 8, "caption": "A table."},
    {"image_id": 9, "caption": "A dog."},
]


@pytest.mark.parametrize("form", ["list", "sentences", "imgToEval"])
def test_chair_by_hand(tmp_path, coco, form):
    documents = {
        "list": CAPTIONS, "sentences": {"sentences": CAPTIONS},
        "imgToEval": {"imgToEval": {str(it["image_id"]): it for it in CAPTIONS}},
    }  # fmt: skip
    (tmp_path / "captions.json").write_text(json.dumps(documents[form]))
    scored = published_answers.score_chair(tmp_path / "captions.json", coco, tmp_path / "synonyms.txt")
    found = values(scored, "sightline")
    # Mentions: dog, bicycle, cat, cat; table; dog. Three of six are absent, in two of three captions; of dog
    # and bicycle, table, and nothing, all three are named.
    assert found["chair_i"] == 50.0 and found["chair_s"] == pytest.approx(200 / 3)
    assert found["recall"] == 100.0


def test_a_photo_without_annotations_is_refused(tmp_path, coco):
    (tmp_path / "captions.json").write_text(json.dumps([{"image_id": 3, "caption": "A dog."}]))
    with pytest.raises(ValueError, match="photo 3 and 0 more are in no instances"):
        published_answers.score_chair(tmp_path / "captions.json", coco, tmp_path / "synonyms.txt")


def test_the_command_scores_both(tmp_path, labels, coco):
    lines(tmp_path / "answers.jsonl", [{"answer": answer} for *_, answer in POLLS])
    words = ("audit", "--answers", "answers.jsonl", "--data", "pope:labels.jsonl", "-o", "pope")
    done = run(tmp_path, *words, code=0)
    assert "read as paper: accuracy 60.0" in done.stdout and "read as sightline: accuracy 40.0" in done.stdout
    assert json.loads((tmp_path / "pope" / "published.json").read_text())["metric"] == "pope"
    (tmp_path / "captions.json").write_text(json.dumps(CAPTIONS))
    words = ("audit", "--answers", "captions.json", "--data", "chair:annotations", "-o", "chair")
    assert "chair_i 50.0" in run(tmp_path, *words, "--words", "synonyms.txt", code=0).stdout
    assert "CHAIR needs --words" in run(tmp_path, *words, code=2).stderr
