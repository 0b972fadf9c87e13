"""Ranks of validation pairs, block by block."""

import torch

from sightline.train.tasks import alignment
from sightline.train.tasks.alignment import ranks


def test_by_hand_and_a_tie_counts_against_the_model():
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    image = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    of_image, of_text = ranks(text, image)
    assert of_image.tolist() == [1, 2, 2]
    assert of_text.tolist() == [1, 1, 2]


def test_blocks_give_the_ranks_of_the_whole_table(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    text, image = (torch.randint(-3, 4, (53, 4), generator=generator).float() for _ in range(2))
    score = text @ image.T  # whole numbers: exact, with many ties
    match = score.diagonal()
    expected = (score >= match[:, None]).sum(1), (score >= match[None, :]).sum(0)
    for rows in (1, 10, 53, 100):
        monkeypatch.setattr(alignment, "RANKED", rows)
        found = ranks(text, image)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
