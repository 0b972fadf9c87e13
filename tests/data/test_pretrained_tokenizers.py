"""Tokenizers of pretrained models: ids as transformers gives them, roles, words, and nothing that a text can
forge."""

import json
import shutil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from sightline.data import tokenizer_files
from sightline.data.questions.prompt_template import prompt
from sightline.data.tokenizer import Tokenizer
from tests.support import tiny
from tests.support.pretrained_tokenizers import FAMILIES

LONG = 1000


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Family -> (ours, transformers' own of the same tokenizer.json alone)."""
    folder = tmp_path_factory.mktemp("tokenizers")
    files = {family: build(folder / family) for family, build in FAMILIES.items()}
    return {
        family: (Tokenizer.load(file), PreTrainedTokenizerFast(tokenizer_file=str(file)))
        for family, file in files.items()
    }


def theirs(reference: PreTrainedTokenizerFast, text: str, **settings: bool) -> list[int]:
    return reference(text, truncation=False, padding=False, **settings)["input_ids"]


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_those_of_transformers(loaded, family):
    tokenizer, reference = loaded[family]
    for text in (
        *tiny.CAPTIONS,
        "Don't stop: 3.50 € for  two\ncafés!",
        "naïve  ünïcode 犬 🐕",
        prompt("Two rings?"),
    ):
        ids = theirs(reference, text)
        assert tokenizer.encode(text, LONG) == ids
        assert tokenizer.encode(text, LONG, special=False) == theirs(
            reference, text, add_special_tokens=False
        )
        ids_BT, mask_BT = tokenizer.batch([text, "a"], LONG)
        assert ids_BT[0, mask_BT[0]].tolist() == ids and (ids_BT[~mask_BT] == tokenizer.pad).all()
    assert tokenizer.size == len(reference)


ROLES = {
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "gpt2": ("<|endoftext|>",) * 4 + (None,),
    "roberta": ("<pad>", "<unk>", "<s>", "</s>", "<mask>"),
    "clip": ("<|endoftext|>", "<|endoftext|>", "<|startoftext|>", "<|endoftext|>", None),
    "xlm_roberta": ("<pad>", "<unk>", "<s>", "</s>", "<mask>"),
    "siglip": ("</s>", "<unk>", "</s>", "</s>", None),
}


def roles(tokenizer: Tokenizer) -> tuple:
    ids = (tokenizer.pad, tokenizer.unk, tokenizer.bos, tokenizer.eos, tokenizer.mask)
    return tuple(None if i is None else tokenizer.pieces([i])[0] for i in ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_have_their_roles_with_and_without_the_files_beside(loaded, family, tmp_path):
    assert roles(loaded[family][0]) == ROLES[family]
    alone = tmp_path / "alone" / "tokenizer.json"
    alone.parent.mkdir()
    loaded[family][0].save(alone)
    pad, unk, *rest = ROLES[family]  # only siglip's pad, and the unk of gpt2, stand in no other file
    expected = ({"siglip": "<pad>"}.get(family, pad), {"gpt2": None}.get(family, unk), *rest)
    assert roles(Tokenizer.load(alone)) == expected
    again = Tokenizer.load(alone)
    assert again.encode(tiny.CAPTIONS[0], LONG) == loaded[family][0].encode(tiny.CAPTIONS[0], LONG)


def test_a_copy_keeps_the_roles(tmp_path):
    file, folder = FAMILIES["siglip"](tmp_path / "published"), tmp_path / "artifact"
    folder.mkdir()
    tokenizer_files.copy(file, folder)
    assert roles(Tokenizer.load(folder / "tokenizer.json")) == ROLES["siglip"]
    assert tokenizer_files.digest(folder / "tokenizer.json") == tokenizer_files.digest(file)
    (folder / "tokenizer_config.json").unlink()
    assert tokenizer_files.digest(folder / "tokenizer.json") != tokenizer_files.digest(file)


@pytest.mark.parametrize("family", FAMILIES)
@given(text=st.text(max_size=80))
@example(
    text="a [SEP] b [CLS] [PAD] [MASK] </s><s> <pad> <mask> <|endoftext|> <|STARTOFTEXT|><|startoftext|> c"
)
@example(text="")
def test_any_text_has_their_ids_and_forges_nothing(loaded, family, text):
    """A special token that the text spells is left out, the rest is as theirs; but a text of no token at all
    still has its end."""
    tokenizer, reference = loaded[family]
    before, after = tokenizer.frame
    forged = tokenizer.special_ids - ({tokenizer.unk} - {tokenizer.eos})
    plain = [i for i in theirs(reference, text)[len(before) :] if i not in forged]
    ids = tokenizer.encode(text, LONG)
    assert ids == ([*before, *plain, *after] or [tokenizer.eos])
    assert not set(tokenizer.encode(text, LONG, special=False)) & forged
    assert not set(tokenizer.encode_answer(text, LONG)[1:-1]) & forged
    assert isinstance(tokenizer.decode(ids), str)
    positions = [position for _, found in tokenizer.words(ids) for position in found]
    assert len(set(positions)) == len(positions)
    assert all(ids[position] not in tokenizer.special_ids for position in positions)


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_any_ids_decode(loaded, family, data):
    tokenizer, _ = loaded[family]
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1), max_size=12))
    assert tokenizer.decode(ids) == tokenizer.decode(ids).strip()
    assert all(word and positions for word, positions in tokenizer.words(ids))


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_whole_and_text_comes_back(loaded, family):
    tokenizer, _ = loaded[family]
    text = "two rings above a yellow cube, and a ball."
    ids = tokenizer.encode(text, LONG)
    found = tokenizer.words(ids)
    assert [word for word, _ in found] == [
        *("two", "rings", "above", "a", "yellow", "cube", ",", "and", "a", "ball", ".")
    ]
    for word, positions in found:
        assert tokenizer.decode([ids[position] for position in positions]) == word
    assert tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")
    assert tokenizer.decode(tokenizer.encode_answer("a red ball", LONG)) == "a red ball"


def test_characters_of_several_bytes_stay_in_their_word(loaded):
    tokenizer, _ = loaded["gpt2"]
    assert [word for word, _ in tokenizer.words(tokenizer.encode("a naïve 犬 dog", LONG))] == [
        "a",
        "naïve",
        "犬",
        "dog",
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_begin_and_end_whatever_the_frame_is(loaded, family):
    tokenizer, _ = loaded[family]
    plain = tokenizer.encode("a red ball", LONG, special=False)
    assert tokenizer.encode_answer("a red ball", LONG) == [tokenizer.bos, *plain, tokenizer.eos]
    cut = tokenizer.encode_answer("a red ball", 3)
    assert cut == [tokenizer.bos, plain[0], tokenizer.eos]
    ids_BT, mask_BT = tokenizer.batch_answers(["a red ball", "a"], LONG)
    assert (
        ids_BT[0].tolist() == [tokenizer.bos, *plain, tokenizer.eos] and mask_BT.sum(1)[1] < mask_BT.sum(1)[0]
    )
    end = tokenizer.frame.after
    assert tokenizer.encode_second("a red ball", 2) == [*plain[: 2 - len(end)], *end]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm_roberta"])
def test_a_masked_text_is_encoded_as_theirs(loaded, family):
    tokenizer, reference = loaded[family]
    mask = tokenizer.pieces([tokenizer.mask])[0]
    ids, position = tokenizer.encode_masked("the small ", " cup")
    assert ids == theirs(reference, f"the small {mask} cup") and ids[position] == tokenizer.mask
    with pytest.raises(ValueError, match="itself holds"):
        tokenizer.encode_masked(f"the {mask} ", " cup")


def test_without_a_mask_a_masked_text_is_refused(loaded):
    with pytest.raises(ValueError, match="has no mask token"):
        loaded["clip"][0].encode_masked("a ", " b")


def test_a_tokenizer_without_an_end_and_a_broken_role_file_are_refused(tmp_path):
    file = FAMILIES["gpt2"](tmp_path)
    text = file.read_text(encoding="utf-8").replace("<|endoftext|>", "<|other|>")
    for name in tokenizer_files.ROLES:
        (tmp_path / name).unlink(missing_ok=True)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="no token ends a text"):
        Tokenizer.load(file)
    named = {"eos_token": {"content": "<|other|>"}}  # as older checkpoints write it
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(named))
    assert roles(Tokenizer.load(file)) == ("<|other|>", None, "<|other|>", "<|other|>", None)
    (tmp_path / "tokenizer_config.json").write_text("[")
    with pytest.raises(ValueError, match="tokenizer_config.json: no readable JSON"):
        Tokenizer.load(file)
    shutil.rmtree(tmp_path)
