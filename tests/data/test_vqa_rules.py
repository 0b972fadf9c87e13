import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.data.questions import caption_rules
from sightline.data.questions.existence_questions import (
    Statistics,
    attributes,
    existence,
    missing,
    pope,
    present,
    question,
)
from sightline.data.questions.object_lexicon import OBJECT_CLASSES, RELATIVES, ancestors, surface_forms
from sightline.data.questions.object_mentions import parse, parse_all
from sightline.data.questions.word_lists import ing, third_person


def answers(rule, *captions):
    return {triple["question"]: triple["answer"] for triple in rule(parse_all(captions))}


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (["A brown dog runs ."], {"What color is the dog?": "brown"}),
        (["A brown furry dog runs ."], {"What color is the dog?": "brown"}),
        (["A black and white dog ."], {"What color is the dog?": "black and white"}),
        (["A grey dog ."], {"What color is the dog?": "gray"}),
        (["A brown dog .", "A tan dog ."], {}),  # captions disagree
        (["A brown dog chases a white dog ."], {}),  # two of them
        (["Two dogs .", "A brown dog ."], {}),
        (["A red dog house ."], {}),  # the noun is not the head
        (["A red , white and blue ball ."], {}),
        (["A black man stands ."], {}),
        (["A brown toy dog ."], {}),
        (["Two men play .", "A man in a red shirt ."], {}),  # whose shirt?
        (["A man in a red shirt ."], {"What color is the shirt?": "red"}),
    ],
)
def test_colors(captions, expected):
    assert answers(caption_rules.colors, *captions) == expected


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (["Two dogs run .", "Two brown dogs play ."], {"How many dogs are there?": "2"}),
        (["Two dogs run .", "Three dogs play ."], {}),
        (["Two dogs run .", "Dogs play ."], {}),  # the second caption does not count
        (["Two dogs run .", "A dog plays ."], {}),  # named by one caption only
        (["Two dogs run .", "Two dogs and several other dogs ."], {}),
        (["Two boys sit .", "Two boys and a girl sit ."], {}),
        (["Two children sit .", "Two boys sit .", "Two children ."], {"How many children are there?": "2"}),
    ],
)
def test_counts(captions, expected):
    assert answers(caption_rules.counts, *captions) == expected


def test_one_needs_three_captions_without_a_second():
    assert answers(caption_rules.ones, *["A dog runs ."] * 3) == {"How many dogs are there?": "1"}
    assert answers(caption_rules.ones, "A dog runs .", "A dog runs .", "Two dogs run .") == {}
    assert (
        answers(caption_rules.ones, "A man runs .", "A man runs .", "A man runs while an audience looks on .")
        == {}
    )


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (["A boy sits on a bench ."], {"Where is the boy relative to the bench?": "on"}),
        (["A dog is running next to the water ."], {"Where is the dog relative to the water?": "next to"}),
        (["A dog in front of a fence ."], {"Where is the dog relative to the fence?": "in front of"}),
        (["A man in a red shirt ."], {}),
        (["A girl smiles at the camera in the field ."], {}),
        (["A dog on a couch .", "A dog behind a couch ."], {}),
        (["A dog throws on a couch ."], {}),  # not where the dog is
    ],
)
def test_relations(captions, expected):
    assert answers(caption_rules.relations, *captions) == expected


def test_subject_actions_collect_what_captions_say():
    triples = caption_rules.subject_actions(
        parse_all(["A dog runs .", "A brown dog is running .", "The dog jumps ."])
    )
    assert [(t["question"], t["answer"], t["accepted"]) for t in triples] == [
        ("What is the dog doing?", "running", ["jumping", "running"])
    ]
    assert answers(caption_rules.subject_actions, "A boy runs .", "A woman is standing .") == {}  # who is it?


def test_deeds_whos_and_wheres():
    captions = ["A boy is riding a bicycle in the park .", "A little boy rides his bike ."]
    assert answers(caption_rules.action_objects, *captions) == {"What is the boy riding?": "bicycle"}
    assert answers(caption_rules.actors, *captions) == {"Who is riding the bicycle?": "boy"}
    assert answers(caption_rules.locations, *captions) == {"Where is the boy?": "in the park"}
    assert answers(caption_rules.action_objects, "A man rides a dirt bike .", "A man on a bicycle .") == {}
    assert answers(caption_rules.actors, "A boy rides a bike .", "A man rides a bike .") == {}
    assert answers(caption_rules.locations, "A woman with a poster on the wall .") == {}
    assert answers(caption_rules.locations, "A man and a dog in the snow .") == {}


def test_evidence_is_the_text_of_the_caption():
    captions = ["Nothing here .", "Look : a furry Brown dog , running !"]
    (triple,) = caption_rules.colors(parse_all(captions))
    start, end = triple["span"]
    assert captions[triple["source"]][start:end] == "a furry Brown dog"


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("a hot dog", ["hot dog"]),
        ("a boy slides down a slide", ["boy", "slide"]),
        ("two women and a child", ["woman", "child"]),
        ("a cow", ["cow"]),
        ("", []),
    ],
)
def test_mentions(caption, names):
    assert [mention.name for mention in parse(caption).mentions] == names


def test_present_needs_two_captions_and_knows_kinds():
    here = present(parse_all(["A puppy runs .", "A dog runs .", "A man ."]))
    assert set(here) == {"dog", "animal"}


@pytest.mark.parametrize(
    ("caption", "not_absent"),
    [
        ("an animal runs", {"dog", "cat", "animal"}),
        ("a person stands", {"man", "woman", "boy", "girl", "child", "person"}),
        ("a skateboarder", {"skateboard", "person", "man"}),
        ("skiing downhill", {"snow"}),
        ("no ball is here", {"ball"}),
        ("a boy slides", {"slide", "boy", "man"}),
    ],
)
def test_absent_is_careful(caption, not_absent):
    assert not not_absent & set(missing(parse_all([caption])))


def train_statistics():
    statistics = Statistics()
    for _ in range(3):
        statistics.add(parse_all(["A brown dog chases a ball .", "A black dog catches a ball ."]))
        statistics.add(parse_all(["A man rides a horse .", "The man is riding a white horse ."]))
        statistics.add(parse_all(["A cat sits on a couch .", "A white cat ."]))
    return statistics


def test_existence_is_balanced_and_true_to_captions():
    captions = parse_all(["A dog runs with a frisbee .", "A dog carries a frisbee ."])
    for seed in range(20):
        triples = existence(captions, train_statistics(), np.random.default_rng(seed))
        yes = [t["object"] for t in triples if t["answer"] == "yes"]
        no = [t["object"] for t in triples if t["answer"] == "no"]
        assert (
            len(yes) == len(no) and set(yes) <= set(present(captions)) and set(no) <= set(missing(captions))
        )
        assert len(set(no)) == len(no) and all("negative" in t for t in triples if t["answer"] == "no")


def test_pope_polls():
    captions = parse_all(["A dog runs .", "A dog plays ."])
    triples = pope(captions, train_statistics(), np.random.default_rng(0), 2)
    assert [t["type"] for t in triples] == [
        name for kind in ("random", "popular", "adversarial") for name in [f"pope_{kind}"] * 2
    ]
    for kind in ("random", "popular", "adversarial"):
        polled = [t for t in triples if t["type"] == f"pope_{kind}"]
        assert sorted(t["answer"] for t in polled) == ["no", "yes"]
        assert all(OBJECT_CLASSES[t["object"]].kind != "scene" for t in polled)


def test_adversarial_goes_with_what_is_there():
    captions = parse_all(["A dog runs on a lawn .", "A dog digs ."])
    triples = pope(captions, train_statistics(), np.random.default_rng(0), 2)
    assert [t["object"] for t in triples if t.get("negative") == "adversarial"] == ["ball"]


def test_attributes_ask_for_a_clearly_different_color():
    captions = parse_all(["A brown dog ."])
    triples = attributes(
        caption_rules.colors(captions), captions, train_statistics(), np.random.default_rng(0)
    )
    assert [(t["question"], t["answer"]) for t in triples] == [
        ("Is there a brown dog?", "yes"),
        ("Is there a black dog?", "no"),
    ]


def test_articles():
    assert question("umbrella") == "Is there an umbrella?" and question("snow") == "Is there snow?"


def test_object_table_is_sound():
    assert len(OBJECT_CLASSES) >= 100
    for name in OBJECT_CLASSES:
        assert name not in ancestors(name) and name in RELATIVES[name]
        assert all(parent in OBJECT_CLASSES for parent in OBJECT_CLASSES[name].parents)
    owners = {}
    for name, forms in surface_forms().items():
        for form in forms:
            assert owners.setdefault(form, name) == name, form


@pytest.mark.parametrize(
    ("verb", "ending", "third"),
    [("run", "running", "runs"),
     ("ride", "riding", "rides"), ("lie", "lying", "lies"), ("carry", "carrying", "carries"),
     ("catch", "catching", "catches"), ("play", "playing", "plays"), ("hit", "hitting", "hits")],
)  # fmt: skip
def test_verb_forms(verb, ending, third):
    assert (ing(verb), third_person(verb)) == (ending, third)


WORDS = st.sampled_from(
    "a the two brown black dog dogs man boy in on with is riding runs bike snow . , and shirt ' ! é".split()
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=5))
def test_any_captions_give_short_lower_case_answers(texts):
    captions = parse_all(texts)
    for triple in caption_rules.open_questions(captions, np.random.default_rng(0)):
        assert triple["answer"] == triple["answer"].lower() and 0 < len(triple["answer"].split()) <= 4
        start, end = triple["span"]
        assert 0 <= start < end <= len(texts[triple["source"]])
    assert not set(present(captions)) & set(missing(captions))


def test_an_owner_is_not_the_object():
    assert answers(caption_rules.action_objects, "A man is holding a child 's hand .") == {}
    assert answers(caption_rules.action_objects, "A man is holding a child .") == {
        "What is the man holding?": "child"
    }
