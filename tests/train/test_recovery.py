"""What pruning learns from SPIN, and what the cut model learns from the whole one, on rendered scenes."""

import copy
from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy

from sightline.compress import spin_importance, structured_pruning
from sightline.compress.distillation import DistillationTask
from sightline.data.vqa_data import VqaData
from sightline.train.tasks.vqa import IGNORED, VqaTask
from tests.train.test_tasks import Scenes


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return Scenes(tmp_path_factory.mktemp("scenes")).answering()


def twin(task, make, model=None):
    model = model or copy.deepcopy(task.model)
    data = VqaData(task.tokenizer, task.items, task.triples)
    return make(model, data, task.params, task.run, task.seed, 1.0)


@pytest.mark.parametrize("keep", [0.5, 0.25])
def test_kept_share_counts_the_answer_tokens_at_which_a_head_is_among_the_first(task, keep):
    found_LH = spin_importance.kept_share(task, 2, keep)
    layers, heads = task.model.config["layers"], task.model.config["decoder_heads"]
    count_LH, tokens = torch.zeros(layers, heads), 0
    with torch.no_grad():
        for step in range(2):
            batch = task.batch(step)
            seen = task.image_tokens(batch)
            for group in (batch["short"], batch["long"]):
                memory, out = task.decode(seen, group, need_maps=True)
                for row, t in (group["targets"] != IGNORED).nonzero().tolist():
                    tokens += 1
                    for layer in range(layers):
                        mass_H = out.maps[layer, row, :, t, memory.image_BM[row]].sum(-1)
                        count_LH[layer, mass_H.argsort(descending=True)[: int(keep * heads)]] += 1
    assert found_LH.sum(1).tolist() == pytest.approx([int(keep * heads)] * layers)
    # Two heads whose masses are equal to the last bits may be ordered either way.
    torch.testing.assert_close(found_LH, count_LH / tokens, atol=2 / tokens, rtol=0)


def test_only_cross_attention_is_ranked_by_spin(task):
    importance = structured_pruning.magnitude(task.model)
    kept_LH = torch.rand(task.model.config["layers"], task.model.config["decoder_heads"])
    ranked = spin_importance.ranked(importance, kept_LH)
    assert list(ranked) == list(importance)
    for name, scores in ranked.items():
        if "cross_attention" in name:
            assert torch.equal(scores, kept_LH[int(name.split(".")[2])])
        else:
            assert torch.equal(scores, importance[name])


def test_the_teacher_itself_has_nothing_to_learn_and_weight_0_is_plain_cross_entropy(task):
    torch.manual_seed(0)
    only = twin(task, partial(DistillationTask, teacher=task.model, weight=1.0))
    batch = only.train().batch(0)
    assert only(batch)[0].item() == pytest.approx(0.0, abs=1e-5)
    other = copy.deepcopy(task.model)
    with torch.no_grad():
        other.output_bias += torch.randn_like(other.output_bias)
    plain = twin(task, partial(DistillationTask, teacher=other, weight=0.0))
    assert plain.train()(batch)[0].item() == twin(task, VqaTask).train()(batch)[0].item()


def test_half_the_loss_is_the_divergence_from_the_teacher(task):
    teacher = copy.deepcopy(task.model)
    with torch.no_grad():
        teacher.output_bias += torch.linspace(-1, 1, len(teacher.output_bias))
    half = twin(task, partial(DistillationTask, teacher=teacher, weight=0.5)).train()
    batch = half.batch(0)
    group = batch["short"]
    seen = half.image_tokens(batch)
    ((_, (mine, other)),) = half.predictions(seen, group, [half.model, teacher])
    assert mine.requires_grad and not other.requires_grad
    expected = 0.0
    for row, t in (group["targets"] != IGNORED).nonzero().tolist():
        p, q = other[row, t].softmax(-1), mine[row, t].softmax(-1)
        expected += 0.5 * float((p * (p.log() - q.log())).sum())
        expected += 0.5 * float(cross_entropy(mine[row, t], group["targets"][row, t]))
    assert float(half.group_loss(seen, group)) == pytest.approx(expected, rel=1e-4)
    assert not any(name.startswith("_teacher") for name, _ in half.named_parameters())
    assert half.eval().group_loss(seen, group) == twin(task, VqaTask).group_loss(seen, group)
