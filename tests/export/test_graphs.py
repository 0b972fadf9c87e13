"""The exported graphs against the PyTorch models they came from, and as files."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from sightline.export import fused_attention, onnx_graphs, onnx_metadata, parity
from sightline.export.quantize import Recorder, quantize
from sightline.inference import onnx_engine as onnx_engine
from sightline.inference import torch_session as trained_models
from sightline.inference.decoding import greedy
from sightline.inference.engine import DecodingInputs, take_memory
from sightline.inference.onnx_engine import GRAPHS, OnnxEngine
from sightline.inference.session import Session
from sightline.inference.torch_engine import TorchEngine
from sightline.models.dual_encoder import DualEncoder
from tests.support import in_this_process, tiny

REPOSITORY = Path(__file__).resolve().parents[2]
# float32 kernels add in different orders: logits of order 10, 1e-7 relative per addition, hundreds of them.
# Measured worst 1e-5; a wrong head, mask or position moves logits by more than 1e-2.
ATOL = 1e-4


@pytest.fixture(scope="module")
def engines(trained, root):
    return TorchEngine(*trained), OnnxEngine(root / "fp32")


def prompts(batch, seed=0, length=tiny.MAX_QUESTION):
    draw = np.random.default_rng(seed)
    pixels = draw.normal(size=(batch, 3, 32, 32)).astype(np.float32)
    ids = draw.integers(5, 60, size=(batch, length))
    mask = np.arange(length) < draw.integers(3, length + 1, size=(batch, 1))
    return pixels, ids, mask


def memory(engine, pixels, ids, mask):
    return engine.memory(engine.image_tokens(pixels), ids, mask)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("keep,alpha", [(4, 1.0), (2, 0.5), (1, 0.0)])
def test_decoder_equals_pytorch_for_any_batch_length_and_k(engines, batch, keep, alpha):
    k_L, tokens = np.array([keep, 4]), np.random.default_rng(1).integers(5, 60, size=(batch, 6))
    ours, theirs = (
        engine.step(tokens, None, memory(engine, *prompts(batch, keep)), k_L, alpha, True)
        for engine in engines
    )
    np.testing.assert_allclose(theirs.logits_BTV, ours.logits_BTV, atol=ATOL)
    np.testing.assert_allclose(theirs.maps_LBHTM, ours.maps_LBHTM, atol=ATOL)
    np.testing.assert_array_equal(theirs.gates_LBHT, ours.gates_LBHT)
    assert (theirs.gates_LBHT[0] == 1.0).sum(axis=1).max() == (4 if alpha == 1.0 else keep)
    assert (theirs.gates_LBHT[1] == 1.0).all()


def test_an_empty_cache_is_prefill_and_steps_continue_it(engines):
    engine = engines[1]
    seen, k_L = memory(engine, *prompts(3)), np.array([2, 2])
    tokens = np.random.default_rng(2).integers(5, 60, size=(3, 7))
    whole = engine.step(tokens, None, seen, k_L, 0.5, False).logits_BTV
    cache, parts = None, []
    for start, end in ((0, 1), (1, 2), (2, 5), (5, 7)):
        step = engine.step(tokens[:, start:end], cache, seen, k_L, 0.5, False)
        cache, parts = step.cache, [*parts, step.logits_BTV]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=ATOL)


def test_a_cache_goes_on_with_the_rows_that_are_taken_from_it(engines):
    tokens, rows = np.random.default_rng(5).integers(5, 60, size=(4, 3)), np.array([3, 1, 3])
    assert len(engines) == 2
    for engine in engines:
        seen, k_L = memory(engine, *prompts(4)), np.array([2, 2])
        whole = engine.step(tokens, None, seen, k_L, 0.5, False)
        begun = engine.step(tokens[:, :2], None, seen, k_L, 0.5, False)
        taken = take_memory(seen, rows)
        more = engine.step(tokens[rows, 2:], begun.cache.take(rows), taken, k_L, 0.5, False)
        np.testing.assert_allclose(more.logits_BTV[:, 0], whole.logits_BTV[rows, 2], atol=ATOL)


def test_encoders_and_fusion_equal_pytorch(engines):
    pixels, ids, mask = prompts(3)
    encoded = []
    for engine in engines:
        tokens, image = engine.embed_images(pixels)
        states, text = engine.embed_texts(ids, mask)
        encoded.append((tokens, image, states, text, engine.match(tokens, states, mask)))
    assert len(encoded[0]) == 5
    for ours, theirs in zip(*encoded, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=ATOL)


@pytest.mark.parametrize("variant", ["fp32", "int8", "int4"])
def test_a_row_is_the_same_to_the_bit_whatever_its_neighbours(root, variant):
    engine, k_L = OnnxEngine(root / variant), np.array([2, 2])
    pixels, ids, mask = prompts(8)

    def logits(order):
        seen = memory(engine, pixels[order], ids[order], mask[order])
        return engine.step(np.full((8, 3), 7), None, seen, k_L, 0.5, False).logits_BTV

    together = logits(np.arange(8))
    np.testing.assert_array_equal(logits(np.array([5, 0, 0, 1, 2, 3, 4, 6]))[0], together[5])
    np.testing.assert_array_equal(logits(np.full(8, 5))[0], together[5])
    np.testing.assert_array_equal(logits(np.array([0, 1, 2, 5, 0, 1, 2, 0]))[3], together[5])


def test_parity_finds_nothing_between_a_model_and_its_export(trained, root):
    images = tiny.pictures(12)
    questions = [tiny.QUESTIONS[i % 4] for i in range(12)]
    figures = parity.compare(
        trained_models.session(*trained, root), Session.open(root, "fp32"), images, questions
    )
    parity.check(figures, "fp32")
    assert figures["items"] == 12 and figures["tokens"] >= 12
    assert 0 < figures["max_logit_difference"] < ATOL


def test_parity_fails_loudly_for_another_model(root):
    other = tiny.models(tiny.tokenizer().size, seed=1)
    figures = parity.compare(
        trained_models.session(*other, root),
        Session.open(root, "fp32"),
        tiny.pictures(4),
        list(tiny.QUESTIONS),
    )
    with pytest.raises(parity.ParityError, match="fp32: max_logit_difference"):
        parity.check(figures, "fp32")


def test_a_second_process_exports_the_same_bytes(root, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.support import tiny; from sightline.export import onnx_graphs\n"
        "vlm, clip = tiny.models(tiny.tokenizer().size)\n"
        "onnx_graphs.export_graph('vision', vlm, clip, Path(sys.argv[1]), 20)"
    )
    path = f"{REPOSITORY / 'src'}{os.pathsep}{REPOSITORY}"
    env = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "123", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    again = tmp_path / "vision.onnx"
    command = [sys.executable, "-c", code, str(again)]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    onnx_metadata.stamp(again, onnx_metadata.read(root / "fp32" / "vision.onnx"))
    assert again.read_bytes() == (root / "fp32" / "vision.onnx").read_bytes()


@pytest.mark.parametrize("variant", ["fp32", "int8"])
@pytest.mark.parametrize("name", GRAPHS)
def test_files_are_whole_checked_and_say_nothing_of_the_machine(root, variant, name):
    path = root / variant / f"{name}.onnx"
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    data = path.read_bytes()
    for word in (
        b".py",
        b"site-packages",
        str(Path.home()).encode() + b"/",
        str(root.parent).encode(),
        b"/tmp/",
    ):
        assert word not in data
    assert {opset.domain for opset in model.opset_import} == {""}
    assert not any(tensor.external_data for tensor in model.graph.initializer)


@pytest.mark.parametrize("variant", ["fp32", "int8", "int4"])
def test_graphs_declare_no_empty_output_and_load_without_a_warning(root, variant, capfd):
    for name in GRAPHS:
        path = root / variant / f"{name}.onnx"
        for value in onnx.load(path).graph.output:
            assert all(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim), value.name
        ort.InferenceSession(path)  # with the log level that ONNX Runtime has by itself
    assert capfd.readouterr() == ("", "")


def test_quantizing_the_decoder_prints_nothing_and_keeps_its_outputs(root, tmp_path, capfd):
    recorder = Recorder(root / "fp32")
    tokens = np.random.default_rng(1).integers(5, 60, size=(2, 3))
    recorder.step(tokens, None, memory(recorder, *prompts(2)), np.array([2, 4]), 0.5, True)
    quantize(root / "fp32" / "decoder.onnx", tmp_path / "decoder.onnx", recorder.feeds["decoder"])
    assert capfd.readouterr() == ("", "")
    plain, int8 = (onnx.load(folder / "decoder.onnx").graph for folder in (root / "fp32", tmp_path))
    assert [value.name for value in int8.output] == [value.name for value in plain.output]


def test_decoder_names_its_inputs_and_optional_outputs(root):
    graph = onnx.load(root / "fp32" / "decoder.onnx").graph
    assert [value.name for value in graph.input] == [
        "tokens", "self_k.0", "self_k.1", "self_v.0", "self_v.1", "cross_k.0", "cross_k.1", "cross_v.0",
        "cross_v.1", "mask", "image", "heads_kept", "alpha",
    ]  # fmt: skip
    assert [value.name for value in graph.output] == [
        "logits", "next_k.0", "next_k.1", "next_v.0", "next_v.1", "maps.0", "maps.1", "gates.0", "gates.1",
    ]  # fmt: skip


def test_an_attention_of_the_decoder_is_one_node(trained, root):
    nodes = [node.op_type for node in onnx.load(root / "fp32" / "decoder.onnx").graph.node]
    assert nodes.count("Attention") == 2 * trained[0].config["layers"] and "Softmax" not in nodes


@pytest.mark.parametrize("name", ["text_encoder", "memory"])
def test_a_graph_is_captured_at_the_first_try(trained, name, tmp_path, monkeypatch):
    """len() of a tensor fixes its size, which PyTorch's exporter notices at the end and tries another way."""
    tries, capture = [], torch.export.export
    monkeypatch.setattr(
        torch.export, "export", lambda *args, **settings: tries.append(name) or capture(*args, **settings)
    )
    onnx_graphs.export_graph(name, *trained, tmp_path / "graph.onnx", 20)
    assert tries == [name]


def test_layers_taken_apart_give_the_same_bits(trained, root, tmp_path, monkeypatch):
    """The decoder as the exporter writes it, layers in one tensor, against the one that is shipped."""
    stacked, apart = tmp_path / "stacked.onnx", root / "fp32" / "decoder.onnx"
    monkeypatch.setattr(onnx_graphs, "unstack", lambda model: model)
    onnx_graphs.export_graph("decoder", *trained, stacked, 20)
    draw = np.random.default_rng(4)
    known = {value.name: value for value in onnx.load(stacked).graph.input}
    sizes = [dim.dim_value for dim in known["cross_k"].type.tensor_type.shape.dim]
    past, read = (
        [draw.normal(size=(sizes[0], 3, sizes[2], length, sizes[4])).astype(np.float32) for _ in range(2)]
        for length in (4, 23)
    )
    same = {
        "tokens": draw.integers(5, 60, size=(3, 2)), "mask": draw.random((3, 23)) < 0.8,
        "image": np.arange(23) < 16 * np.ones((3, 1)), "heads_kept": np.array([2, 4]),
        "alpha": np.array(0.5, np.float32),
    }  # fmt: skip
    names = ("self_k", "self_v", "cross_k", "cross_v")
    whole = dict(zip(names, (*past, *read), strict=True))
    layers = {f"{name}.{layer}": part for name, parts in whole.items() for layer, part in enumerate(parts)}
    expected = ort.InferenceSession(stacked).run(None, same | whole)
    found = ort.InferenceSession(apart).run(None, same | layers)
    np.testing.assert_array_equal(found[0], expected[0])
    for place, stack in enumerate(expected[1:]):
        np.testing.assert_array_equal(np.stack(found[1 + 2 * place : 3 + 2 * place]), stack)


@pytest.mark.parametrize("name", GRAPHS)
def test_int8_is_smaller_and_near(root, name):
    sizes = [(root / variant / f"{name}.onnx").stat().st_size for variant in ("fp32", "int8")]
    assert sizes[1] < sizes[0]
    model = onnx.load(root / "int8" / f"{name}.onnx")
    assert {"DequantizeLinear", "QuantizeLinear"} <= {node.op_type for node in model.graph.node}


def test_int8_answers_stay_close_and_the_final_scores_stay_float(engines, root):
    fp32, int8 = engines[1], OnnxEngine(root / "int8")
    inputs = DecodingInputs(bos=2, eos=3, max_tokens=5, k_L=np.array([4, 4]), alpha=1.0)
    answers = [greedy.generate(engine, memory(engine, *prompts(6)), inputs) for engine in (fp32, int8)]
    tokens, _ = parity._forced(answers[0], 6, 2, 3)
    ours, theirs = (
        engine.step(tokens, None, memory(engine, *prompts(6)), inputs.k_L, 1.0, False).logits_BTV
        for engine in (fp32, int8)
    )
    cosine = (ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert cosine > 0.95  # random weights and 7-bit scales: measured 0.99; a broken scale gives about 0
    model = onnx.load(root / "int8" / "decoder.onnx")
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers["logits"]
    while node.op_type != "MatMul":
        node = makers[next(name for name in node.input if name in makers)]
    quantized = [makers[name].op_type for name in node.input if name in makers]
    assert "DequantizeLinear" not in quantized


def test_quantizing_twice_gives_the_same_bytes(root, tmp_path):
    pixels = prompts(4)[0]
    for name in ("a", "b"):
        quantize(root / "fp32" / "vision.onnx", tmp_path / f"{name}.onnx", [{"pixels": pixels}])
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_calibration_needs_data(root, tmp_path):
    with pytest.raises(ValueError, match="calibration_items"):
        quantize(root / "fp32" / "vision.onnx", tmp_path / "x.onnx", [])


def test_a_pruned_model_shares_the_graphs_that_pruning_left_alone(trained, monkeypatch, tmp_path):
    exported = []
    monkeypatch.setattr(onnx_graphs, "ProcessPoolExecutor", in_this_process.Pool)
    monkeypatch.setattr(onnx_graphs, "export_graph", lambda name, vlm, clip, path, opset: exported.append(
        path.relative_to(tmp_path).as_posix()) or path.write_bytes(name.encode()))  # fmt: skip
    monkeypatch.setattr(onnx_graphs.torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr(onnx_graphs, "_stamp", lambda jobs, sources: None)
    vlm, clip = trained
    onnx_graphs.export_variants({"fp32": vlm, "pruned": vlm}, clip, tmp_path, 20, {})
    assert sorted(name for name in exported if name.startswith("pruned")) == [
        "pruned/decoder.onnx", "pruned/memory.onnx",
    ]  # fmt: skip
    assert len(exported) == 8 and len(list(tmp_path.glob("*/*.onnx"))) == 12


def test_a_model_that_reads_questions_with_another_tower_is_refused(trained, tmp_path):
    vlm, clip = copy.deepcopy(trained)
    with torch.no_grad():
        next(vlm.text.parameters()).add_(1e-3)
    with pytest.raises(ValueError, match="fp32's text tower differs .* rerun finetune"):
        onnx_graphs.export_variants({"fp32": vlm}, clip, tmp_path, 20, {})


def test_threads_deal_out_pictures_and_keep_their_order(root, monkeypatch):
    alone, several = OnnxEngine(root / "fp32"), OnnxEngine(root / "fp32", threads=3)
    side = alone.config["image_size"]
    pixels_BCYX = np.random.default_rng(5).normal(size=(8, 3, side, side)).astype(np.float32)
    rows = [alone.embed_images(pixels_BCYX[i : i + 1]) for i in range(8)]
    expected = [np.concatenate(part) for part in zip(*rows, strict=True)]
    for most in (onnx_engine.PART_PIXELS, 2 * side**2, 1):  # three parts, four of two pictures, one by one
        monkeypatch.setattr(onnx_engine, "PART_PIXELS", most)
        for batch in (1, 2, 7, 8):
            found = several.embed_images(pixels_BCYX[:batch])
            for got, whole in zip(found, expected, strict=True):
                np.testing.assert_allclose(got, whole[:batch], atol=1e-5)
            tokens = several.image_tokens(pixels_BCYX[:batch])
            np.testing.assert_allclose(tokens, alone.image_tokens(pixels_BCYX)[:batch], atol=1e-5)


def assert_encodes_images_like(clip, path):
    """The graph in `path` is PyTorch's `clip.encode_image`, for several batch sizes; returns its session."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        pixels = prompts(batch)[0]
        found = session.run(["tokens", "embeds"], {"pixels": pixels})
        with torch.no_grad():
            expected = clip.encode_image(torch.from_numpy(pixels))
        for got, plain in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, plain.numpy(), atol=ATOL)
    return session


def test_attentions_of_an_image_transformer_are_one_node_each(tmp_path):
    vlm, clip = tiny.models(
        60, vision={"tower": "timm", "name": "vit_tiny_patch16_224", "checkpoint": "none", "image_size": 32}
    )
    path = tmp_path / "image_encoder.onnx"
    onnx_graphs.export_graph("image_encoder", vlm, clip, path, 20)
    model = onnx.load(path)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Attention") == len(clip.vision.model.blocks) == 12 and "Softmax" not in kinds
    assert onnx_graphs._opset(model) == 23
    assert_encodes_images_like(clip, path)


def test_a_picture_is_embedded_with_its_mirror_image_in_the_graph_too(tmp_path):
    vlm, clip = tiny.models(60)
    both = DualEncoder(clip.config | {"mirrored_views": True, "standardize": True}).eval()
    both.load_state_dict(clip.state_dict(), strict=False)
    path = tmp_path / "image_encoder.onnx"
    onnx_graphs.export_graph("image_encoder", vlm, both, path, 20)
    session = assert_encodes_images_like(both, path)
    pixels = prompts(3)[0]
    plain, mirrored = (
        session.run(["embeds"], {"pixels": np.ascontiguousarray(each)})[0]
        for each in (pixels, pixels[..., ::-1])
    )
    np.testing.assert_allclose(mirrored, plain, atol=ATOL)


def test_an_image_attention_that_normalises_its_queries_stays_as_it_is():
    from timm.models.vision_transformer import Attention

    def tower(qk_norm):
        return torch.nn.Sequential(Attention(8, 2, qk_norm=qk_norm, norm_layer=torch.nn.LayerNorm))

    plain, normed = tower(False), tower(True)
    fused_attention.fuse_images(plain)
    fused_attention.fuse_images(normed)
    assert fused_attention.has_nodes(plain) and not fused_attention.has_nodes(normed)
