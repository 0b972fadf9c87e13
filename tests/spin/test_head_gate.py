"""The SPIN gate against values computed by hand, and its properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.spin import gate as spin

SRC = str(__import__("pathlib").Path(spin.__file__).parents[2])


def gate_of(masses: list[float], k: int, alpha: float) -> list[float]:
    scores_BHT = torch.tensor(masses)[None, :, None]
    return spin.gate(scores_BHT, torch.tensor(k), torch.tensor(alpha))[0, :, 0].tolist()


def test_gate_by_hand():
    assert gate_of([0.9, 0.1, 0.5, 0.3], k=2, alpha=0.25) == [1.0, 0.25, 1.0, 0.25]
    assert gate_of([0.9, 0.1, 0.5, 0.3], k=1, alpha=0.0) == [1.0, 0.0, 0.0, 0.0]
    assert gate_of([0.9, 0.1, 0.5, 0.3], k=4, alpha=0.0) == [1.0, 1.0, 1.0, 1.0]


def test_ties_go_to_the_lower_head():
    assert gate_of([0.5, 0.5, 0.5, 0.5], k=2, alpha=0.0) == [1.0, 1.0, 0.0, 0.0]
    assert gate_of([0.2, 0.7, 0.7, 0.7], k=2, alpha=0.5) == [0.5, 1.0, 1.0, 0.5]


def test_ties_of_large_sums_go_to_the_lower_head_too():
    logits_BHTM = torch.full((1, 4, 1, 600), 5.0)  # 3,000 a head: more steps than float32 can halve
    logits_BHTM[:, 3] = 4.0
    image_BM = torch.ones(1, 600, dtype=torch.bool)
    sums_BHT = spin.scores(logits_BHTM.softmax(-1), logits_BHTM, image_BM, "logit_sum")
    assert sums_BHT.flatten().tolist() == [3000.0, 3000.0, 3000.0, 2400.0]
    gates_BHT = spin.gate(sums_BHT, torch.tensor(2), torch.tensor(0.25))
    assert gates_BHT.flatten().tolist() == [1.0, 1.0, 0.25, 0.25] and gates_BHT.dtype == torch.float32


def test_differences_below_the_resolution_are_ties():
    # 0.50003 and 0.50001 both round to 0.5000: the lower index wins although its mass is smaller.
    assert gate_of([0.50001, 0.50003], k=1, alpha=0.0) == [1.0, 0.0]
    assert gate_of([0.5001, 0.5003], k=1, alpha=0.0) == [0.0, 1.0]


def test_all_mass_on_the_image_minus_rounding_is_a_tie():
    masses = [1.0, 1.0 - 6e-8, 1.0 - 1.2e-7, 1.0]
    assert gate_of(masses, k=2, alpha=0.0) == gate_of(masses[::-1], k=2, alpha=0.0) == [1.0, 1.0, 0.0, 0.0]


def test_scores_by_hand():
    logits_BHTM = torch.tensor([[[[0.0, 1.0, 2.0]], [[3.0, 0.0, 0.0]]]]).log1p()
    attn_BHTM = logits_BHTM.softmax(-1)  # exp(log1p(x)) = 1 + x: [1, 2, 3] / 6 and [4, 1, 1] / 6
    image_BM = torch.tensor([[True, False, True]])
    mass_BHT = spin.scores(attn_BHTM, logits_BHTM, image_BM, "mass")
    assert mass_BHT.flatten().tolist() == pytest.approx([4 / 6, 5 / 6], abs=1e-6)
    sum_BHT = spin.scores(attn_BHTM, logits_BHTM, image_BM, "logit_sum")
    assert sum_BHT.flatten().tolist() == pytest.approx([np.log(3), np.log(4)], abs=1e-6)
    with pytest.raises(ValueError, match="choose one of mass, logit_sum"):
        spin.scores(attn_BHTM, logits_BHTM, image_BM, "sum")


def test_mass_is_shift_invariant_and_logit_sum_is_not():
    """A constant added to one head's logits changes nothing about its attention, yet moves its published
    rank."""
    logits_BHTM = torch.tensor([[[[2.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]]])
    shifted_BHTM = logits_BHTM + torch.tensor([0.0, 5.0])[None, :, None, None]
    image_BM = torch.tensor([[True, False, False]])
    k, alpha = torch.tensor(1), torch.tensor(0.0)
    gates = {
        (kind, name): spin.gate(spin.scores(x.softmax(-1), x, image_BM, kind), k, alpha)[0, :, 0].tolist()
        for kind in spin.SCORES
        for name, x in (("plain", logits_BHTM), ("shifted", shifted_BHTM))
    }
    assert gates["mass", "plain"] == gates["mass", "shifted"] == gates["logit_sum", "plain"] == [1.0, 0.0]
    assert gates["logit_sum", "shifted"] == [0.0, 1.0]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 8),
    st.integers(1, 3),
    st.integers(1, 8),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_gate_properties(batch, heads, steps, k, alpha, seed):
    k = min(k, heads)
    scores_BHT = torch.rand(batch, heads, steps, generator=torch.Generator().manual_seed(seed))
    k_tensor, alpha_tensor = torch.tensor(k), torch.tensor(alpha)
    gate_BHT = spin.gate(scores_BHT, k_tensor, alpha_tensor)
    if np.float32(alpha) != 1:
        assert (gate_BHT == 1).sum(1).eq(k).all()
        assert (gate_BHT != 1).sum(1).eq(heads - k).all()
    for row in range(batch):  # a row alone is that row in a batch
        assert torch.equal(spin.gate(scores_BHT[row : row + 1], k_tensor, alpha_tensor)[0], gate_BHT[row])
    kept, lost = scores_BHT[gate_BHT == 1], scores_BHT[gate_BHT != 1]
    if batch == steps == 1 and len(lost) and len(kept):
        assert kept.min() >= lost.max() - spin.RESOLUTION


def test_heads_kept():
    assert spin.heads_kept(0.5, None, [0, 1], 2, 8) == [4, 4]
    assert spin.heads_kept(0.95, None, [0], 2, 32) == [30, 32]
    assert spin.heads_kept(0.01, None, [1], 2, 8) == [8, 1]
    assert spin.heads_kept(None, 3, [1], 2, 8) == [8, 3]
    assert spin.heads_kept(1, None, [0, 1], 2, 8) == [8, 8]
    assert spin.heads_kept(0.29, None, [0], 1, 100) == [29]  # 0.29 * 100 is 28.999999999999996


@pytest.mark.parametrize(
    ("keep", "top_k", "layers", "message"),
    [
        (None, None, [0], "exactly one of keep and top_k"),
        (0.5, 4, [0], "exactly one of keep and top_k"),
        (0.0, None, [0], r"in \(0, 1\]"),
        (1.5, None, [0], r"in \(0, 1\]"),
        (None, 9, [0], "1..8"),
        (0.5, None, [0, 2], r"names \[2\].*0..1"),
    ],
)
def test_heads_kept_refuses(keep, top_k, layers, message):
    with pytest.raises(ValueError, match=message):
        spin.heads_kept(keep, top_k, layers, 2, 8)


def test_near_ties_are_counted():
    maps_LBHTM = np.zeros((1, 2, 3, 1, 2), dtype=np.float32)
    maps_LBHTM[0, :, :, 0, 0] = [[0.9, 0.50005, 0.5], [0.9, 0.6, 0.5]]
    image_BM = np.array([[True, False], [True, False]])
    assert spin.near_ties(maps_LBHTM, image_BM, np.array([2])) == 1  # row 0: heads 1 and 2
    assert spin.near_ties(maps_LBHTM, image_BM, np.array([1])) == 0
    assert spin.near_ties(maps_LBHTM, image_BM, np.array([3])) == 0  # nothing is suppressed
