"""A tokenizer written for others: `AutoTokenizer` reads texts as the model does, and so do we again."""

import pytest
from transformers import AutoTokenizer

from sightline.data import transformers_tokenizer
from sightline.data.tokenizer import Tokenizer
from tests.support import tiny
from tests.support.pretrained_tokenizers import FAMILIES

TEXTS = [*tiny.CAPTIONS, "Don't stop: 3.50 € for  two\ncafés!", "naïve  ünïcode 犬 🐕", "ball " * 60]
LONGEST = 24


@pytest.mark.parametrize("family", ["trained", *FAMILIES])
def test_other_programs_get_the_same_ids(family, tmp_path):
    ours = tiny.tokenizer() if family == "trained" else Tokenizer.load(FAMILIES[family](tmp_path / "from"))
    transformers_tokenizer.write(tmp_path, ours, LONGEST)
    theirs, again = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.load(tmp_path / "tokenizer.json")
    for text in TEXTS:
        ids = ours.encode(text, LONGEST)
        assert theirs(text, truncation=True).input_ids == ids == again.encode(text, LONGEST)
    ids_BT, mask_BT = ours.batch(TEXTS, LONGEST, pad_to=LONGEST)
    padded = theirs(TEXTS, padding="max_length", truncation=True, return_tensors="np")
    assert (padded.input_ids == ids_BT).all() and (padded.attention_mask == mask_BT).all()
    for role in ("pad", "unk", "bos", "eos", "mask"):
        assert getattr(again, role) == getattr(ours, role)
    assert again.frame == ours.frame and again.special_ids == ours.special_ids
