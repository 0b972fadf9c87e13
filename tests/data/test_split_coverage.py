"""What a data set cannot teach or measure is said; a split that nothing works without is refused."""

import pytest

from sightline.data.questions import split_coverage

WHOLE = {"describe": 900, "color": 500, "existence": 400, "answers_yes": 200, "answers_no": 200}
ENOUGH = {
    "train": WHOLE | {"left_of": 40},
    "val": WHOLE,
    "test": WHOLE | {"pope_random": 90},
}
MANY = {"train": 5000, "val": 500, "test": 500}


def test_nothing_is_said_of_data_that_has_it_all():
    assert split_coverage.left_out(ENOUGH, MANY, []) == []


@pytest.mark.parametrize(
    ("changed", "pictures", "said"),
    [
        ({}, {"train": 24}, "train has 24 pictures"),
        ({"val": {"describe": 9, "color": 99}}, {}, "val has 99 short questions, 100 are enough"),
        ({"test": {"describe": 9, "pope_random": 4}}, {}, "test has no short questions"),
        ({"test": {"describe": 9, "color": 4, "pope_popular": 4}}, {}, "no questions of type existence"),
        ({"test": WHOLE}, {}, "test has no POPE questions"),
    ],
)
def test_what_is_missing_is_said_once(changed, pictures, said):
    (sentence,) = split_coverage.left_out(ENOUGH | changed, MANY | pictures, [])
    assert said in sentence


def test_texts_without_any_short_question_are_described_only():
    described = {name: {"describe": 30} for name in ENOUGH}
    few, none = split_coverage.left_out(described, MANY | {"train": 18}, [])
    assert "18 pictures" in few and none.startswith("no short questions")
    why = ["no short questions: the captions are in another language"]
    assert split_coverage.left_out(described, MANY, why) == why


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_any_question_is_refused_with_a_cure(split):
    for empty in ({}, {split: {}}):
        counts = {name: count for name, count in ENOUGH.items() if name != split} | empty
        with pytest.raises(ValueError, match=rf"split {split} is left.*data\.val_share"):
            split_coverage.check(counts)
    split_coverage.check(ENOUGH)
