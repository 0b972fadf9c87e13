"""The models that are timed: the trained one of this checkout and, with random weights, the reference shape,
the same with the image tower of photographs, and a causal language model as decoder.

A BenchModel holds every form of one model as an engine: eager and compiled PyTorch, and its ONNX variants in
ONNX Runtime and, where it is installed, in OpenVINO.
"""

from __future__ import annotations

import copy
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sightline.core.params.loader import Params
from sightline.export import onnx_graphs, quantize, variants
from sightline.inference import execution_provider, openvino_graph, torch_session
from sightline.inference.engine import Engine
from sightline.inference.onnx_engine import CONFIG, GRAPHS, OnnxEngine, open_graph
from sightline.inference.torch_engine import TorchEngine
from sightline.models.decoder.cross_attention import from_clip
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import VLM
from sightline_lab.bench import workloads
from sightline_lab.bench.workloads import EAGER

COMPILED, TORCHAO = "torch.compile", "torchao int8 weights"
# Ours with pictures in OpenVINO, and OpenVINO as a peer, which computes all graphs: form, provider.
PICTURES_IN_OPENVINO = {
    f"ONNX fp32, {provider}": ("fp32", provider) for provider in execution_provider.OPENVINO
}
OPENVINO = {
    "OpenVINO fp32": ("fp32", "openvino"), "OpenVINO bf16": ("fp32", "openvino-bf16"),
    "OpenVINO int8": ("int8", "openvino"),
}  # fmt: skip
POST_TRAINING = {"int8 dynamic": quantize.quantize_dynamic, "int4 weights": quantize.quantize_int4}
CALIBRATION = 8  # batches of noise that calibrate random weights: only their speed is measured
REFERENCE = {
    "vision": {"tower": "timm", "name": "vit_tiny_patch16_224", "checkpoint": "none", "image_size": 224},
    "text": {"tower": "bert", "width": 192, "layers": 2, "heads": 3, "max_tokens": 32},
    "embed_dim": 256, "projection_hidden": 0, "dropout": 0.0, "temperature": 0.07, "words": ["a"],
    "fusion_width": 64, "fusion_layers": 1, "vocab_size": 1000,
}  # fmt: skip
REFERENCE_DECODER = {
    "width": 384, "layers": 6, "heads": 8, "max_answer": 64, "max_question": 4, "init_from_alignment": False,
}  # fmt: skip
# 196 patches of ViT-Tiny at 224 and 4 words of the question are 200 memory tokens.
CAUSAL = {
    "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True,
    "max_position_embeddings": 2048,
}  # fmt: skip
# The shape of SmolLM2-135M (config.json of HuggingFaceTB/SmolLM2-135M), behind 64 patches of a small tower.
CAUSAL_TOWERS = REFERENCE | {"vision": {"tower": "small_cnn", "width": 128, "image_size": 64}}


@dataclass(frozen=True)
class BenchModel:
    """folder: its ONNX variants, one sub-folder each; checkpoint: bytes of its float32 weights (answering and
    retrieval); question and caption: their lengths in tokens."""

    name: str
    vlm: VLM
    clip: DualEncoder
    folder: Path
    forms: list[str]
    question: int
    caption: int

    def engines(self, threads: int) -> dict[str, Engine]:
        engines: dict[str, Engine] = {EAGER: TorchEngine(self.vlm, self.clip)}
        engines[COMPILED] = _compiled(self.vlm, self.clip)
        if importlib.util.find_spec("torchao") is not None:
            engines[TORCHAO] = _weights_int8(self.vlm, self.clip)
        return engines | {name: self.engine(name, threads) for name in self.exported()}

    def exported(self) -> dict[str, tuple[str, str]]:
        """What this machine can run without PyTorch: name -> form, provider."""
        missing, named = absent(), {f"ONNX {form}": (form, execution_provider.CPU) for form in self.forms}
        return {
            name: of for name, of in (named | PICTURES_IN_OPENVINO | OPENVINO).items() if name not in missing
        }

    def engine(self, name: str, threads: int) -> OnnxEngine:
        """Of a name of `exported`."""
        form, provider = self.exported()[name]
        if name not in OPENVINO:
            return OnnxEngine(self.folder / form, threads, provider)
        engine = OnnxEngine(self.folder / form, 1, execution_provider.CPU)
        engine.open(lambda path, _: open_graph(path, threads, provider))
        return engine

    def bytes(self) -> dict[str, int]:
        """Of the weights in PyTorch (both models with their towers) and of each variant's files."""
        weights = sum(4 * p.numel() for model in (self.vlm, self.clip) for p in model.parameters())
        sizes = {form: variants.size(self.folder / form) for form in self.forms}
        return {EAGER: weights} | {name: sizes[form] for name, (form, _) in self.exported().items()}


def absent() -> dict[str, str]:
    """What OpenVINO cannot run here, and why."""
    needs = {
        name: execution_provider.OPENVINO[provider]
        for name, (_, provider) in (PICTURES_IN_OPENVINO | OPENVINO).items()
    }
    lacking = {name: openvino_graph.lacking(precision) for name, precision in needs.items()}
    return {name: why for name, why in lacking.items() if why is not None}


def default(models: Path, scratch: Path) -> BenchModel:
    """The trained model: what the export stage wrote, and the forms it does not write."""
    vlm, clip = torch_session.load_vlm(models / "vlm"), torch_session.load_clip(models / "clip")
    folder = scratch / "default"
    shutil.copytree(models / "onnx", folder)
    for form, write in POST_TRAINING.items():
        derive(folder, form, write)
    forms = ["fp32", "int8", "pruned_int8", "int4", *POST_TRAINING]
    return BenchModel(
        "default", vlm, clip, folder, forms, vlm.config["max_question"], clip.text.config["max_tokens"]
    )


def reference(
    params: Params, scratch: Path, config: dict = REFERENCE, decoder: dict = REFERENCE_DECODER,
    name: str = "reference",
) -> BenchModel:  # fmt: skip
    """Random weights in the shape that is compared across projects: speed does not depend on the weights."""
    torch.manual_seed(0)
    clip = DualEncoder(config)
    vlm = from_clip(clip, params.finetune.model_dump() | decoder, []).eval()
    return _exported(name, vlm, clip.eval(), scratch, params.export.opset)


def photo(params: Params, scratch: Path) -> BenchModel:
    """The reference with the convolutional image tower of profiles/flickr8k.yaml."""
    vision = REFERENCE["vision"] | {"name": "tf_efficientnet_lite2"}
    return reference(params, scratch, REFERENCE | {"vision": vision}, REFERENCE_DECODER, "photo")


def causal(
    scratch: Path, opset: int, towers: dict = CAUSAL_TOWERS, architecture: dict = CAUSAL
) -> BenchModel:
    """Random weights around a causal language model: `decoder.tower: hf`."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from sightline.models.decoder import hf

    torch.manual_seed(0)
    clip = DualEncoder(towers).eval()
    language_model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**architecture), attn_implementation=hf.ATTENTION
    )
    lengths = {name: REFERENCE_DECODER[name] for name in ("max_answer", "max_question")}
    vlm = hf.from_clip(clip, language_model, lengths, architecture["vocab_size"], end=0).eval()
    return _exported("causal", vlm, clip, scratch, opset)


def _exported(name: str, vlm: VLM, clip: DualEncoder, scratch: Path, opset: int) -> BenchModel:
    """A model with random weights in every form."""
    folder = scratch / name
    onnx_graphs.export_variants({"fp32": vlm}, clip, folder, opset, {"fp32": "random", "clip": "random"})
    bench_model = BenchModel(
        name, vlm, clip, folder, ["fp32", "int8", *POST_TRAINING],
        vlm.config["max_question"], clip.text.config["max_tokens"],
    )  # fmt: skip
    feeds = _fed(folder / "fp32", bench_model)
    derive(folder, "int8", lambda source, target: quantize.quantize(source, target, feeds[source.stem]))
    for form, write in POST_TRAINING.items():
        derive(folder, form, write)
    return bench_model


def derive(folder: Path, form: str, write: Callable[[Path, Path], None]) -> None:
    """Write folder/form: every graph of folder/fp32 in another form."""
    (folder / form).mkdir()
    shutil.copyfile(folder / "fp32" / CONFIG, folder / form / CONFIG)
    for graph in GRAPHS:
        write(folder / "fp32" / f"{graph}.onnx", folder / form / f"{graph}.onnx")


def _fed(folder: Path, bench_model: BenchModel) -> dict[str, list]:
    """Inputs of the graphs while noise is answered and embedded."""
    recorder = quantize.Recorder(folder)
    side, vocab = recorder.config["image_size"], recorder.config["vocab_size"]
    for _ in range(CALIBRATION):
        inputs = workloads.Inputs.random(1, side, bench_model.question, bench_model.caption, vocab, 4)
        for task in workloads.tasks(recorder, inputs).values():
            task()
        tokens_BPD, _ = recorder.embed_images(inputs.pixels_BCYX)
        mask_BS = np.ones(inputs.captions_BS.shape, dtype=bool)
        states_BSD, _ = recorder.embed_texts(inputs.captions_BS, mask_BS)
        recorder.match(tokens_BPD, states_BSD, mask_BS)
    return recorder.feeds


def _compiled(vlm: VLM, clip: DualEncoder) -> TorchEngine:
    """The functions where the time goes, compiled for changing lengths; each takes tens of seconds."""
    vlm, clip = copy.deepcopy(vlm), copy.deepcopy(clip)
    for model, names in ((vlm, ("step",)), (clip, ("encode_image",))):
        for name in names:
            setattr(model, name, torch.compile(getattr(model, name), dynamic=True))
    return TorchEngine(vlm, clip)


def _weights_int8(vlm: VLM, clip: DualEncoder) -> TorchEngine:
    """The models with weight-only int8 in every linear layer, by torchao."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    vlm, clip = copy.deepcopy(vlm), copy.deepcopy(clip)
    for model in (vlm, clip):
        quantize_(model, Int8WeightOnlyConfig())
    return TorchEngine(vlm, clip)
