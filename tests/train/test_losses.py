"""Losses: values by hand, gradients, and the gradients of two processes against those of one."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from sightline.core import registry
from sightline.train.losses import info_nce, masked_tokens, matching, siglip, word_in_patch

CONTRASTIVE = ["info_nce", "siglip"]


def embeds(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(normalize(torch.randn(rows, 6, generator=generator, dtype=torch.float64)) for _ in range(2))


def test_info_nce_by_hand():
    identity = torch.eye(2)
    # Logits [[s, 0], [0, s]]: each row's loss is log(1 + exp(-s)).
    assert float(info_nce.loss(identity, identity, torch.tensor(2.0))) == pytest.approx(
        math.log1p(math.exp(-2))
    )
    uniform = torch.ones(4, 1)
    assert float(info_nce.loss(uniform, uniform, torch.tensor(3.0))) == pytest.approx(math.log(4))


def test_siglip_by_hand():
    # Two rows: the prior log-odds are -log(1) = 0. Pairs that match have logit s, the others 0.
    expected = (2 * math.log1p(math.exp(-2)) + 2 * math.log(2)) / 2
    identity = torch.eye(2)
    assert float(siglip.loss(identity, identity, torch.tensor(2.0))) == pytest.approx(expected)


@pytest.mark.parametrize("name", CONTRASTIVE)
def test_contrastive_losses_are_symmetric_and_order_free(name):
    loss = registry.load("train/losses", name).loss
    image, text = embeds(7)
    scale = torch.tensor(5.0, dtype=torch.float64)
    order = torch.tensor([3, 1, 0, 6, 2, 5, 4])
    torch.testing.assert_close(loss(image, text, scale), loss(text, image, scale))
    torch.testing.assert_close(loss(image, text, scale), loss(image[order], text[order], scale))
    assert loss(image, image, scale) < loss(image, image[order], scale)


@pytest.mark.parametrize("name", CONTRASTIVE)
def test_contrastive_gradients(name):
    loss = registry.load("train/losses", name).loss
    image, text = (x.requires_grad_() for x in embeds(4))
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (image, text, scale))


def test_word_in_patch_by_hand():
    # One image, two patches, two words: logits (log 3, log 1) pool to log((3 + 1) / 2) = log 2; (0, 0) pool
    # to 0.
    logits_BPW = torch.tensor([[[math.log(3), 0.0], [0.0, 0.0]]])
    shown = -math.log(2 / 3)  # sigmoid(log 2) = 2 / 3
    absent = -math.log(1 / 2)
    targets_BW = torch.tensor([[1.0, 0.0]])
    assert float(word_in_patch.loss(logits_BPW, targets_BW)) == pytest.approx(shown + absent)
    twice = word_in_patch.loss(logits_BPW.expand(2, 2, 2), targets_BW.expand(2, 2))
    assert float(twice) == pytest.approx(shown + absent)
    # 98 more words that are surely not shown change nothing; a picture without any word divides by no zero.
    many_BPW = torch.cat([logits_BPW, torch.full((1, 2, 98), -30.0)], 2)
    padded_BW = torch.nn.functional.pad(targets_BW, (0, 98))
    assert float(word_in_patch.loss(many_BPW, padded_BW)) == pytest.approx(shown + absent)
    assert torch.isfinite(word_in_patch.loss(many_BPW, 0 * padded_BW))


def test_matching_pairs_hold_what_they_say():
    similarity_BB = torch.zeros(6, 6)
    similarity_BB[torch.arange(6), (torch.arange(6) + 1) % 6] = 50.0  # the hardest wrong text is the next one
    image, text, label = matching.pairs(similarity_BB, 12, torch.Generator().manual_seed(0))
    assert len(image) == 12 and label.sum() == 4
    assert ((image == text) == (label == 1)).all()
    assert (text[4:8] == (image[4:8] + 1) % 6).all() and (text[8:] == (image[8:] + 1) % 6).all()
    assert torch.equal(image[:8], torch.cat([image[:4], image[:4]])) and torch.equal(text[8:], text[:4])
    assert len(matching.pairs(similarity_BB, 99)[0]) == 18
    assert float(matching.loss(3 * label, label)) == pytest.approx(math.log1p(math.exp(-3)))
    with pytest.raises(ValueError, match="batch_size of 2 or more"):
        matching.pairs(torch.zeros(1, 1), 3)


def test_mask_tokens_follows_the_published_shares():
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(5, 1000, (200, 50), generator=generator)
    ids_BT[:, 0], ids_BT[:, 40:] = 2, 0
    mask_BT = ids_BT != 0
    inputs_BT, targets_BT = masked_tokens.mask_tokens(
        ids_BT, mask_BT, 0.15, 4, 1000, [0, 1, 2, 3, 4], generator
    )
    chosen_BT = targets_BT != masked_tokens.IGNORED
    assert not chosen_BT[:, 0].any() and not chosen_BT[:, 40:].any()
    assert torch.equal(targets_BT[chosen_BT], ids_BT[chosen_BT])
    assert torch.equal(inputs_BT[~chosen_BT], ids_BT[~chosen_BT])
    masked = (inputs_BT == 4)[chosen_BT].float().mean()
    kept = (inputs_BT == ids_BT)[chosen_BT].float().mean()
    # 7,800 free tokens, 1,170 chosen: three standard deviations are 0.012, 0.035 and 0.026.
    assert abs(chosen_BT[:, 1:40].float().mean() - 0.15) < 0.012
    assert abs(masked - 0.8) < 0.035 and abs(kept - 0.1) < 0.027


def test_mlm_loss_by_hand_and_without_targets():
    logits_BTV = torch.zeros(1, 3, 4, requires_grad=True)
    targets_BT = torch.tensor([[1, masked_tokens.IGNORED, 3]])
    assert float(masked_tokens.loss(logits_BTV, targets_BT).detach()) == pytest.approx(math.log(4))
    nothing = masked_tokens.loss(logits_BTV, torch.full((1, 3), masked_tokens.IGNORED))
    nothing.backward()
    assert float(nothing.detach()) == 0 and (logits_BTV.grad == 0).all()


def gradients_of_one_process(rank: int, store: str, results) -> None:
    """One of two processes: its half of the batch, gradients averaged as DistributedDataParallel does."""
    import torch.distributed as dist

    from sightline.train.distributed import gather

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    for name in CONTRASTIVE:
        model, image, text = contrastive_problem()
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        half = slice(4 * rank, 4 * rank + 4)
        wrapped(name, image[half], text[half], gather).backward()
        if rank == 0:
            results.put({key: p.grad.tolist() for key, p in model.named_parameters()})
    dist.barrier()
    dist.destroy_process_group()


class TwoTowers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.image, self.text = torch.nn.Linear(5, 6), torch.nn.Linear(5, 6)
        self.scale = torch.nn.Parameter(torch.tensor(5.0))

    def forward(self, name, image, text, gather=None):
        embeds = normalize(self.image(image)), normalize(self.text(text))
        return registry.load("train/losses", name).loss(*embeds, self.scale, gather)


def contrastive_problem():
    torch.manual_seed(0)
    return TwoTowers(), torch.randn(8, 5), torch.randn(8, 5)


def test_two_processes_have_the_gradient_of_one(tmp_path: Path):
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(
            target=gradients_of_one_process, args=(rank, str(tmp_path / "store"), results), daemon=True
        )
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for name in CONTRASTIVE:
        got = results.get(timeout=120)
        model, image, text = contrastive_problem()
        model(name, image, text).backward()
        for key, parameter in model.named_parameters():
            # float32 sums over 8 rows in another order; a missing factor of 2 shows at order 1.
            torch.testing.assert_close(torch.tensor(got[key]), parameter.grad, atol=1e-6, rtol=1e-5)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]


def test_info_nce_with_several_texts_by_hand():
    """Two images, two texts each, equal to their image: a text has loss log(1 + e^-s); an image has, for each
    of its texts, log(2 + 2 e^-s), since the other of its own is a rival too."""
    image = torch.eye(2)
    found = info_nce.loss(image, image.repeat_interleave(2, 0), torch.tensor(2.0))
    to_text, to_image = math.log(2 + 2 * math.exp(-2)), math.log1p(math.exp(-2))
    assert float(found) == pytest.approx((to_text + to_image) / 2)


def test_siglip_with_several_texts_is_the_mean_over_one_text_each():
    image, text = embeds(5)
    scale = torch.tensor(3.0, dtype=torch.float64)
    other = text.roll(1, 0)
    both = torch.stack([text, other], 1).flatten(0, 1)
    expected = (siglip.loss(image, text, scale) + siglip.loss(image, other, scale)) / 2
    torch.testing.assert_close(siglip.loss(image, both, scale), expected)


def test_siglip_with_a_bias_of_its_own_by_hand():
    # Logits s + b for the pairs that match, b for the others.
    expected = (2 * math.log1p(math.exp(1)) + 2 * math.log1p(math.exp(-3))) / 2
    identity, bias = torch.eye(2), torch.tensor(-3.0)
    assert float(siglip.loss(identity, identity, torch.tensor(2.0), None, bias)) == pytest.approx(expected)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_own_rows_alone_have_the_loss_and_gradient_of_all(name, world):
    """Each process against all rows, two texts an image: the mean of their losses is the global one."""
    loss = registry.load("train/losses", name).loss
    images, texts = (x.requires_grad_() for x in (embeds(6)[0], embeds(12, 1)[1]))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    whole = loss(images, texts, scale)
    expected = torch.autograd.grad(whole, (images, texts, scale))
    gathered = {6 // world: images, 12 // world: texts}
    own = [
        loss(image, text, scale, lambda rows: gathered[len(rows)], rank=rank)
        for rank, (image, text) in enumerate(zip(images.chunk(world), texts.chunk(world), strict=True))
    ]
    assert not torch.allclose(own[0], whole)  # each its own part of it
    mean = torch.stack(own).mean()
    torch.testing.assert_close(mean, whole, atol=1e-12, rtol=1e-12)
    for found, gradient in zip(torch.autograd.grad(mean, (images, texts, scale)), expected, strict=True):
        torch.testing.assert_close(found, gradient, atol=1e-12, rtol=1e-12)
