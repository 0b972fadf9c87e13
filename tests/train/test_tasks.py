"""The three tasks on twelve rendered scenes with tiny towers: pure batches, losses that fall, metrics that
rise."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from sightline.core import artifacts, registry, runtime
from sightline.core.params.loader import load_params
from sightline.core.runtime import Runtime
from sightline.data.questions.convert_captions import convert
from sightline.data.questions.triples import Triples
from sightline.data.scenes import sample as sampling
from sightline.data.shards import Items
from sightline.data.sources import scenes
from sightline.data.tokenizer import Tokenizer
from sightline.data.vqa_data import VqaData
from sightline.models import answer_tokens
from sightline.models.decoder.cross_attention import CrossAttentionVLM, from_clip
from sightline.models.dual_encoder import DualEncoder
from sightline.models.text import bert
from sightline.train import data_loader, sample_captions
from sightline.train.align import standardize
from sightline.train.feature_cache import TextStateCache
from sightline.train.loop import Recipe
from sightline.train.losses import info_nce
from sightline.train.resume import trained
from sightline.train.tasks import vqa as module
from sightline.train.tasks.alignment import ContrastiveTask
from sightline.train.tasks.mlm import MlmTask
from sightline.train.tasks.self_critical import write
from sightline.train.tasks.vqa import IGNORED, VqaTask
from tests.support.text_encoders import checkpoint

PARAMS = Path(__file__).parents[2] / "params.yaml"
ALONE = Runtime("cpu", 0, 1, 1)
HALVES = (Runtime("cpu", 0, 2, 1), Runtime("cpu", 1, 2, 1))
TRAIN = 12


class Scenes:
    """A converted data set, and tasks over it."""

    def __init__(self, folder: Path) -> None:
        params = load_params(PARAMS)
        sizes = dict.fromkeys(sampling.SPLITS, 4) | {"train": TRAIN}
        data = params.data.model_copy(update={"source": "scenes", "sizes": sizes, "image_side": 64})
        config: dict = {}
        with artifacts.create(folder / "raw", "raw", config) as filling:
            config.update(scenes.build(data, 1, filling))
        raw, vqa = artifacts.load(folder / "raw", "raw"), {}
        with artifacts.create(folder / "vqa", "vqa", vqa) as filling:
            vqa.update(convert(raw, filling, params.convert, 1, data.max_pixels, True))
        self.items = Items(folder / "raw")
        # Validation on the training pictures: a model that overfits them must score there.
        self.triples = dict.fromkeys(("train", "val"), Triples(folder / "vqa", "train"))
        self.tokenizer = Tokenizer.load(folder / "vqa" / "tokenizer.json")
        self.data = VqaData(self.tokenizer, self.items, self.triples)
        text = {"tower": "bert", "width": 32, "layers": 1, "heads": 2, "max_tokens": 96}
        self.text = text | {"vocab_size": self.tokenizer.size}
        self.params = params

    def mlm(self, run=ALONE):
        torch.manual_seed(1)
        section = self.params.pretrain.model_copy(update={"batch_size": TRAIN, "epochs": 200.0})
        return MlmTask(bert.build(self.text), self.tokenizer, self.items, self.triples, section, run, seed=5)

    def clip(self):
        torch.manual_seed(1)
        vision = {"tower": "small_cnn", "image_size": 64, "width": 32}
        sizes = {"embed_dim": 32, "projection_hidden": 24, "dropout": 0.0, "temperature": 0.07}
        sizes |= {"fusion_width": 32, "fusion_layers": 1}
        words = ["red", "blue", "small", "large"]
        config = {"vision": vision, "text": self.text, "vocab_size": self.tokenizer.size, "words": words}
        return DualEncoder(config | sizes), words

    def contrastive(self, run=ALONE, **changes):
        model, words = self.clip()
        small = {"batch_size": TRAIN, "matching_samples": 12, "epochs": 60}
        section = self.params.align.model_copy(update={**small, **changes})
        loss = registry.load("train/losses", "info_nce")
        return ContrastiveTask(model, self.data, words, loss, section, run, seed=5)

    def answering(self, run=ALONE, blind=False, epochs=120, params=None, **changes):
        clip, words = self.clip()
        word_ids = [self.tokenizer.encode(word, 8, special=False) for word in words]
        small = {
            "batch_size": TRAIN,
            "width": 32,
            "heads": 4,
            "questions_per_image": 9,
            "warmup_phase_share": 0.1,
        }
        small |= {"max_question": 24, **changes, **(params or {})}
        section = self.params.finetune.model_copy(update=small)
        model = from_clip(clip, section.model_dump(), word_ids, blind=blind)
        return VqaTask(model, self.data, section, run, seed=5, epochs=epochs)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where trainings keep features


def fit(task, tmp_path, monkeypatch, lr, **changes):
    monkeypatch.chdir(tmp_path)
    settings = {
        "name": "tiny",
        "seed": 5,
        "steps": task.steps,
        "lr": lr,
        "warmup_steps": 5,
        "weight_decay": 0.0,
    }
    with trained(
        task, Recipe(**settings, precision="fp32", evals=2, **changes), ALONE, {}, tmp_path / "curves"
    ) as state:
        return [row for row in state.history if "loss" in row], state


@pytest.mark.parametrize(
    "make, lr, metric",
    # Far above chance: 1 of 80 tokens, 1 of 12 pictures, about half of the questions. Seen: 36, 100, 91.
    # The masks and questions are new in every step, so a hundred steps do not reach 100.
    [("mlm", 0.01, 20.0), ("contrastive", 0.003, 60.0), ("answering", 0.005, 75.0)],
)
def test_overfits_a_few_scenes(data, tmp_path, monkeypatch, make, lr, metric):
    history, state = fit(getattr(data, make)(), tmp_path, monkeypatch, lr)
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert state.best_metric > metric


def test_min_steps_passes_a_small_table_more_often_and_shorter_trainings_in_proportion(data):
    assert data.contrastive(epochs=2).steps == 2
    assert data.contrastive(epochs=2, min_steps=50).steps == 50
    assert data.contrastive(epochs=60, min_steps=50).steps == 60
    assert data.contrastive(epochs=0, min_steps=50).steps == 0
    real = {"epochs": 4, "min_steps": 100}
    assert data.answering(epochs=4, params=real).steps == 100
    assert data.answering(epochs=0.4, blind=True, params=real).steps == 10


def tensors(batch):
    """All tensors of a batch by dotted name."""
    found = {}
    for name, value in batch.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": tensor for key, tensor in tensors(value).items()}
        elif isinstance(value, torch.Tensor):
            found[name] = value
    return found


@pytest.mark.parametrize("make", ["mlm", "contrastive", "answering"])
def test_workers_read_the_same_batches(data, make):
    def read(workers):
        task = getattr(data, make)()
        torch.manual_seed(2)
        batches = list(data_loader.batches(task, 3, 8, Runtime("cpu", 0, 1, 1, workers)))
        return [tensors(task.place(batch)) for batch in batches], torch.rand(1)

    (here, drawn_here), (ahead, drawn_ahead) = read(0), read(2)
    assert len(here) == len(ahead) == 5
    for one, other in zip(here, ahead, strict=True):
        assert one.keys() == other.keys() and len(one) >= 3
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(drawn_here, drawn_ahead)  # what training draws is not moved on


@pytest.mark.parametrize("make", ["mlm", "contrastive", "answering"])
def test_a_batch_is_a_pure_function_of_seed_and_step(data, make):
    first, second = getattr(data, make)(), getattr(data, make)()
    first.batch(0)  # what was asked before must not matter
    one, other = tensors(first.batch(3)), tensors(second.batch(3))
    assert one.keys() == other.keys() and len(one) >= 3
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[name], value) for name, value in tensors(first.batch(4)).items())


@pytest.mark.parametrize("make, key", [("mlm", "targets"), ("contrastive", "words"), ("answering", "image")])
def test_processes_share_the_global_batch(data, make, key):
    whole = getattr(data, make)().batch(2)
    parts = [getattr(data, make)(run=half).batch(2) for half in HALVES]
    assert parts[0]["items"] + parts[1]["items"] == whole["items"]
    assert torch.equal(torch.cat([part[key] for part in parts]), whole[key])


def test_the_blind_model_reads_no_picture(data, monkeypatch):
    task = data.answering(blind=True)
    monkeypatch.setattr(Items, "image_bytes", lambda self, item: pytest.fail("a picture was read"))
    loss, _ = task(task.batch(0))
    assert torch.isfinite(loss) and not any("vision" in name for name, _ in task.model.named_parameters())


def test_towers_freeze_and_thaw(data):
    task = data.answering(epochs=40, vision_lr_scale=0.5)
    assert task.steps == 40 and task.thaw_step == 4
    assert [task.phase(step) for step in (0, 3, 4, 39)] == [0, 0, 1, 1]
    trains = {}
    for phase in (0, 1):
        task.enter(phase)
        trains[phase] = {name.split(".")[0] for name, p in task.model.named_parameters() if p.requires_grad}
    assert trains[1] - trains[0] == {"vision"} and "text" not in trains[1]
    assert task.lr_scale("decoder", 20) == 1.0
    # warm-up of 2 steps (5 % of 40) after the thaw
    assert [task.lr_scale("vision", step) for step in (4, 5, 6)] == [0.25, 0.5, 0.5]
    assert task.warmup_steps == 2


def test_questions_keep_their_states_whatever_the_batch(data):
    one, other = data.answering(), data.answering()
    one.batch(0)
    one.batch(7), other.batch(7)
    shared = other.states.keys()
    assert shared <= one.states.keys() and len(shared) > 10
    assert all(torch.equal(one.states[name], other.states[name]) for name in shared)


def test_questions_by_hand():
    class Lines(list):
        pass

    kinds = ["existence", "relation", "position", "pope_random", "describe"]
    triples = Lines({"type": kind, "question": kind} for kind in kinds)
    lines = list(range(len(kinds)))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        short, long = sample_captions.questions(triples, lines, (5, 1), False, rng)
        assert {triple["type"] for triple in short} == {"existence", "relation"} and len(short) == 5
        assert [triple["type"] for triple in long] == ["describe"]
    with_auxiliary, _ = sample_captions.questions(triples, lines, (3, 1), True, np.random.default_rng(0))
    assert {triple["type"] for triple in with_auxiliary} == {"existence", "relation", "position"}
    firsts = [
        sample_captions.questions(triples, lines, (1, 1), False, np.random.default_rng(s))[0][0]["type"]
        for s in range(600)
    ]
    # Relation has one and a half times the weight of existence: 3 / 5 of the draws; 3 standard deviations
    # are 0.06.
    assert firsts.count("relation") / 600 == pytest.approx(3 / 5, abs=0.06)
    assert sample_captions.questions(triples, [4], (3, 1), True, np.random.default_rng(0))[0] == []
    both = Lines({"type": "describe", "answer": text} for text in ("one", "two"))
    for count, drawn in ((2, [1, 1]), (3, [1, 2]), (4, [2, 2]), (0, [])):
        texts = sample_captions.questions(both, [0, 1], (1, count), True, np.random.default_rng(3))[1]
        assert sorted(Counter(triple["answer"] for triple in texts).values()) == drawn


def test_frequent_words_by_hand():
    # dog: mean share 1/3, both of two captions in 1/3 of the items, correlation (1/3 - 1/9) / (2/9) = 1.
    # "a": mean 5/9, pairs 2/9, below 0; "see" and "the" are in one caption of three: pairs 0, below 0.
    texts = [
        ["we see a dog", "a dog", "the dog"],
        ["a cat", "see the cat", "cat"],
        ["a bus", "bus", "we see a bus"],
    ]
    assert sample_captions.frequent_words(texts, 9) == ["bus", "cat", "dog"]
    assert sample_captions.frequent_words(texts, 2) == ["bus", "cat"]


def test_with_one_caption_each_every_word_counts():
    assert sample_captions.frequent_words([["a cube"], ["a cone"]], 9) == ["a", "cone", "cube"]


def test_the_full_description_is_drawn_often():
    item = {"captions": ["full", "b", "c", "d", "e"], "scene": {}}
    drawn = [sample_captions.caption(item, np.random.default_rng(seed)) for seed in range(600)]
    # Half of the draws, and a fifth of the others: 0.6; 3 standard deviations are 0.06.
    assert drawn.count("full") / 600 == pytest.approx(0.6, abs=0.06)
    photo = {"captions": [" ", "b"]}
    assert sample_captions.caption(photo, np.random.default_rng(0)) == "b"


def test_recall_counts_ties_against_the_model(data):
    task = data.contrastive()
    for parameter in task.model.text_projection.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        metric, _ = task.eval().evaluate()
    assert metric == 0.0


def test_the_loss_is_the_chosen_one(data):
    task = data.contrastive()
    assert task.loss is info_nce
    assert runtime.derive_seed(5, "caption") != runtime.derive_seed(5, "questions")


def test_a_frozen_text_tower_gives_the_same_states_kept_or_not(data):
    task = data.contrastive(text_lr_scale=0.0)
    task.enter(0)
    task.train()
    batch = task.batch(0)
    ids_BT, mask_BT = batch["ids"], batch["mask"]
    first = task.states(ids_BT, mask_BT)
    again = TextStateCache(task.model.text)
    again.room = 0
    backwards = again(ids_BT.flip(0), mask_BT.flip(0))
    assert not again.kept and len(task.states.kept) == len({tuple(row.tolist()) for row in ids_BT})
    assert torch.equal(first, task.states(ids_BT, mask_BT)) and torch.equal(first, backwards.flip(0))
    assert not first.requires_grad and not first[~mask_BT].any()
    whole = task.model.text(ids_BT, mask_BT)
    # A batch is summed in another order, as with the image tower.
    torch.testing.assert_close(whole[mask_BT], first[mask_BT], atol=1e-5, rtol=0)
    loss, _ = task(batch)
    loss.backward()
    assert task.model.text_projection.weight.grad.any()
    assert all(parameter.grad is None for parameter in task.model.text.parameters())


def test_texts_are_read_anew_where_the_tower_learns_or_words_are_hidden(data):
    assert data.contrastive(text_lr_scale=1.0).states is None
    assert data.contrastive(text_lr_scale=0.0, word_dropout=0.2).states is None


def test_training_on_a_frozen_tower_learns_and_leaves_it_alone(data, tmp_path, monkeypatch):
    task = data.contrastive(freeze_vision=True)
    before = {name: tensor.clone() for name, tensor in task.model.vision.state_dict().items()}
    history, _ = fit(task, tmp_path, monkeypatch, 0.003)
    assert history[-1]["contrastive"] < 0.9 * history[0]["contrastive"]  # of a random tower
    assert all(torch.equal(before[name], tensor) for name, tensor in task.model.vision.state_dict().items())


def test_word_weight_0_drops_the_term(data):
    task = data.contrastive(word_weight=0.0)
    task.train()
    task(task.batch(0))[0].backward()
    assert not task.model.word_head.weight.grad.any()
    assert task.model.image_projection[0].weight.grad.any()


def test_several_captions_of_each_image(data):
    """Rows of an image stay together, captions repeat only where an image has fewer."""
    task = data.contrastive(captions_per_image=3)
    batch = task.batch(2)
    assert batch["ids"].shape[0] == 3 * TRAIN and batch["image"].shape[0] == TRAIN
    place = {task.items[number]["id"]: number for number in task.train_numbers}
    for row, name in enumerate(batch["items"]):
        known = sample_captions.captions(task.items[place[name]])
        ids = batch["ids"][3 * row : 3 * row + 3]
        texts = {tuple(i[i != data.tokenizer.pad].tolist()) for i in ids}
        assert texts <= {tuple(data.tokenizer.encode(text, task.max_tokens)) for text in known}
        assert len(texts) == min(3, len({tuple(data.tokenizer.encode(t, task.max_tokens)) for t in known}))
    task.train()
    loss, report = task(batch)
    assert torch.isfinite(loss) and report["contrastive"] < 2 * np.log(3 * TRAIN)


def test_some_pictures_are_shown_in_a_mirror(data):
    """About half, chosen anew in every step; a frozen tower is shown the same ones."""
    plain, task = data.contrastive(), data.contrastive(horizontal_flip=True)
    turned = []
    for step in range(4):
        own, other = plain.batch(step)["image"], task.batch(step)["image"]
        for before, after in zip(own, other, strict=True):
            assert torch.equal(after, before) or torch.equal(after, before.flip(2))
            turned.append(not torch.equal(after, before))
    assert 0.2 < np.mean(turned) < 0.8 and turned[:TRAIN] != turned[TRAIN : 2 * TRAIN]
    frozen = data.contrastive(horizontal_flip=True, freeze_vision=True)
    frozen.model.load_state_dict(task.model.state_dict())
    for each in (task, frozen):
        each.enter(0)
        each.eval()
    seen, kept = (each.image_tokens(each.batch(1)["image"]) for each in (task, frozen))
    torch.testing.assert_close(kept, seen, atol=1e-5, rtol=0)


def test_the_answering_model_sees_the_same_mirror(data):
    frozen, whole = (data.answering(horizontal_flip=True, freeze_vision=value) for value in (True, False))
    whole.model.load_state_dict(frozen.model.state_dict())
    for task in (frozen, whole):
        task.enter(0)
        task.train()
    mirrored = frozen(frozen.batch(1))[0]
    torch.testing.assert_close(mirrored, whole(whole.batch(1))[0], atol=1e-4, rtol=1e-5)
    plain = data.answering(freeze_vision=True)
    plain.model.load_state_dict(frozen.model.state_dict())
    plain.enter(0)
    plain.train()
    assert not torch.isclose(plain(plain.batch(1))[0], mirrored, rtol=1e-6)


def test_words_hidden_in_training_take_no_part(data):
    task = data.contrastive(word_dropout=0.3)
    mask_BT = task.batch(0)["mask"]
    torch.manual_seed(0)
    some_BT = task._some_words(mask_BT)
    assert some_BT[:, 0].all() and not (some_BT & ~mask_BT).any()
    assert 0.6 < some_BT.sum() / mask_BT.sum() < 0.8
    assert data.contrastive()._some_words(mask_BT) is mask_BT


def test_a_bag_of_words_learns_pictures_by_heart(data, tmp_path, monkeypatch):
    """Its counts come from the captions, before any training."""
    text = data.text | {"tower": "idf_bag"}
    monkeypatch.setattr(data, "text", text)
    task = data.contrastive(word_dropout=0.1)
    words = MlmTask(
        task.model.text, data.tokenizer, data.items, data.triples, data.params.pretrain, ALONE, seed=5
    )
    task.model.text.count(words.documents())
    rarity_V = task.model.text.rarity_V
    assert rarity_V[data.tokenizer.bos] == 0 and rarity_V[data.tokenizer.mask] == 0
    red, article = (data.tokenizer.encode(word, 3, special=False)[0] for word in ("red", "a"))
    assert rarity_V[red] > rarity_V[article]
    fit(task, tmp_path, monkeypatch, 0.01)
    with torch.no_grad():
        assert task.eval().evaluate()[0] > 60.0


def test_an_encoder_below_counted_words_reads_whole_captions_once(data, tmp_path, monkeypatch):
    """What is kept of its texts embeds them as the tower does; hidden words are missing in the mean alone."""
    reference = checkpoint("bert", tmp_path / "bert")
    tokenizer = Tokenizer.load(tmp_path / "bert" / "tokenizer.json")
    monkeypatch.setattr(data, "tokenizer", tokenizer)
    monkeypatch.setattr(data, "data", VqaData(tokenizer, data.items, data.triples))
    text = {"tower": "hf_idf_bag", "checkpoint": str(tmp_path / "bert"), "width": 32, "max_tokens": 36}
    monkeypatch.setattr(data, "text", text)
    task = data.contrastive(word_dropout=0.3)
    encoder, read = task.model.text.encoder, []
    encoder.register_forward_pre_hook(lambda module, inputs: read.append(inputs[1].clone()))
    batch = task.batch(0)
    with torch.no_grad():
        kept = task.eval().represent(batch)
        assert all(mask_1T.all() for mask_1T in read) and (kept["mask"].sum(1) < batch["mask"].sum(1)).any()
        distinct = {tuple(ids_T.tolist()) for ids_T in batch["ids"]}
        assert len(read) == len(distinct)
        task.represent(batch)
        assert len(read) == len(distinct)
        states_BTD, _ = task.model.encode_text(batch["ids"], batch["mask"])
        torch.testing.assert_close(
            kept["states"][batch["mask"]], states_BTD[batch["mask"]], atol=1e-5, rtol=0
        )
        expected_BE = task.model.embed_text(states_BTD, kept["mask"])
        torch.testing.assert_close(kept["text"], expected_BE, atol=1e-5, rtol=0)
    before = reference.state_dict()
    fit(task, tmp_path, monkeypatch, 0.01)
    assert all(torch.equal(before[name], each) for name, each in encoder.model.state_dict().items())
    with torch.no_grad():
        assert task.eval().evaluate()[0] > 60.0


def test_a_text_learning_rate_of_0_freezes_the_text_tower(data):
    task = data.contrastive(text_lr_scale=0.0)
    task.enter(0)
    task.train()
    task(task.batch(0))[0].backward()
    assert all(p.grad is None for p in task.model.text.parameters())
    assert task.model.text_projection.weight.grad.any() and task.lr_scale("text", 0) == 0.0


def test_answering_on_a_frozen_tower_sees_the_same_pictures(data):
    """The loss on kept tokens is the loss on pixels; another batch size sums in another order."""
    frozen, whole = data.answering(freeze_vision=True), data.answering(freeze_vision=False)
    whole.model.load_state_dict(frozen.model.state_dict())
    for task in (frozen, whole):
        task.enter(0)
        task.train()
    torch.testing.assert_close(frozen(frozen.batch(1))[0], whole(whole.batch(1))[0], atol=1e-4, rtol=1e-5)
    assert whole.features is None


def test_answers_are_learned_and_judged_among_the_tokens_that_answers_have(data):
    """Loss, sampled texts and hits of a model that scores few tokens are those of the whole one, cut."""
    whole, task = data.answering(), data.answering()
    rows = [data.triples["train"][row] for row in range(len(data.triples["train"]))]
    used = {token for row in rows for token in data.tokenizer.encode_answer(row["answer"], 72)[1:]}
    config = whole.model.config | {"answer_tokens": answer_tokens.scored(used, data.tokenizer.size)}
    model = task.model = CrossAttentionVLM(config)
    weights = whole.model.state_dict()
    bias_K = weights["output_bias"][model.answer_tokens.token_K]
    model.load_state_dict(weights | {"output_bias": bias_K})
    batch = task.eval().batch(0)
    with torch.no_grad():
        seen, group = task.image_tokens(batch), batch["short"]
        logits_BTV = whole.eval().decode(seen, group)[1].logits
        logprobs_BTK = logits_BTV[..., config["answer_tokens"]].log_softmax(-1)
        expected = 0.0
        for row, t in (group["targets"] != IGNORED).nonzero().tolist():
            place = config["answer_tokens"].index(int(group["targets"][row, t]))
            expected -= float(logprobs_BTK[row, t, place])
        assert float(task.group_loss(seen, group)) == pytest.approx(expected, rel=1e-4)
        memory = task.read(seen, batch["long"], model)
        best_BT = write(model, memory, data.tokenizer, lambda logits_BK: logits_BK.argmax(-1))
    assert set(best_BT[:, 1:].flatten().tolist()) <= {*config["answer_tokens"], IGNORED}
    first_BK = task.decode(seen, {**batch["long"], "inputs": best_BT[:, :1]})[1].logits[:, 0]
    assert [config["answer_tokens"][place] for place in first_BK.argmax(-1)] == best_BT[:, 1].tolist()


def few_short(data, folder, short):
    """The data with that many short questions in val, beside the descriptions of two pictures."""
    whole = data.triples["val"]
    rows = [whole[line] for line in range(len(whole))]
    numbers = sorted({row["item"] for row in rows})[:2]
    kept = [row for row in rows if row["item"] in numbers and row["type"] == "describe"]
    kept += [row for row in rows if row["item"] in numbers and row["type"] == "color"][:short]
    folder.mkdir()
    (folder / "val.jsonl").write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in kept))
    return VqaData(data.tokenizer, data.items, data.triples | {"val": Triples(folder, "val")})


def test_descriptions_in_parts_of_one_length_have_the_loss_and_gradients_of_all_at_once(data, monkeypatch):
    """Twelve pictures with three texts each, in parts of at most eight, each padded to its own length."""
    changes = {"captions_per_image": 3, "label_smoothing": 0.1, "questions_per_image": 2}
    task = data.answering(**changes)
    task.enter(1)
    task.train()
    batch = task.batch(0)
    group, seen = batch["long"], task.image_tokens(batch)
    assert group["repeats"] == 3 and len(group["ids"]) == TRAIN and len(group["inputs"]) == 3 * TRAIN
    monkeypatch.setattr(module, "PART", 8)
    parts = [part for part, _ in task.predictions(seen, group, [task.model])]
    longest = [part["targets"].shape[1] for part in parts]
    assert len(parts) == 5 and longest == sorted(longest) and longest[0] < longest[-1]
    losses, gradients = [], []
    for loss in (
        lambda: task.group_loss(seen, group),
        lambda: task.summed_loss(task.decode(seen, group)[1].logits, group),
    ):
        task.model.zero_grad()
        losses.append(loss())
        losses[-1].backward(retain_graph=True)
        gradients.append([p.grad.clone() for p in task.model.parameters() if p.grad is not None])
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0.0)
    assert len(gradients[0]) == len(gradients[1])
    largest = max(float(whole.abs().max()) for whole in gradients[1])
    for mine, whole in zip(*gradients, strict=True):  # some, as of a key's bias, are 0 but for rounding
        torch.testing.assert_close(mine, whole, rtol=1e-4, atol=1e-6 * largest)


@pytest.mark.parametrize("short", [0, 2])
def test_few_short_questions_are_not_what_a_checkpoint_is_chosen_by(data, tmp_path, monkeypatch, short):
    """A model to which every token is as likely gives each 1 / V: its likelihood is 100 / V percent."""
    monkeypatch.setattr(data, "data", few_short(data, tmp_path / "few", short))
    task = data.answering().eval()
    assert task.metric == "token_likelihood" and task.asked.total() == short
    assert f"{short} short questions are too few to tell" in task.deciding()
    with torch.no_grad():
        task.model.embedding.weight.zero_()
        likelihood, accuracy = task.evaluate()
    assert likelihood == pytest.approx(100 / data.tokenizer.size, rel=1e-4)
    assert set(accuracy) == {"describe"} | ({"color"} if short else set())


def test_enough_short_questions_are(data):
    task = data.answering(questions_per_image=12)
    assert task.asked.total() >= 100 and task.metric == "accuracy"
    assert f"the accuracy of {task.asked.total()} short answers about 12 pictures" in task.deciding()


def test_a_batch_larger_than_the_data_shrinks_and_says_so(data, capsys):
    task = data.answering(HALVES[0], batch_size=254)
    assert task.per_step == TRAIN  # a multiple of the processes
    task.say_batch_size("finetune", 254)
    assert "finetune trains in batches of 12, not 254" in "".join(capsys.readouterr())
    assert len(task.batch(0)["items"]) == TRAIN // 2


def test_the_image_tower_starts_to_train_in_the_second_phase(data):
    task = data.contrastive(warmup_phase_share=0.5, vision_lr_scale=0.25, epochs=100)
    assert task.thaw_step == 50 and [task.phase(step) for step in (0, 49, 50)] == [0, 0, 1]
    for phase, trains in ((0, False), (1, True)):
        task.enter(phase)
        assert all(weight.requires_grad == trains for weight in task.model.vision.parameters())
        assert all(weight.requires_grad for weight in task.model.text.parameters())
    assert task.lr_scale("text", 50) == 1.0
    assert task.lr_scale("vision", 50) == pytest.approx(0.25 / task.warmup_steps)
    assert task.lr_scale("vision", 99) == 0.25
    whole = data.contrastive(epochs=100)
    assert whole.phase(0) == 1 and whole.lr_scale("vision", 0) == 1.0


def test_standardising_takes_mean_and_deviation_of_the_pictures(data):
    task = data.contrastive()
    model = DualEncoder(task.model.config | {"standardize": True})
    model.load_state_dict(task.model.state_dict(), strict=False)
    task.model = model
    standardize(task)
    pictures = task.pictures([task.items[number] for number in task.train_numbers], "cpu")
    with torch.no_grad():
        summary_nS = model.vision.eval().summarise(model.vision(pictures))
    # Every batch holds all pictures.
    torch.testing.assert_close(model.summary_mean_S, summary_nS.mean(0), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        model.summary_deviation_S, summary_nS.std(0, correction=0).clamp(min=1e-3), atol=1e-3, rtol=0.05
    )
