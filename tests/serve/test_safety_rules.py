"""The filters themselves: folding, patterns, check digits, masks; values by hand."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.params.checks import ParamsError
from sightline.serve.safety import personal_data, safety_reference
from sightline.serve.safety.personal_data import find, iban, luhn, masked
from sightline.serve.safety.phrase_rules import Lexicon, PatternError, Rules
from sightline.serve.safety.screen import Screen, Verdict
from sightline.serve.safety.text_folding import words

ROOT = Path(__file__).resolve().parents[2]
KINDS = tuple(personal_data.FINDERS)
FINE = {"sure": True, "out_of_domain": False, "question_out_of_domain": False}


@pytest.fixture(scope="module")
def screen():
    return Screen(str(ROOT / "deploy" / "safety" / "default.yaml"))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("What's HIS name?", ["what", "is", "his", "name"]),
        ("the man's race, the players' race", ["the", "man's", "race", "the", "players's", "race"]),
        ("Ｗｈａｔ r\u200bace", ["what", "race"]),
        ("ráçe rасe", ["race", "race"]),  # the second with a Cyrillic a and c
        ("r4c3 w1th", ["race", "with"]),
        ("w h a t  r a c e  i s  h e", ["what", "race", "is", "he"]),
        ("what r-a-c-e is he", ["what", "race", "is", "he"]),
        ("12 men at 10:30", ["12", "men", "at", "10", "30"]),
        ("Isn’t he?", ["is", "he"]),
        ("", []),
    ],
)
def test_a_text_is_read_as_its_words(text, read):
    assert words(text) == read


@given(st.text(max_size=200))
def test_any_text_is_read_and_masked_without_an_error(text):
    screen = Screen(str(ROOT / "deploy" / "safety" / "default.yaml"))
    assert all(word == word.casefold() for word in words(text) if word.isascii())
    given_text, verdict = screen.answer(text, FINE)
    assert (given_text == text) == (verdict.decision != "masked")
    assert set(screen.categories(text)) <= {reason for reason in screen.rules.categories}


@pytest.mark.parametrize(
    ("pattern", "caught", "spared"),
    [
        ("a|b c", "x b c", "b x c"),
        ("a b? c", "a c", "a x c"),
        ("a .. c", "a 1 2 3 4 5 c", "a 1 2 3 4 5 6 c"),
        ("ra* x", "race x", "trace x"),
        ("^ a $", "a", "a b"),
        ("a & b", "b then a", "a then c"),
        ("<one> _ end", "man tall end", "man the end"),
        ("<one>'s hat", "man's hat", "man hat"),
        ("x !<one>", "x car", "x man"),
        ("x !<one> ", "x car", "x the"),
        ("<more>", "two men", "two cars"),
    ],
)
def test_patterns_mean_what_the_file_says(pattern, caught, spared):
    lexicon = Lexicon({"one": ["man|men", "*woman"], "more": ["two <one>"]}, "the of")
    rules = Rules(lexicon, (), (pattern,))
    assert rules.catches(lexicon.annotated(caught.split()))
    assert not rules.catches(lexicon.annotated(spared.split()))


def test_spare_takes_its_words_out_before():
    lexicon = Lexicon({}, "")
    rules = Rules(lexicon, ("race car",), ("race",))
    assert not rules.catches(lexicon.annotated("a race car".split()))
    assert rules.catches(lexicon.annotated("a race car race".split()))


@pytest.mark.parametrize("pattern", ["<none>", "a & ", "(a)", "a|", "!<none>"])
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(PatternError, match="list|no word|empty"):
        Lexicon({"one": ["man"]}, "").pattern(pattern)


@pytest.mark.parametrize(
    ("digits", "right"),
    [
        ("79927398713", True), ("79927398710", False), ("4111111111111111", True),
        ("4111111111111112", False), ("378282246310005", True),
        ("5555555555554444", True), ("18", True), ("0", True),
    ],
)  # fmt: skip
def test_luhn_by_hand(digits, right):
    assert luhn(digits) is right


@given(st.text("0123456789", min_size=12, max_size=18), st.integers(0, 9))
def test_one_check_digit_fits_and_no_changed_digit_does(body, other):
    fitting = [check for check in "0123456789" if luhn(body + check)]
    assert len(fitting) == 1
    changed = str(other) + body[1:]
    assert luhn(changed + fitting[0]) == (changed == body)


@pytest.mark.parametrize(
    ("account", "right"),
    [
        ("GB82WEST12345698765432", True), ("GB82WEST12345698765431", False), ("DE89370400440532013000", True),
        ("de89370400440532013000", True), ("DE8937040044053201300", False), ("ZZ89370400440532013000", False),
        ("NO9386011117947", True), ("NO9386011117948", False),
    ],
)  # fmt: skip
def test_iban_by_hand(account, right):
    assert iban(account) is right


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mail a.b+c@mail.example.co.uk now", "mail [email] now"),
        ("anna (at) example (dot) org", "[email]"),
        ("ａｎｎａ@example.org", "[email]"),
        ("an@na\u200b@example.org", "an@[email]"),
        ("+44 20 7946 0958!", "[phone]!"),
        ("(212) 555-0187", "[phone]"),
        ("Tel. 555-1234", "Tel. [phone]"),
        ("paid with 4111-1111-1111-1111.", "paid with [card]."),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("IBAN GB82 WEST 1234 5698 7654 32, thanks", "IBAN [iban], thanks"),
        ("GB82 WEST 1234 5698 7654 33", "GB82 WEST 1234 5698 7654 33"),
        ("from 10.0.0.1 and 2001:db8::1", "from [ip] and [ip]"),
        ("999.1.1.1 at 10:30:45", "999.1.1.1 at 10:30:45"),
        ("version 10.2.3.4", "version 10.2.3.4"),
        ("in 1990-1995, ISBN 978-3-16-148410-0", "in 1990-1995, ISBN 978-3-16-148410-0"),
        ("a red ball left of 2 cups", "a red ball left of 2 cups"),
    ],
)
def test_masks_by_hand(text, shown):
    assert masked(text, find(text, KINDS)) == shown


@given(st.text("ab1 .@-:+()", max_size=80))
def test_what_was_masked_holds_nothing_more(text):
    once = masked(text, find(text, KINDS))
    assert find(once, KINDS) == [] or once != text
    assert masked(text, []) == text


def test_kinds_that_are_not_asked_for_stay():
    text = "anna@example.org, 10.0.0.1"
    assert masked(text, find(text, ("ip",))) == "anna@example.org, [ip]"


def test_personal_data_of_an_answer_is_masked(screen):
    given_text, verdict = screen.answer("call (212) 555-0187", FINE)
    assert given_text == "call [phone]"
    assert verdict == Verdict("masked", ("personal_data_phone",))


def test_verdicts_add_to_the_strictest_with_every_reason_once():
    both = Verdict("marked", ("answer_unsure",)).plus(
        Verdict("refused", ("question_race",)), Verdict("marked", ("answer_unsure",))
    )
    assert both == Verdict("refused", ("question_race", "answer_unsure"))


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("what a SHIT day", True),
        ("sh1t", True),
        ("s h i t", True),
        ("in Scunthorpe", False),
        ("a class", False),
    ],
)
def test_blocked_words_are_whole_words(screen, text, held):
    assert screen.holds_blocked_word(text) is held


def test_the_references_are_up_to_date(tmp_path):
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    written = safety_reference.write(tmp_path)
    assert len(written) == 3
    for path in written:
        there = ROOT / path.relative_to(tmp_path)
        assert path.read_text(encoding="utf-8") == there.read_text(encoding="utf-8"), (
            "sightline params --reference"
        )


def test_a_missing_value_names_the_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("rules: english.yaml\n")
    with pytest.raises(ParamsError, match=r"mine.yaml:1: classifier.weights: got nothing.*extends: default"):
        Screen(str(tmp_path / "mine.yaml"))
