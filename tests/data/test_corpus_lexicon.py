"""Questions from the captions themselves: rules by hand-made examples, and what must hold for any text."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core import registry
from sightline.data.questions.corpus_parse import read
from sightline.data.questions.language import FAMILIES
from sightline.data.questions.lexicons import corpus
from sightline.data.questions.noun_phrases import is_title, parse, subjects
from sightline.data.questions.word_tagger import WordTagger

TAGGERS = {
    code: WordTagger(registry.load(corpus.LANGUAGES, code).LANGUAGE)
    for code in registry.names(corpus.LANGUAGES)
}
COLORS = ("red", "blue", "green", "black")
MATERIALS = ("cotton", "wool", "linen")
GOODS = ("dress", "mug", "lamp", "chair")
SHOP = [
    (f"{color.title()} {material} {thing}", f"A {thing} for every day. The {thing} comes in a box.")
    for thing in GOODS
    for color in COLORS
    for material in MATERIALS
]
PHOTOS = [
    ["A brown dog runs in the snow .", "A brown dog runs .", "The dog is running in the snow ."],
    ["Two men play with a ball .", "Two men kick a ball .", "Two men ."],
    ["A man rides a white horse .", "A man on a white horse .", "A man is riding a horse ."],
    ["A black dog catches a ball .", "A black dog with a ball .", "The dog jumps ."],
    ["A woman sits on a red bench .", "A woman on a red bench .", "The woman rests on a bench ."],
]  # fmt: skip


def counted(items, language="en"):
    lexicon = corpus.build(language)
    for number, (title, *texts) in enumerate(items):
        lexicon.count({"id": f"i{number}", "title": title, "captions": [text for text in texts if text]})
    lexicon.finish()
    return lexicon


def shop():
    return counted([(title, title, text) for title, text in SHOP])


def photos():
    return counted([("", *captions) for captions in PHOTOS * 8])


def asked(lexicon, texts, title="", seed=0):
    triples = lexicon.questions(texts, title, np.random.default_rng(seed))
    return {triple["question"]: triple["answer"] for triple in triples}


@pytest.mark.parametrize(
    ("language", "title", "thing"),
    [
        ("en", "Women's red cotton maxi dress with long sleeves", "dress"),
        ("en", "Nike Air 90 Men Running Shoes 750 ml", "shoe"),
        ("en", "Set of 3 Cotton Towels, Blue", "towel"),
        ("en", "T-shirt Navy Blue Slim Fit", "t-shirt"),
        ("en", "Black & White Dress", "dress"),
        ("en", "woman wearing a hat", "woman"),
        ("en", "Dress Woman Red", "dress"),
        ("en", "Case for a Sofa", "case"),
        ("en", "Shirt and Trousers", None),
        ("en", "horse riding", None),
        ("de", "Rotes Baumwollkleid mit langen Ärmeln", "kleid"),
        ("de", "Damen-Sonnenbrille aus Holz", "sonnenbrille"),
        ("de", "Kaffeebecher aus Keramik, dunkelblau", "kaffeebecher"),
    ],
)
def test_what_a_title_is_about(language, title, thing):
    text = parse(title, TAGGERS[language], title=True)
    found = [text.words[phrase.head].lemma for phrase in subjects(text, TAGGERS[language].language)]
    assert found[-1:] == ([thing] if thing else [])


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        ("A brown dog runs through the deep snow .", ["dog", "snow"]),
        ("Two men watch a dog swimming in the lake .", ["man", "dog", "lake"]),
        ("A black and white dog house is on two logs .", ["house", "log"]),
        ("A sky blue umbrella .", ["umbrella"]),
        ("A skateboarder on a skateboard .", ["skateboarder", "skateboard"]),
    ],
)
def test_things_of_a_sentence(text, heads):
    parsed = parse(text, TAGGERS["en"], title=False)
    assert [parsed.words[phrase.head].lemma for phrase in parsed.phrases] == heads


def test_titles_have_no_article_and_no_full_stop():
    english = TAGGERS["en"].language
    assert is_title("Steel Water Bottle", english)
    assert not is_title("A dog runs", english) and not is_title("Best-selling bottle.", english)


def test_a_catalogue_is_asked_what_it_is_and_of_what():
    found = asked(shop(), ["Blue wool mug"], "Blue wool mug")
    assert found["What is this?"] == "mug" and found["Is this a mug?"] == "yes"
    assert found["What color is the mug?"] == "blue" and found["What is the mug made of?"] == "wool"
    assert found["Is the mug blue?"] == "yes" and found["Is the mug made of wool?"] == "yes"
    assert sorted(found.values()).count("no") == 3


@pytest.mark.parametrize(
    ("texts", "missing"),
    [
        (["Blue mug", "Also available in red."], "color"),  # which one is it?
        (["Mug with blue handle"], "color"),  # of the handle
        (["Green tea mug"], "color"),  # of the tea
        (["Faux wool mug"], "material"),
        (["Multicolor mug"], "color"),
    ],
)
def test_an_uncertain_attribute_is_not_asked_for(texts, missing):
    lexicon = shop()
    triples = lexicon.questions(texts, texts[0], np.random.default_rng(0))
    assert triples and missing not in {triple["type"] for triple in triples}


def test_a_key_gives_its_value_and_a_shade_its_colour():
    found = asked(shop(), ["Mug", "Color: navy blue; Material: linen"], "Mug")
    assert found["What color is the mug?"] == "blue" and found["What is the mug made of?"] == "linen"


def test_a_relative_or_a_compound_is_never_called_absent():
    titles = [f"{color} {thing}" for color in COLORS for thing in ("sofa", "couch", "mug", "teapot", "pot")]
    lexicon = counted([(title, title) for title in titles * 3])
    asked_of = {
        thing: {
            triple["object"]
            for seed in range(30)
            for triple in lexicon.questions([f"red {thing}"], f"red {thing}", np.random.default_rng(seed))
            if triple["answer"] == "no" and triple["type"] == "existence"
        }
        for thing in ("sofa", "teapot")
    }
    assert "couch" not in asked_of["sofa"] and asked_of["sofa"]
    assert "pot" not in asked_of["teapot"]


def test_photos_are_asked_what_their_captions_agree_on():
    lexicon = photos()
    found = asked(lexicon, PHOTOS[0])
    assert found["What color is the dog?"] == "brown"
    assert asked(lexicon, PHOTOS[1])["How many men are there?"] == "2"
    everything = [asked(lexicon, PHOTOS[0], seed=seed) for seed in range(20)]
    assert any(found.get("Is there a dog?") == "yes" for found in everything)
    assert any("no" in found.values() for found in everything)


def test_another_word_for_the_same_is_not_called_absent():
    """Some say man, some say guy, hardly anybody says both: neither is absent where the other is."""
    captions = [
        ["A man sits .", "A guy sits on a bench .", "A man rests ."],
        ["A dog .", "A dog .", "A dog ."],
    ]
    lexicon = counted([("", *texts) for texts in captions * 10])
    for seed in range(20):
        found = asked(lexicon, ["A guy jumps .", "A guy with a dog .", "The guy and the dog ."], seed=seed)
        assert "Is there a man?" not in found


def test_one_caption_is_no_ground_to_call_a_thing_absent():
    lexicon = counted([("", captions[0]) for captions in PHOTOS * 8])
    for captions in PHOTOS:
        assert "no" not in {a for q, a in asked(lexicon, captions[:1]).items() if q.startswith("Is there")}
    assert any(sentence.startswith("no questions about what is not shown") for sentence in lexicon.left_out())


def test_german():
    farben, stoffe = ("Rotes", "Blaues", "Grünes"), ("Baumwolle", "Wolle", "Leinen")
    titles = [
        f"{farbe} {ding} aus {stoff}" for farbe in farben for stoff in stoffe for ding in ("Kleid", "Sofa")
    ]
    lexicon = counted([(title, title) for title in titles], "de")
    found = asked(lexicon, ["Rotes Kleid aus Wolle"], "Rotes Kleid aus Wolle")
    assert found["Was ist das?"] == "kleid" and found["Handelt es sich um Folgendes: Kleid?"] == "yes"
    assert found["Welche Farbe hat Folgendes: Kleid?"] == "rot"
    assert found["Aus welchem Material ist Folgendes: Kleid?"] == "wolle"
    assert found["Handelt es sich um Folgendes: Sofa?"] == "no"


FOREIGN = {
    "zh": [f"{color}色的汽车放在桌子上" for color in "红蓝绿黑白黄紫灰"],
    "ja": [f"{color}い車が机の上にある" for color in "赤青白黒"] * 2,
    "fr": ["Robe rouge en coton avec manches longues", "Tasse à café bleue faite à la main",
           "Un chien brun court dans la neige", "Chaussures de course pour homme"] * 2,
}  # fmt: skip


@pytest.mark.parametrize("code", sorted(FOREIGN))
def test_another_language_gives_no_question_and_is_named(code):
    declared = counted([(text, text) for text in FOREIGN[code]], code)
    assert not asked(declared, FOREIGN[code][:1]) and not declared.objects()
    assert f"in the language '{code}'" in declared.left_out()[0]
    undeclared = counted([(text, text) for text in FOREIGN[code]], "en")
    assert not asked(undeclared, FOREIGN[code][:1]) and not undeclared.objects()
    assert "convert.language" in undeclared.left_out()[0]


def test_things_named_once_are_said_to_teach_nothing():
    lexicon = counted([("Steel mug", "Steel mug"), ("Oak chair", "Oak chair")])
    assert lexicon.left_out() == ["no short questions: of 2 training items no two name the same thing"]
    assert not asked(lexicon, ["Steel mug"], "Steel mug")


def test_polls_are_half_yes_and_the_same_yes_in_all_three():
    lexicon = shop()
    triples = lexicon.polls(["Red wool chair"], "Red wool chair", np.random.default_rng(0), 2)
    assert [(t["type"], t["answer"]) for t in triples] == [
        (f"pope_{kind}", answer) for kind in ("random", "popular", "adversarial") for answer in ("yes", "no")
    ]
    assert {t["object"] for t in triples if t["answer"] == "yes"} == {"chair"}


def test_the_order_of_the_training_items_changes_nothing():
    items = [(title, title, text) for title, text in SHOP]
    first = corpus.build("en")
    for number, (title, *texts) in reversed(list(enumerate(items))):
        first.count({"id": f"i{number}", "title": title, "captions": texts})
    first.finish()
    second = counted(items)
    assert [asked(first, [title, text], title) for title, text in SHOP[:8]] == [
        asked(second, [title, text], title) for title, text in SHOP[:8]
    ]


def test_the_words_of_a_language_are_sound():
    for code, tagger in TAGGERS.items():
        language = tagger.language
        assert set(language.families) == set(FAMILIES)
        for family in language.families.values():
            values = set(family.words.values())
            assert family.rivals <= values, (code, family.rivals - values)
            assert all(value in family.compatible(value) for value in values)


CAPTION = st.lists(
    st.sampled_from(
        """a the two red blue wool cotton striped dress mug dogs dog chair with in of and , . : Color is made
        runs 's also not 中 é 12""".split()
    ),
    max_size=12,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(CAPTION, min_size=1, max_size=4), st.booleans(), st.integers(0, 5))
def test_a_no_is_never_asked_for_a_word_of_the_captions(texts, titled, seed):
    title = texts[0] if titled else ""
    for lexicon in (SHOP_LEXICON, PHOTO_LEXICON):
        rng = np.random.default_rng(seed)
        triples = lexicon.questions(texts, title, rng) + lexicon.polls(texts, title, rng, 2)
        words = {word for item in [read(texts, title, TAGGERS["en"])] for word in item.words()}
        denied = [triple for triple in triples if triple["answer"] == "no" and triple["type"] != "attribute"]
        assert words.isdisjoint(triple["object"] for triple in denied)
        for triple in triples:
            assert triple["answer"] == triple["answer"].lower() and 0 < len(triple["answer"].split()) <= 4
            if triple["answer"] == "no" and triple["type"] == "attribute":
                assert triple["question"].rstrip("?").split()[-1] not in words
            if "span" in triple:
                start, end = triple["span"]
                source = texts[triple["source"]] if triple["source"] != "title" else title
                assert 0 <= start < end <= len(source)


SHOP_LEXICON, PHOTO_LEXICON = shop(), photos()


def test_a_table_of_few_products():
    """A table of few products: bottle, socks, mug; each has its questions."""
    note = "Our best-selling article. Free returns, 2-year warranty."
    things, stuffs = ("Water Bottle", "Crew Socks", "Coffee Mug"), ("Steel", "Oak", "Linen")
    rows = [(f"{stuff} {thing}", note) for thing in things for stuff in stuffs * 2]
    lexicon = counted([(title, title, text) for title, text in rows])
    found = asked(lexicon, list(rows[0]), rows[0][0])
    assert found["What is this?"] == "water bottle" and found["What is the water bottle made of?"] == "steel"
    assert json.loads(json.dumps(lexicon.objects())) == lexicon.objects()


def test_languages_are_files():
    folder = Path(corpus.__file__).parents[1] / "languages"
    assert registry.names(corpus.LANGUAGES) == sorted(
        path.stem for path in folder.glob("*.py") if path.stem != "__init__"
    )
