"""PyTorch to ONNX: six graphs, each one file whose bytes depend on weights and versions alone.

B batch, T tokens, S cached tokens, M memory tokens, P patches, L layers, H heads, d head width, D width,
C,Y,X channels and sides. The decoder is one graph: an empty cache (S = 0) is prefill. Heads kept per layer
and alpha are inputs, attention maps and gates are outputs that a caller may leave unread.
"""

import ast
import contextlib
import hashlib
import io
import json
import logging
import multiprocessing
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from sightline.core import progress
from sightline.core.artifacts import read_json, write_json
from sightline.core.runtime import watch_launcher
from sightline.export import fused_attention, graph_modules, onnx_metadata
from sightline.export.simplify_graph import unstack
from sightline.inference.onnx_engine import CONFIG, GRAPHS, SEARCH_SIDE, graphs
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import VLM, build

WORKERS = 2
SCOPES = "pkg.torch.onnx.name_scopes"  # a node's modules, outermost first, and itself
Packed = tuple[dict[str, Any], dict[str, np.ndarray]]  # config and weights of a model
Model = TypeVar("Model", bound=nn.Module)


def export_variants(
    models: Mapping[str, VLM | None], clip: DualEncoder, root: Path, opset: int, sources: dict[str, str]
) -> None:
    """Write root/<name>, six graphs and engine.json, for every answering model; three graphs for None, which
    only searches.

    sources: digests of the artifacts of the models and, as "clip", of the dual encoder; each file says which
    one it was made from.

    All share `clip`, and the image tower of the first model, so later ones only bring graphs of their own for
    memory and decoder. Tracing is slow Python: graphs are exported in two processes. Raises ValueError for a
    model whose text tower is not clip's.
    """
    for name, vlm in models.items():
        if vlm is not None:
            _check_text(name, vlm, clip)
    first = next(iter(models))
    packed_clip = pack(clip)
    jobs = []
    for name, vlm in models.items():
        (root / name).mkdir(parents=True)
        config = engine_config(vlm, clip)
        new_graphs = graphs(config) if name == first else ("memory", "decoder")
        packed = None if vlm is None else pack(vlm)
        for graph in new_graphs:
            needed = None if graph in SEARCH_SIDE else packed
            jobs.append((graph, needed, packed_clip, root / name / f"{graph}.onnx", opset))
        write_json(root / name / CONFIG, config)
    jobs.sort(key=lambda job: GRAPHS.index(job[0]), reverse=True)  # the slowest first
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        exports = [pool.submit(_export_packed, *job) for job in jobs]
        for done in progress.track(exports, "exporting graphs"):
            done.result()
    _stamp(jobs, sources)
    for name in models:
        for graph in graphs(config):
            if not (root / name / f"{graph}.onnx").exists():
                shutil.copyfile(root / first / f"{graph}.onnx", root / name / f"{graph}.onnx")


def _check_text(name: str, vlm: VLM, clip: DualEncoder) -> None:
    """ValueError unless questions are read by the text tower that search uses, or by none: one graph serves
    both."""
    if vlm.text is None:
        return
    answering, searching = vlm.text.state_dict(), clip.text.state_dict()
    for weight, tensor in searching.items():
        if weight not in answering or not torch.equal(answering[weight], tensor):
            raise ValueError(
                f"export: {name}'s text tower differs from the dual encoder's in {weight}, expected the same "
                "frozen tower; rerun finetune and compress with the dual encoder that is exported"
            )


def _stamp(jobs: list[tuple[str, Packed | None, Packed, Path, int]], sources: dict[str, str]) -> None:
    """Write into each graph which configuration and artifact it was made from."""
    for _, vlm, clip, path, _ in jobs:
        config, made_of = clip[0], "clip"
        if vlm is not None:
            config, made_of = vlm[0], path.parent.name
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
        needed = str(_opset(onnx.load(path)))
        onnx_metadata.stamp(path, {"config": digest, "opset": needed, "source": sources[made_of]})


def pack(model: nn.Module) -> Packed:
    """A model as what another process needs to have it too."""
    config = cast(dict[str, Any], model.config)
    return config, {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def unpack(model: Model, weights: dict[str, np.ndarray]) -> Model:
    """The model with these weights, which are copied."""
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval()


def _export_packed(graph: str, vlm: Packed | None, clip: Packed, path: Path, opset: int) -> None:
    """`export_graph` in a process of its own, which ends with the one that started it."""
    watch_launcher()
    torch.set_num_threads(1)
    answering = None if vlm is None else unpack(build(vlm[0]), vlm[1])
    searching = unpack(DualEncoder(clip[0]), clip[1])
    for _, weights in filter(None, (vlm, clip)):
        weights.clear()  # the models have them, and tracing needs the memory
    export_graph(graph, answering, searching, path, opset)


def answers(folder: Path) -> bool:
    """Whether the variant in `folder` answers, not only searches."""
    return graphs(read_json(folder / CONFIG)) == GRAPHS


def engine_config(vlm: VLM | None, clip: DualEncoder | None) -> dict[str, Any]:
    """What the torch-free engine must know of the models, at least one. Without `clip` the model answers
    only."""
    if vlm is None:
        assert clip is not None  # there is one of the two
        return {
            "embed_dim": clip.config["embed_dim"],
            "grid": list(clip.vision.grid),
            "image_size": clip.vision.image_size,
            "vocab_size": clip.config["vocab_size"],
        }
    config = vlm.config
    own_tokens = {} if vlm.text is not None else {"decoder_vocab_size": config["vocab_size"]}
    searching: dict[str, Any] = {"searches": False}
    if clip is not None:
        searching = {"embed_dim": clip.config["embed_dim"]}
    return own_tokens | {
        **searching,
        "grid": list(config["grid"]),
        "head_width": config["head_width"],
        "heads": config["decoder_heads"],
        "image_size": vlm.vision.image_size,
        "layers": config["layers"],
        "max_answer": config["max_answer"],
        "vocab_size": config["vocab_size"] if clip is None else clip.config["vocab_size"],
    }


def export_graph(name: str, vlm: VLM | None, clip: DualEncoder | None, path: Path, opset: int) -> None:
    """Export one graph, check it with onnx.checker (shape inference included), and write it. Without `clip`:
    one of a model that answers only."""
    module, inputs, dynamic, outputs = _plan(name, vlm, clip)
    module.eval()
    with torch.no_grad(), _without_warnings():
        program = torch.onnx.export(
            module,
            args=tuple(inputs.values()),
            input_names=list(inputs),
            output_names=outputs,
            opset_version=max(opset, fused_attention.OPSET) if fused_attention.has_nodes(module) else opset,
            dynamo=True,
            external_data=False,
            dynamic_shapes=tuple(dynamic[key] for key in inputs),
            verbose=False,
        )
    assert program is not None  # dynamo gives one
    model = strip(program.model_proto)
    if name == "decoder":
        model = unstack(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _opset(model: onnx.ModelProto) -> int:
    return next(imported.version for imported in model.opset_import if not imported.domain)


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what describes the exporting machine (source paths, stack traces) and not the model; of that only
    the module a node belongs to stays, in front of its name: `vlm.decoder.layers.0.self_attention/...`."""
    del model.metadata_props[:]
    model.doc_string = ""
    for graph in (model.graph, *model.functions):
        graph.doc_string = ""
        del graph.metadata_props[:]
        for item in (
            *graph.node,
            *graph.value_info,
            *getattr(graph, "input", []),
            *getattr(graph, "output", []),
        ):
            if isinstance(item, onnx.NodeProto | onnx.ValueInfoProto):
                item.doc_string = ""
                if isinstance(item, onnx.NodeProto):
                    item.name = _module(item) + item.name
                del item.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    return model


def _module(node: onnx.NodeProto) -> str:
    """The path of the module that made a node, and a slash; empty for one that none made."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    modules = [scope for scope in ast.literal_eval(scopes)[:-1] if scope]
    return f"{modules[-1]}/" if modules else ""


def _plan(name: str, vlm: VLM | None, clip: DualEncoder | None) -> tuple[nn.Module, dict, dict, list[str]]:
    """(module, example inputs, dynamic axes, output names) of a graph. Example sizes are all different and
    above 1: an axis of size 1 would be taken for a constant."""
    draw = torch.Generator().manual_seed(0)
    batch, tokens, cached, question = Dim.DYNAMIC, Dim.DYNAMIC, Dim.DYNAMIC, Dim.DYNAMIC
    length = 7  # of a question
    if clip is None:
        assert vlm is not None  # there is one of the two
        side, (rows, columns), width = vlm.vision.image_size, vlm.config["grid"], vlm.config["vision_width"]
        length = vlm.config["max_question"]
    else:
        side, (rows, columns), width = clip.vision.image_size, clip.vision.grid, clip.vision.width
    patches = rows * columns
    reader = clip if vlm is None or name in SEARCH_SIDE else vlm
    assert reader is not None  # only a dual encoder has graphs of search
    ids = torch.randint(reader.config["vocab_size"], (2, length), generator=draw)
    text_mask = torch.ones(2, length, dtype=torch.bool)
    text, text_axes = (
        {"ids": ids, "text_mask": text_mask},
        dict.fromkeys(["ids", "text_mask"], {0: batch, 1: question}),
    )
    pixels = torch.rand(2, 3, side, side, generator=draw)
    image_tokens = torch.rand(2, patches, width, generator=draw)
    if clip is not None and name in SEARCH_SIDE:
        return _search_plan(name, clip, pixels, text, text_axes, patches)
    assert vlm is not None  # the other graphs answer
    if name == "vision":
        return graph_modules.Vision(vlm), {"pixels": pixels}, {"pixels": {0: batch}}, ["image_tokens"]
    if name == "memory" and vlm.text is None:
        inputs = {"image_tokens": image_tokens, **text}
        axes = {"image_tokens": {0: batch}, **text_axes}
        return graph_modules.CausalMemoryBuilder(vlm), inputs, axes, ["cross_k", "cross_v", "mask", "image"]
    if name == "memory":
        assert vlm.text is not None  # such models are the branch above
        states = torch.rand(2, length, vlm.text.width, generator=draw)
        inputs = {"image_tokens": image_tokens, "states": states, **text}
        axes = {"image_tokens": {0: batch}, "states": {0: batch, 1: question}, **text_axes}
        return graph_modules.MemoryBuilder(vlm), inputs, axes, ["cross_k", "cross_v", "mask", "image"]
    layers, heads, head_width = (vlm.config[key] for key in ("layers", "decoder_heads", "head_width"))
    groups = vlm.config["key_value_heads"] or heads
    memory_length = patches + length
    past = torch.rand(layers, 2, groups, 4, head_width, generator=draw)
    cross = torch.rand(layers, 2, groups, memory_length, head_width, generator=draw)
    inputs = {
        "tokens": ids[:, :3], "self_k": past, "self_v": past.clone(), "cross_k": cross,
        "cross_v": cross.clone(),
        "mask": torch.ones(2, memory_length, dtype=torch.bool),
        "image": torch.arange(memory_length).expand(2, -1) < patches,
        "heads_kept": torch.full((layers,), heads), "alpha": torch.tensor(0.5),
    }  # fmt: skip
    axes = {
        "tokens": {0: batch, 1: tokens}, **dict.fromkeys(["self_k", "self_v"], {1: batch, 3: cached}),
        **dict.fromkeys(["cross_k", "cross_v"], {1: batch, 3: question}),
        **dict.fromkeys(["mask", "image"], {0: batch, 1: question}), "heads_kept": {}, "alpha": {},
    }  # fmt: skip
    return graph_modules.DecoderStep(vlm), inputs, axes, ["logits", "next_k", "next_v", "maps", "gates"]


def _search_plan(
    name: str, clip: DualEncoder, pixels: Tensor, text: dict, text_axes: dict, patches: int
) -> tuple[nn.Module, dict, dict, list[str]]:
    """`_plan` of a graph of the dual encoder."""
    image_axes = {"pixels": {0: Dim.DYNAMIC}}
    if name == "image_encoder":
        return graph_modules.ImageEncoder(clip), {"pixels": pixels}, image_axes, ["tokens", "embeds"]
    if name == "text_encoder":
        return graph_modules.TextEncoder(clip), text, text_axes, ["states", "embeds"]
    rows, length = text["ids"].shape
    states = torch.rand(rows, length, clip.text.width)
    tokens_BPD = torch.rand(rows, clip.vision.num_prefix_tokens + patches, clip.vision.width)
    inputs = {"tokens": tokens_BPD, "states": states, "text_mask": text["text_mask"]}
    axes = {"tokens": {0: Dim.DYNAMIC}, "states": text_axes["ids"], "text_mask": text_axes["ids"]}
    return graph_modules.FusionHead(clip), inputs, axes, ["match"]


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """The exporter prints its progress and logs its optimiser's decisions; neither is for users."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
