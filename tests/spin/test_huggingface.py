"""SPIN on Hugging Face models: stock bits when off, the published rule, batches, generation, errors."""

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, LlamaConfig, LlamaForCausalLM
from transformers.masking_utils import eager_mask

from sightline import spin
from sightline.spin import huggingface
from tests.support.tiny_vlms import BUILDERS, HEADS, IMAGE, LAYERS, PAD, ROWS, VIDEO, Tiny, build

SRC = Path(spin.__file__).parents[2]
HALF = {"keep": 0.5, "alpha": 0.0}
END = 2
NO_IMAGE = {"suppress_tokens": [IMAGE, VIDEO]}  # a model that recomputes its prompt has no picture for them
tiny = cache(build)  # (name, attention) -> the same model for every test


@pytest.fixture(params=BUILDERS)
def vlm(request) -> Tiny:
    return tiny(request.param)


def answers(vlm: Tiny, rows: list, tokens: int = 8, **settings) -> list[list[int]]:
    """Greedy answers of a batch: neither the prompt nor what stands after the end."""
    inputs = vlm.batch(rows)
    made = vlm.model.generate(**inputs, max_new_tokens=tokens, do_sample=False, **settings)
    new = made[:, inputs["input_ids"].shape[1] :].tolist()
    return [row[: row.index(END)] if END in row else row for row in new]


def logits(vlm: Tiny, rows: list) -> torch.Tensor:
    with torch.no_grad():
        return vlm.model(**vlm.batch(rows)).logits


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("off", [{"keep": 1, "alpha": 0.0}, {"keep": 0.5, "alpha": 1.0}], ids=str)
def test_off_changes_no_bit(name, attention, off):
    vlm, rows = tiny(name, attention), ROWS[:3]
    greedy, several = {"do_sample": False}, {"num_return_sequences": 2}
    ways = (greedy, {**greedy, **several, "num_beams": 3}, {**several, "do_sample": True, "top_k": 5})
    inputs = vlm.batch(rows)

    def everything() -> list[torch.Tensor]:
        torch.manual_seed(1)
        made = [vlm.model.generate(**inputs, max_new_tokens=5, **way) for way in ways]
        return [logits(vlm, rows), *made]

    stock = everything()
    with spin.suppressed(vlm.model, **off):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(everything(), stock, strict=True))
    with spin.suppressed(vlm.model, **HALF):
        assert not torch.equal(logits(vlm, rows), stock[0])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(everything(), stock, strict=True))


@pytest.mark.parametrize("settings", [HALF, {"top_k": 2, "alpha": 0.1, "score": "logit_sum"}], ids=str)
def test_a_row_in_a_left_padded_batch_answers_as_alone(vlm, settings):
    with spin.suppressed(vlm.model, **settings):
        alone = [answers(vlm, [row])[0] for row in ROWS]
        assert answers(vlm, ROWS[:2]) == alone[:2]
        assert answers(vlm, ROWS) == alone
        assert answers(vlm, ROWS[2:4], num_beams=3) == [
            *answers(vlm, ROWS[2:3], num_beams=3),
            *answers(vlm, ROWS[3:4], num_beams=3),
        ]
    assert answers(vlm, ROWS) != alone


def test_cached_generation_equals_no_cache_when_every_query_is_gated(vlm):
    with spin.suppressed(vlm.model, **HALF, queries="all"):
        cached = answers(vlm, ROWS[:3], **NO_IMAGE)
        assert cached == answers(vlm, ROWS[:3], use_cache=False, **NO_IMAGE)
    with spin.suppressed(vlm.model, **HALF):
        assert answers(vlm, ROWS[:3], **NO_IMAGE) != cached


def test_a_static_cache_answers_as_a_growing_one(vlm):
    with spin.suppressed(vlm.model, **HALF):
        assert answers(vlm, ROWS[:2], cache_implementation="static") == answers(vlm, ROWS[:2])


def test_top_k_1_and_alpha_0_is_zeroing_the_other_heads_by_hand(vlm):
    """One step after the prompt: in each layer the heads but the one with most mass on the image are set to 0
    by a hook before the output projection. Which one it is comes from the stock model's own attentions, layer
    by layer."""
    vlm = tiny(vlm.name, "eager")  # the stock model then returns its attentions
    inputs = vlm.batch(ROWS[1:2])
    image_K = torch.cat([inputs["input_ids"][0] == IMAGE, torch.tensor([False])])
    step = {"input_ids": torch.tensor([[33]])}
    with torch.no_grad(), spin.suppressed(vlm.model, top_k=1, alpha=0.0):
        filled = vlm.model(**inputs, use_cache=True).past_key_values
        mine = vlm.model(**step, past_key_values=copy.deepcopy(filled)).logits
    projections = [module for name, module in vlm.model.named_modules() if name.endswith("self_attn.o_proj")]
    hooks, loudest = [], []
    for layer in range(LAYERS):
        with torch.no_grad():
            output = vlm.model(**step, past_key_values=copy.deepcopy(filled), output_attentions=True)
        # Ties go to the lower head.
        mass_H = (output.attentions[layer][0, :, 0, image_K].sum(-1) * 1e4).round().tolist()
        loudest.append(mass_H.index(max(mass_H)))

        def only(module: nn.Module, args: tuple, head: int = loudest[-1]) -> tuple:
            kept = torch.zeros(HEADS, 1)
            kept[head] = 1.0
            return ((args[0].unflatten(-1, (HEADS, -1)) * kept).flatten(-2),)

        hooks.append(projections[-LAYERS:][layer].register_forward_pre_hook(only))
    with torch.no_grad():
        by_hand = vlm.model(**step, past_key_values=copy.deepcopy(filled)).logits
    for hook in hooks:
        hook.remove()
    assert torch.equal(mine, by_hand)
    with torch.no_grad():
        assert not torch.equal(mine, vlm.model(**step, past_key_values=filled).logits)


def published(start: int, end: int, ratio: float, small: float, layers: range):
    """Attention with the rule of the published code (llama_new_forward), restated: logits of the last query
    summed over one span, divided by their deviation, softmax, top int(ratio * H) heads; ones for all earlier
    queries; the factors laid out by concatenation over the batch."""

    def attend(module, query, key, value, attention_mask, scaling, **kwargs):
        rows, heads, queries, _ = query.shape
        key, value = (x.repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
        weights = query @ key.transpose(2, 3) * scaling
        weights = weights if attention_mask is None else weights + attention_mask[..., : key.shape[2]]
        factor = torch.ones(rows, queries, heads)
        if module.layer_idx in layers:
            total = weights[:, :, -1, start:end].sum(-1)
            chances = (total / total.std(1, keepdim=True)).softmax(1)
            kept = chances.topk(int(ratio * heads)).indices
            last = torch.full((rows, heads), small).scatter(1, kept, 1.0)
            earlier = torch.ones(rows * (queries - 1), heads)
            factor = torch.cat([earlier, last]).reshape(rows, queries, heads)
        output = (weights.softmax(-1) @ value).transpose(1, 2)
        return output * factor[..., None], None

    return attend


@pytest.mark.parametrize("ratio,small,layers", [(0.75, 0.08, range(0, 2)), (0.8, 0.1, range(0, LAYERS))])
def test_logit_sum_is_the_published_rule(vlm, monkeypatch, ratio, small, layers):
    row = ROWS[3]  # one picture
    where = (vlm.batch([row])["input_ids"][0] == IMAGE).nonzero()
    restated = published(int(where[0]), int(where[-1]) + 1, ratio, small, layers)
    monkeypatch.setitem(AttentionInterface._global_mapping, "published", restated)
    monkeypatch.setitem(AttentionMaskInterface._global_mapping, "published", eager_mask)
    outputs = {"output_logits": True, "return_dict_in_generate": True}
    keywords = {**outputs, "max_new_tokens": 6, "do_sample": False}
    with spin.suppressed(vlm.model, keep=ratio, alpha=small, layers=layers, score="logit_sum"):
        mine = vlm.model.generate(**vlm.batch([row]), **keywords)
    try:
        vlm.model.set_attn_implementation({"text_config": "published"})
        theirs = vlm.model.generate(**vlm.batch([row]), **keywords)
        twins = vlm.model(**vlm.batch([row, row])).logits[:, -1]
    finally:
        vlm.model.set_attn_implementation({"text_config": "sdpa"})
    assert torch.equal(mine.sequences, theirs.sequences)
    # fp32 sums of 64 products in another order: a few 1e-6 of logits around 10
    assert torch.allclose(torch.stack(mine.logits), torch.stack(theirs.logits), rtol=0, atol=1e-4)
    # Its layout of a batch gates the second row twice and the first one never; ours gates both.
    stock = logits(vlm, [row])[0, -1]
    assert torch.allclose(twins[0], stock, rtol=0, atol=1e-4)
    assert not torch.allclose(twins[1], stock, rtol=0, atol=1e-2)


def test_silenced_counts_heads_of_the_chosen_layers(vlm):
    with spin.suppressed(vlm.model, keep=0.4, alpha=0.5, layers=[1]) as work:
        answers(vlm, ROWS[:3])
        share_LH = work.silenced()
        work.reset()
        assert not work.silenced().any()
    assert work.k_L == [HEADS, 3, HEADS]
    assert share_LH.shape == (LAYERS, HEADS) and not share_LH[[0, 2]].any()
    assert share_LH[1].sum() == pytest.approx(HEADS - 3)  # every gated query silences H - K heads
    assert len(set(share_LH[1])) > 2  # not always the same ones


def test_a_prompt_without_image_is_left_alone(vlm):
    ids = torch.tensor([[1, 5, 6, 7]])
    with torch.no_grad():
        stock = vlm.model(input_ids=ids).logits
        with spin.suppressed(vlm.model, **HALF, queries="all") as work:
            assert torch.equal(vlm.model(input_ids=ids).logits, stock)
            mixed = logits(vlm, ROWS[:1])
    assert work.silenced().any()
    ahead = len(ROWS[0][0])  # text before the picture: no query there sees it
    assert torch.equal(mixed[:, :ahead].argmax(-1), logits(vlm, ROWS[:1])[:, :ahead].argmax(-1))
    assert not torch.equal(mixed[:, ahead:], logits(vlm, ROWS[:1])[:, ahead:])


def test_image_positions_by_hand():
    ids = torch.tensor([[IMAGE, 5, IMAGE, VIDEO], [PAD, IMAGE, IMAGE, 7]])
    mask = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 1]])
    assert huggingface.image_positions(ids, mask, [IMAGE, VIDEO]).tolist() == [
        [False, False, True, True],
        [False, False, True, False],
    ]
    past = torch.tensor([[1, 1, 1, 0, 1, 1]])  # of a cached call: two columns stand before these four
    assert huggingface.image_positions(ids[:1], past, [IMAGE]).tolist() == [[True, False, True, False]]
    assert huggingface.image_positions(ids[:1], None, [IMAGE]).tolist() == [[True, False, True, False]]


def test_image_keys_fit_sliding_and_static_caches():
    image_BK = torch.tensor([[True, True, False]])
    assert huggingface.fitted(image_BK, 2).tolist() == [[True, False]]
    assert huggingface.fitted(image_BK, 5).tolist() == [[True, True, False, False, False]]


def test_a_generated_image_token_is_no_image(vlm):
    with torch.no_grad(), spin.suppressed(vlm.model, **HALF):
        cached = vlm.model(**vlm.batch(ROWS[:1]), use_cache=True).past_key_values
        vlm.model(input_ids=torch.tensor([[IMAGE]]), past_key_values=cached)
        image_keys = getattr(cached, huggingface.IMAGE_KEYS)
    assert image_keys.sum() == vlm.image_tokens and not image_keys[0, -1]


def test_qwen_types_and_token_numbers_agree():
    inputs = tiny("qwen2_vl").batch(ROWS)
    mine = huggingface.image_positions(inputs["input_ids"], inputs["attention_mask"], [IMAGE, VIDEO])
    assert torch.equal(mine, inputs["mm_token_type_ids"] > 0)


def test_two_models_are_attached_independently():
    first, second = build("llava"), build("llava")
    stock = logits(second, ROWS[:2])
    one = spin.attach(first.model, **HALF)
    assert torch.equal(logits(second, ROWS[:2]), stock)
    spin.attach(second.model, top_k=1, alpha=0.0)
    assert not torch.equal(logits(first, ROWS[:2]), logits(second, ROWS[:2]))
    spin.detach(second.model)
    assert torch.equal(logits(second, ROWS[:2]), stock) and one.silenced().any()


def test_the_vision_tower_is_left_alone(vlm):
    text, sight = vlm.model.config.text_config, vlm.model.config.vision_config
    before = (text._attn_implementation, sight._attn_implementation)
    with spin.suppressed(vlm.model, **HALF):
        assert (text._attn_implementation, sight._attn_implementation) == ("spin_sdpa", before[1])
    assert (text._attn_implementation, sight._attn_implementation) == before


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"alpha": 0.0}, "exactly one of keep and top_k"),
        ({"alpha": 0.0, "keep": 0.5, "top_k": 2}, "exactly one of keep and top_k"),
        ({"alpha": 0.0, "keep": 0.0}, "share of the heads"),
        ({"alpha": 0.0, "top_k": 9}, "has 8 heads per layer"),
        ({"alpha": 2.0, "keep": 0.5}, "spin.alpha is 2.0"),
        ({"alpha": 0.0, "keep": 0.5, "layers": [3]}, r"names \[3\]: this model has the layers 0..2"),
        ({"alpha": 0.0, "keep": 0.5, "score": "max"}, "choose one of mass, logit_sum"),
        ({"alpha": 0.0, "keep": 0.5, "queries": "first"}, "choose one of last, all"),
    ],
)
def test_a_wrong_setting_leaves_the_model_as_it_was(vlm, settings, message):
    stock = logits(vlm, ROWS[:1])
    with pytest.raises(ValueError, match=message):
        spin.attach(vlm.model, **settings)
    assert torch.equal(logits(vlm, ROWS[:1]), stock)
    with pytest.raises(ValueError, match="has no SPIN attached"):
        spin.detach(vlm.model)


def test_attached_twice_or_never(vlm):
    with spin.suppressed(vlm.model, **HALF), pytest.raises(ValueError, match="call detach"):
        spin.attach(vlm.model, **HALF)
    with pytest.raises(ValueError, match="call attach"):
        spin.detach(vlm.model)


def test_spin_is_not_switched_off_in_silence():
    model = build("llava").model
    with spin.suppressed(model, **HALF):
        model.set_attn_implementation("eager")
        with pytest.raises(ValueError, match="detach first"):
            model(input_ids=torch.tensor([[1, 5]]))


def test_models_without_image_tokens_are_refused():
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(ValueError, match="LlamaForCausalLM has no config.image_token_id"):
        spin.attach(LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=8)), **HALF)
    crossing = build("llava").model
    crossing.config.text_config.cross_attention_layers = [1]  # as Llama 3.2 Vision reads its image
    with pytest.raises(ValueError, match="does not read its image as tokens"):
        spin.attach(crossing, **HALF)
    flash = build("llava").model
    flash.config.text_config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(ValueError, match="'flash_attention_2' attention; call model.set_attn_implementation"):
        spin.attach(flash, **HALF)


def test_an_exception_leaves_the_stock_model(vlm):
    stock = logits(vlm, ROWS[:2])
    with pytest.raises(RuntimeError, match="stop here"), spin.suppressed(vlm.model, **HALF):
        raise RuntimeError("stop here")
    assert torch.equal(logits(vlm, ROWS[:2]), stock)
    with spin.suppressed(vlm.model, **HALF):
        gated = logits(vlm, ROWS[:2])
        with pytest.raises(Exception, match="(?i)image.* tokens"):
            vlm.model(**vlm.batch(ROWS[:2]) | {"input_ids": torch.tensor([[IMAGE] * 7] * 2)})
        assert torch.equal(logits(vlm, ROWS[:2]), gated)
    assert torch.equal(logits(vlm, ROWS[:2]), stock)


def test_calls_that_hide_where_the_image_is_are_refused(vlm):
    inputs = vlm.batch(ROWS[:1])
    filled = vlm.model(**inputs, use_cache=True).past_key_values
    with spin.suppressed(vlm.model, **HALF):
        with pytest.raises(ValueError, match="without input_ids"):
            vlm.model(inputs_embeds=torch.zeros(1, 3, 64))
        with pytest.raises(ValueError, match="start again from the prompt"):
            vlm.model(input_ids=torch.tensor([[5]]), past_key_values=filled)
        with pytest.raises(RuntimeError, match="call the model that was given to attach"):
            vlm.model.model(**inputs)


def test_the_package_has_no_other_name():
    with pytest.raises(AttributeError, match="no attribute 'spun'"):
        _ = spin.spun
