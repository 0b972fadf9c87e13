"""Other libraries at the shapes with random weights, where they are installed."""

from __future__ import annotations

import copy
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sightline_lab.bench.bench_models import REFERENCE, REFERENCE_DECODER, BenchModel
from sightline_lab.bench.workloads import FIRST, Inputs

NEEDS = {
    "Hugging Face generate": "transformers", "open_clip": "open_clip", "torchao int8 weights": "torchao",
    "sentence-transformers": "sentence_transformers",
}  # fmt: skip
PACKAGES = {"open_clip": "open_clip_torch", "sentence_transformers": "sentence-transformers"}


def absent() -> dict[str, str]:
    """Baselines that are not installed, and how to install them."""
    return {
        baseline: f"not installed: pip install {PACKAGES.get(module, module)}"
        for baseline, module in NEEDS.items()
        if importlib.util.find_spec(module) is None
    }


def tasks(bench_model: BenchModel, inputs: Inputs) -> dict[str, dict[str, Callable[[], Any]]]:
    """Task -> baseline -> what to time, as in workloads.tasks; nothing for the trained model, whose shape no
    other library has."""
    calls: dict[str, dict[str, Callable[[], Any]]] = {}
    if bench_model.name == "causal":
        return {"answer": {"Hugging Face generate": _causal(bench_model, inputs)}}
    if bench_model.name != "reference":
        return calls
    makers = {
        "Hugging Face generate": _hugging_face, "open_clip": _open_clip,
        "sentence-transformers": _sentence_transformers,
    }  # fmt: skip
    missing = absent()
    for baseline, make in makers.items():
        if baseline not in missing:
            for task, call in make(inputs).items():
                calls.setdefault(task, {})[baseline] = call
    return calls


def _hugging_face(inputs: Inputs) -> dict[str, Callable[[], Any]]:
    """BART's decoder over 200 encoded tokens, through `generate`; ViT-Tiny before the first token."""
    from transformers import BartConfig, BartForConditionalGeneration, ViTConfig, ViTModel
    from transformers.modeling_outputs import BaseModelOutput

    shape, width = REFERENCE_DECODER, REFERENCE_DECODER["width"]
    torch.manual_seed(0)
    vit = ViTModel(ViTConfig(hidden_size=192, num_attention_heads=3, intermediate_size=768), False).eval()
    bart = BartForConditionalGeneration(
        BartConfig(
            vocab_size=REFERENCE["vocab_size"],
            d_model=width,
            max_position_embeddings=128,
            encoder_layers=1,
            encoder_attention_heads=8,
            encoder_ffn_dim=4 * width,
            decoder_layers=shape["layers"],
            decoder_attention_heads=shape["heads"],
            decoder_ffn_dim=4 * width,
            decoder_start_token_id=FIRST,
            forced_eos_token_id=None,
        )  # fmt: skip
    ).eval()
    project = torch.nn.Linear(192, width)
    pixels = torch.from_numpy(inputs.pixels_BCYX)
    read = torch.randn(inputs.batch, 200, width)

    @torch.inference_mode()
    def generate(encoded: torch.Tensor, tokens: int) -> torch.Tensor:
        return bart.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded), do_sample=False, num_beams=1,
            max_new_tokens=tokens, min_new_tokens=tokens, use_cache=True,
        )  # fmt: skip

    @torch.inference_mode()
    def first() -> torch.Tensor:
        return generate(project(vit(pixels).last_hidden_state), 1)

    return {"answer": lambda: generate(read, inputs.tokens), "first token": first}


def _causal(bench_model: BenchModel, inputs: Inputs) -> Callable[[], Any]:
    """The same language model with transformers' own attention, through `generate`, from kept keys and values
    of as many tokens as image and question have."""
    from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

    config = bench_model.vlm.config
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config["architecture"])).eval()
    model.load_state_dict(bench_model.vlm.get_submodule("language_model").state_dict())
    read = config["grid"][0] * config["grid"][1] + inputs.ids_BS.shape[1]
    prefix = torch.randint(5, config["vocab_size"], (inputs.batch, read + 1))
    kept = DynamicCache(config=model.config)
    with torch.inference_mode():
        model(input_ids=prefix[:, :-1], past_key_values=kept, use_cache=True)

    @torch.inference_mode()
    def generate() -> torch.Tensor:
        return model.generate(
            prefix, attention_mask=torch.ones_like(prefix), past_key_values=copy.deepcopy(kept),
            do_sample=False, max_new_tokens=inputs.tokens, min_new_tokens=inputs.tokens, pad_token_id=0,
        )  # fmt: skip

    return generate


def open_clip_model(**settings: bool) -> torch.nn.Module:
    """open_clip's dual encoder with towers of the reference's widths and depths."""
    import open_clip

    text = REFERENCE["text"]
    return open_clip.CLIP(
        REFERENCE["embed_dim"],
        {"image_size": REFERENCE["vision"]["image_size"], "layers": 12, "width": 192, "head_width": 64,
         "patch_size": 16},
        {"context_length": text["max_tokens"], "vocab_size": REFERENCE["vocab_size"],
         "width": text["width"], "heads": text["heads"], "layers": text["layers"]},
        **settings,
    )  # fmt: skip


def _open_clip(inputs: Inputs) -> dict[str, Callable[[], Any]]:
    model = open_clip_model().eval()
    pixels, ids = torch.from_numpy(inputs.pixels_BCYX), torch.from_numpy(inputs.captions_BS)

    @torch.inference_mode()
    def images() -> torch.Tensor:
        return model.encode_image(pixels, normalize=True)

    @torch.inference_mode()
    def texts() -> torch.Tensor:
        return model.encode_text(ids, normalize=True)

    return {"image": images, "text": texts}


def _sentence_transformers(inputs: Inputs) -> dict[str, Callable[[], Any]]:
    """A text tower of the reference's shape, pooled and projected; its own tokenizer takes no part."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    text, words = REFERENCE["text"], REFERENCE["vocab_size"]
    torch.manual_seed(0)
    tower = BertModel(
        BertConfig(
            vocab_size=words, hidden_size=text["width"], num_hidden_layers=text["layers"],
            num_attention_heads=text["heads"], intermediate_size=4 * text["width"],
            max_position_embeddings=text["max_tokens"],
        )
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        lines = special + [f"word{number}" for number in range(words - len(special))]
        vocabulary.write_text("\n".join(lines), encoding="utf-8")
        tower.save_pretrained(folder)
        BertTokenizerFast(str(vocabulary)).save_pretrained(folder)
        read = Transformer(folder)
    model = SentenceTransformer(
        modules=[
            read, Pooling(text["width"]), Dense(text["width"], REFERENCE["embed_dim"]), Normalize(),
        ],
        device="cpu",
    ).eval()  # fmt: skip
    ids = torch.from_numpy(inputs.captions_BS)

    @torch.inference_mode()
    def texts() -> torch.Tensor:
        return model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["sentence_embedding"]

    return {"text": texts}
