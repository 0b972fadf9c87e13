"""Descriptions that learn by their CIDEr-D, on a model whose words are known."""

from contextlib import contextmanager

import pytest
import torch

from sightline.data.cider import CiderD
from sightline.models.decoder.cross_attention import from_clip
from sightline.train import finetune as finetune_module
from sightline.train.loop import Recipe
from sightline.train.resume import trained
from sightline.train.tasks import self_critical as module
from sightline.train.tasks.self_critical import SelfCriticalTask
from sightline.train.tasks.vqa import IGNORED
from tests.train.test_tasks import ALONE, TRAIN, Scenes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(data, **changes):
    clip, words = data.clip()
    word_ids = [data.tokenizer.encode(word, 8, special=False) for word in words]
    small = {
        "batch_size": TRAIN, "width": 32, "heads": 4, "questions_per_image": 2, "self_critical_samples": 4,
        "max_answer": 16, "dropout": 0.3,
    }  # fmt: skip
    section = data.params.finetune.model_copy(update=small | changes)
    torch.manual_seed(2)
    model = from_clip(clip, section.model_dump(), word_ids)
    task = SelfCriticalTask(model, data.data, section, ALONE, 5, 1.0)
    task.enter(0)
    return task.train()


def test_cider_d_counts_what_people_agree_on():
    references = [["a", "dog", "runs"], ["a", "dog", "sleeps"]], [["a", "cat"], ["a", "cat", "sits"]]
    cider = CiderD(references)
    assert cider.score(["a", "dog", "runs"], references[0]) > cider.score(["a", "dog"], references[0]) > 0
    assert cider.score(["a"], references[0]) == 0  # both pictures have it
    assert cider.score([], references[0]) == 0


def test_texts_end_by_themselves_or_at_the_longest_answer(data):
    task = make(data)
    batch = task.batch(0)
    memory = task._memory(task.image_tokens(batch), batch["long"])
    tokenizer, limit = data.tokenizer, task.model.config["max_answer"]
    rows = TRAIN * 4

    def ends_at(step):
        calls = []

        def pick(logits_BV):
            calls.append(1)
            ends_B = (
                torch.arange(rows) % 2 == 0 if len(calls) == step else torch.zeros(rows, dtype=torch.bool)
            )
            word = tokenizer.encode("red", 3, special=False)[0]
            return torch.where(ends_B, tokenizer.eos, word)

        return pick

    written_BT = module.write(task.model, memory, tokenizer, ends_at(3))
    assert written_BT.shape == (rows, limit) and (written_BT[:, 0] == tokenizer.bos).all()
    assert (written_BT[::2, 3] == tokenizer.eos).all() and (written_BT[::2, 4:] == IGNORED).all()
    assert (written_BT[1::2, 1:] >= 0).all()
    ended, cut = task._words(written_BT[:2])
    assert ended == ["red", "red", module.END] and cut == ["red"] * (limit - 1)


def test_the_gradient_prefers_what_scores_more_than_the_others(data, monkeypatch):
    """Of each image's samples one is its own caption: after a step it is likelier, the others are less."""
    task = make(data, self_critical_samples=2)
    batch = task.batch(0)
    good = [data.items[number]["captions"][1] for number in batch["numbers"]]
    ids = [data.tokenizer.encode_answer(text, 16) for text in good]
    bad = [
        [data.tokenizer.bos, *data.tokenizer.encode("left left left", 9, special=False), data.tokenizer.eos]
    ]
    rows = [row for own in ids for row in (own, bad[0])]
    length = max(map(len, rows))
    written_BT = torch.tensor([row + [IGNORED] * (length - len(row)) for row in rows])
    monkeypatch.setattr(module, "write", lambda *arguments: written_BT)

    def likelihood():
        with torch.no_grad():
            tokens = task.image_tokens(batch)
            inputs = written_BT[:, :-1].where(written_BT[:, :-1] >= 0, data.tokenizer.pad)
            logits = task.decode(tokens, {**batch["long"], "inputs": inputs})[1].logits.log_softmax(-1)
            targets, real = written_BT[:, 1:].clamp(min=0), written_BT[:, 1:] >= 0
            return (logits.gather(2, targets[..., None])[..., 0] * real).sum(1).unflatten(0, (-1, 2))

    before = likelihood()
    loss, report = task._policy_loss(task.image_tokens(batch), batch)
    loss.backward()
    with torch.no_grad():
        for weight in task.model.parameters():
            if weight.grad is not None:
                weight -= 0.05 * weight.grad
    change = (likelihood() - before).mean(0)
    assert change[0] > 0 > change[1] and report > 0


def test_equal_samples_teach_nothing(data, monkeypatch):
    task = make(data)
    batch = task.batch(0)
    row = torch.tensor(data.tokenizer.encode_answer("a red circle", 16))
    monkeypatch.setattr(module, "write", lambda *arguments: row.expand(TRAIN * 4, -1))
    loss, _ = task._policy_loss(task.image_tokens(batch), batch)
    assert abs(float(loss.detach())) < 1e-6


def test_a_step_is_a_function_of_its_seed_without_dropout(data):
    task = make(data)
    losses = []
    for _ in range(2):
        torch.manual_seed(3)
        losses.append(float(task(task.batch(0))[0].detach()))
    assert losses[0] == losses[1] and not task.model.training and task.training


@torch.no_grad()
def moved_by_one(task):
    """The weights before, and the task's model as after a training that adds 1 to every weight."""
    before = {name: weight.detach().clone() for name, weight in task.model.named_parameters()}
    for weight in task.model.parameters():
        weight.add_(1.0)
    return before


def test_the_mean_of_the_weights_is_what_is_kept(data, monkeypatch, tmp_path):
    section = {"self_critical_epochs": 2.0, "self_critical_share": 0.25, "lr_scale": 3.0}
    section |= {"self_critical_lr_scale": 0.5, "width": 32, "heads": 4}
    task = make(data, **section)
    params = data.params.model_copy(update={"finetune": task.params})
    before, phases = moved_by_one(task), []

    @contextmanager
    def trained_already(model, phase, *rest):
        phases.append(phase)
        yield task, None

    monkeypatch.setattr(finetune_module, "train_vqa", trained_already)
    with finetune_module.self_critical(task.model, params, ALONE, data.data, tmp_path):
        for name, weight in task.model.named_parameters():
            torch.testing.assert_close(weight.detach(), before[name] + 0.25)
    (phase,) = phases
    assert phase.task is SelfCriticalTask and phase.epochs == 2.0 and phase.section.lr_scale == 1.5


def test_validation_measures_the_mean_and_training_goes_on_from_the_new_weights(data, monkeypatch):
    task = make(data, self_critical_share=0.25)
    before, seen = moved_by_one(task), {}

    def evaluated():
        seen.update({name: weight.detach().clone() for name, weight in task.model.named_parameters()})
        return 1.0, {}

    monkeypatch.setattr(task, "_evaluated", evaluated)
    assert task.evaluate() == (1.0, {})
    for name, weight in task.model.named_parameters():
        torch.testing.assert_close(seen[name], before[name] + 0.25)
        assert torch.equal(weight.detach(), before[name] + 1.0)


def test_the_weights_before_stay_where_no_step_is_better(data, tmp_path, monkeypatch):
    """The state before the first step is measured too, by CIDEr-D."""
    task = make(data, self_critical_samples=2)
    figures = iter([30.0, 20.0, 10.0])
    monkeypatch.setattr(task, "evaluate", lambda: (next(figures), {}))
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    recipe = Recipe("tiny", 5, 2, 0.01, 1, 0.0, "fp32", 2)
    with trained(task, recipe, ALONE, {}, tmp_path / "curves") as state:
        assert state.best_step == 0 and state.step == 2 and task.metric == "cider_d"
        for name, tensor in task.model.state_dict().items():
            assert torch.equal(tensor, before[name]), name
