"""Ranks of validation pairs, block by block."""

import torch

from sightline.core.runtime import Runtime
from sightline.train import distributed
from sightline.train.tasks import alignment
from sightline.train.tasks.alignment import ranks

ALONE = Runtime("cpu", 0, 1, 1)


def test_by_hand_and_a_tie_counts_against_the_model():
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    image = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    of_image, of_text = ranks(text, image, ALONE)
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
        found = ranks(text, image, ALONE)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_shares_of_processes_add_up_to_the_ranks(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    text, image = (torch.randint(-3, 4, (53, 4), generator=generator).float() for _ in range(2))
    expected = ranks(text, image, ALONE)
    monkeypatch.setattr(alignment, "RANKED", 10)  # six blocks of texts for four processes
    monkeypatch.setattr(distributed, "total", lambda counts, run: counts)
    shares = [ranks(text, image, Runtime("cpu", rank, 4, 1)) for rank in range(4)]
    assert all((of_image == 0).sum() >= 30 for of_image, _ in shares)
    for found, whole in zip(zip(*shares, strict=True), expected, strict=True):
        assert torch.equal(torch.stack(found).sum(0), whole)
