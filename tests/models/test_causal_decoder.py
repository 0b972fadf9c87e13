"""A causal language model as decoder: what transformers itself computes over [image ; question ; answer]."""

import copy
import json

import numpy as np
import pytest
import torch

from sightline.inference.decoding import greedy
from sightline.inference.engine import DecodingInputs
from sightline.inference.torch_engine import TorchEngine
from sightline.models.decoder import hf
from sightline.models.vlm import Memory, build
from sightline.spin.gate import SpinInputs, gate
from sightline.train import lora
from tests.support import language_models, tiny

LENGTHS = torch.tensor([9, 6, 7, 5])  # of the questions, the token that ends them included


@pytest.fixture(scope="module", params=language_models.FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def vlm(family):
    return language_models.models(family)[0]


@pytest.fixture(scope="module")
def stock(family, vlm):
    """The same language model, as transformers runs it."""
    model = language_models.language_model(family, vlm.config["vocab_size"] + 3, "eager")
    model.load_state_dict(vlm.language_model.state_dict())
    return model


@pytest.fixture(scope="module")
def inputs(vlm):
    """Two pictures with two questions each, and five tokens of their answers."""
    draw = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(8, vlm.config["vocab_size"], (4, 9), generator=draw)
    mask_BT = torch.arange(9) < LENGTHS[:, None]
    ids_BT[torch.arange(4), LENGTHS - 1] = vlm.config["end"]
    with torch.no_grad():
        image_NPD = vlm.image_tokens(torch.randn(2, 3, 32, 32, generator=draw))
    answer_BT = torch.randint(8, vlm.config["vocab_size"], (4, 5), generator=draw)
    return image_NPD, ids_BT, mask_BT, answer_BT


def reference(vlm, stock, inputs, row):
    """(logits [T, V], attentions by layer [H, T, K]) of the answer's tokens, by transformers alone."""
    image_NPD, ids_BT, _, answer_BT = inputs
    with torch.no_grad():
        parts = [
            vlm.projector(image_NPD[row // 2]),
            stock.get_input_embeddings()(ids_BT[row, : LENGTHS[row] - 1]),
            stock.get_input_embeddings()(answer_BT[row]),
        ]
        out = stock(inputs_embeds=torch.cat(parts)[None], output_attentions=True)
    return out.logits[0, -5:, : vlm.config["vocab_size"]], [attn[0, :, -5:] for attn in out.attentions]


def test_answers_are_those_of_transformers_over_image_question_and_answer(vlm, stock, inputs):
    image_NPD, ids_BT, mask_BT, answer_BT = inputs
    with torch.no_grad():
        memory = vlm.memory(image_NPD, None, ids_BT, mask_BT)
        out = vlm.step(answer_BT, None, memory, need_maps=True)
    patches = image_NPD.shape[1]
    for row in range(4):
        logits_TV, attentions = reference(vlm, stock, inputs, row)
        torch.testing.assert_close(out.logits[row], logits_TV, atol=2e-5, rtol=1e-5)
        real = patches + int(LENGTHS[row]) - 1
        for layer, attn_HTK in enumerate(attentions):
            torch.testing.assert_close(
                out.maps[layer, row, :, :, :real], attn_HTK[..., :real], atol=1e-5, rtol=1e-4
            )
        assert not out.maps[:, row, ..., real:].any()


def test_steps_continue_a_cache_and_questions_share_their_image(vlm, inputs):
    image_NPD, ids_BT, mask_BT, answer_BT = inputs
    with torch.no_grad():
        memory = vlm.memory(image_NPD, None, ids_BT, mask_BT)
        whole = vlm.step(answer_BT, None, memory).logits
        first = vlm.step(answer_BT[:, :2], vlm.empty_cache(4), memory)
        then = vlm.step(answer_BT[:, 2:], first.cache, memory)
        own = vlm.memory(image_NPD.repeat_interleave(2, 0), None, ids_BT, mask_BT)
        joined = Memory.of(*own.joined(), own.mask_BM, own.image_BM)
        alone = vlm.step(answer_BT, None, joined).logits
    torch.testing.assert_close(torch.cat([first.logits, then.logits], 1), whole, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(alone, whole, atol=2e-5, rtol=1e-5)


def test_rows_of_a_memory_answer_as_they_did_in_it(vlm, inputs):
    image_NPD, ids_BT, mask_BT, answer_BT = inputs
    with torch.no_grad():
        memory = vlm.memory(image_NPD, None, ids_BT, mask_BT)
        whole = vlm.step(answer_BT, None, memory).logits
        rows = torch.tensor([3, 0, 2])
        some = vlm.step(answer_BT[rows], None, memory.take(rows)).logits
        twice = vlm.step(answer_BT.repeat_interleave(2, 0), None, memory.repeated(2)).logits
    torch.testing.assert_close(some, whole[rows], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(twice, whole.repeat_interleave(2, 0), atol=2e-5, rtol=1e-5)


def test_the_gate_is_the_published_rule_over_the_attention_on_the_image(vlm, inputs):
    image_NPD, ids_BT, mask_BT, answer_BT = inputs
    layers, heads = vlm.config["layers"], vlm.config["decoder_heads"]
    spin = SpinInputs(torch.tensor([2, heads]), torch.tensor(0.5))
    with torch.no_grad():
        memory = vlm.memory(image_NPD, None, ids_BT, mask_BT)
        plain = vlm.step(answer_BT, None, memory, need_maps=True)
        gated = vlm.step(answer_BT, None, memory, spin, need_maps=True)
        all_kept = SpinInputs(torch.full((layers,), heads), torch.tensor(0.5))
        kept = vlm.step(answer_BT, None, memory, all_kept)
    mass_BHT = (plain.maps[0] * memory.image_BM[:, None, None, :]).sum(-1)  # nothing is gated before layer 0
    expected_BHT = gate(mass_BHT, torch.tensor([2]), torch.tensor(0.5))
    assert torch.equal(gated.gates[0], expected_BHT) and (gated.gates[0] < 1).any()
    assert torch.equal(gated.gates[1], torch.ones_like(gated.gates[1]))
    assert not torch.equal(gated.logits, plain.logits)
    assert torch.equal(kept.logits, plain.logits)  # to the bit


def test_a_model_is_rebuilt_from_its_config_and_weights(vlm, inputs):
    image_NPD, ids_BT, mask_BT, answer_BT = inputs
    rebuilt = build(json.loads(json.dumps(vlm.config))).eval()
    rebuilt.load_state_dict(vlm.state_dict())
    with torch.no_grad():
        logits = [
            model.step(answer_BT, None, model.memory(image_NPD, None, ids_BT, mask_BT)).logits
            for model in (vlm, rebuilt)
        ]
    assert torch.equal(*logits)


def test_the_engine_answers_as_the_loop_of_transformers_would(vlm, stock, inputs):
    image_NPD, ids_BT, mask_BT, _ = inputs
    engine = TorchEngine(copy.deepcopy(vlm), None)
    memory = engine.memory(image_NPD.repeat_interleave(2, 0).numpy(), ids_BT.numpy(), mask_BT.numpy())
    kept = np.full(vlm.config["layers"], vlm.config["decoder_heads"])
    written = greedy.generate(engine, memory, DecodingInputs(2, vlm.config["end"], 6, kept, 1.0))
    assert len(written) == len(ids_BT)
    for row, answer in enumerate(written):
        ids = [2]
        while len(ids) <= 6 and ids[-1] != vlm.config["end"]:
            tokens = torch.tensor([ids])
            parts = (
                vlm.projector(image_NPD[row // 2]),
                *map(stock.get_input_embeddings(), (ids_BT[row, : LENGTHS[row] - 1], tokens[0])),
            )
            with torch.no_grad():
                ids.append(
                    int(
                        stock(inputs_embeds=torch.cat(parts)[None])
                        .logits[0, -1, : vlm.config["vocab_size"]]
                        .argmax()
                    )
                )
        assert answer.ids == [token for token in ids[1:] if token != vlm.config["end"]]


def test_the_projector_trains_alone_and_then_the_language_model_too(vlm):
    model = copy.deepcopy(vlm)
    trains = lambda: {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}  # noqa: E731
    model.enter(0, freeze_vision=False)
    assert trains() == {"projector"}
    model.enter(1, freeze_vision=True)
    assert trains() == {"projector", "language_model"}
    model.enter(1, freeze_vision=False)
    assert trains() == {"projector", "language_model", "vision"}


def test_adapters_move_the_matrices_of_the_layers_and_nothing_else_of_the_language_model():
    torch.manual_seed(0)
    model = language_models.models("llama")[0]
    before = {name: tensor.clone() for name, tensor in model.language_model.state_dict().items()}
    model.language_model.requires_grad_(False)
    lora.adapt(model.language_model.base_model, 4)
    model.tuned = [each for each in model.language_model.parameters() if each.requires_grad]
    model.enter(1, freeze_vision=True)
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01)
    ids_BT = torch.randint(8, model.config["vocab_size"], (2, 6))
    for _ in range(2):  # an adapter's first step starts from nothing
        image_NPD = model.image_tokens(torch.randn(2, 3, 32, 32))
        memory = model.memory(image_NPD, None, ids_BT, torch.ones_like(ids_BT, dtype=torch.bool))
        model.step(ids_BT, None, memory).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    lora.merge(model.language_model)
    after = model.language_model.state_dict()
    assert after.keys() == before.keys()
    moved = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert moved == {name for name in before if "_proj.weight" in name}


def clip():
    return tiny.models(tiny.tokenizer().size)[1]


@pytest.mark.parametrize(
    "change,message",
    [
        ({"max_position_embeddings": 64}, "reads 64 tokens at once"),
        ({"vocab_size": 30}, "the tokenizer has"),
    ],
)
def test_a_language_model_that_does_not_fit_is_refused(change, message):
    tokenizer = tiny.tokenizer()
    size = change.pop("vocab_size", tokenizer.size)
    small = language_models.language_model("llama", size, hf.ATTENTION, **change)
    with pytest.raises(ValueError, match=message):
        hf.from_clip(clip(), small, {"max_answer": 12, "max_question": 20}, tokenizer.size, tokenizer.eos)


def test_a_folder_without_a_model_or_a_tokenizer_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="has no config.json and no tokenizer.json"):
        hf.files(str(tmp_path), "")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="must hold config.json and model.safetensors"):
        hf.load(tmp_path)
