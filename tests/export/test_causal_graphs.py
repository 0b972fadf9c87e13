"""A causal language model exported: the graphs against PyTorch, their int8 and int4 forms, and a session
whose decoder has a tokenizer of its own."""

import shutil

import numpy as np
import onnx
import pytest
import torch

from sightline.core.artifacts import write_json
from sightline.core.params.generation import Spin
from sightline.export import onnx_graphs, parity, variants
from sightline.inference import calibration_data, torch_session
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.encoding import SessionError
from sightline.inference.onnx_engine import CONFIG
from sightline.inference.session import DECODER_TOKENIZER, Session
from tests.support import language_models, tiny

HALF = Spin(keep=0.5, top_k=None, alpha=0.5, layers=(0, 1), score="mass")


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def models(request):
    return language_models.models(request.param)


@pytest.fixture(scope="module")
def folder(models, tmp_path_factory, tiny_graphs):
    """The variant fp32 with settings: towers and dual encoder are those of tiny_graphs. The decoder's
    tokenizer is learned from other words than search's."""
    folder = shutil.copytree(tiny_graphs, tmp_path_factory.mktemp("causal") / "onnx")
    vlm, clip = models
    for graph in ("memory", "decoder"):
        onnx_graphs.export_graph(graph, vlm, clip, folder / "fp32" / f"{graph}.onnx", 20)
    write_json(folder / "fp32" / CONFIG, onnx_graphs.engine_config(vlm, clip))
    (folder / DECODER_TOKENIZER).mkdir()
    language_models.tokenizer().save(folder / DECODER_TOKENIZER / "tokenizer.json")
    return folder


def questions(count):
    return tiny.pictures(count), [tiny.QUESTIONS[i % 4] for i in range(count)]


def test_onnx_answers_as_pytorch_and_gates_the_same_heads(models, folder):
    trained, exported = torch_session.session(*models, folder), Session.open(folder, "fp32")
    figures = parity.compare(trained, exported, *questions(24))
    parity.check(figures, "fp32")
    assert figures["tokens"] > 24 and 0 < figures["max_logit_difference_spin"] < 1e-4
    assert figures["answers_near_tie"] + figures["gates_near_tie"] <= 1


def test_the_decoder_reads_its_own_tokens_and_search_its_own(models, folder):
    session = Session.open(folder, "fp32")
    own, searching = session.tokenizer, session.text_tokenizer
    assert own.size != searching.size == session.engine.config["vocab_size"]
    ids_1S, mask_1S = session.question_ids(["Is there a cup?"])
    assert "cup" in own.decode(ids_1S[0][mask_1S[0]])
    (answer,) = session.answer(*questions(1), greedy_generation(4))
    assert answer.text == own.decode(answer.ids)
    clip = torch_session.session(None, models[1], folder)
    text = [tiny.CAPTIONS[0]]
    np.testing.assert_allclose(session.embed_texts(text), clip.embed_texts(text), atol=1e-5)


def test_maps_gates_beams_and_samples_come_from_the_same_code(folder):
    session = Session.open(folder, "fp32")
    patches = int(np.prod(session.engine.config["grid"]))
    images, asked = questions(12)
    plain, gated = (
        [
            answer
            for answer in session.answer(images, asked, greedy_generation(6), spin, need_maps=True)
            if answer.ids
        ]
        for spin in (None, HALF)
    )
    assert plain and gated  # an empty answer has no maps
    for answer in (*plain, *gated):
        mass_LHT = answer.maps_LHTM[..., :patches].sum(-1)
        assert (mass_LHT > 0).all() and (answer.maps_LHTM.sum(-1) <= 1 + 1e-5).all()
    assert all((answer.gates_LHT == 1).all() for answer in plain)
    assert all((answer.gates_LHT == 0.5).mean() == 0.5 for answer in gated)
    described = ["Describe the image in detail."]
    for method in ("beam", "sampling"):
        generation = greedy_generation(6).replaced(method=method, beams=3 if method == "beam" else 1)
        once, again = (session.answer(images[:1], described, generation)[0] for _ in range(2))
        assert once.ids == again.ids
    chosen = session.answer(images[:1], described, greedy_generation(6).replaced(candidates=3, contrast=0.5))
    assert len(chosen[0].candidates) == 3


def test_int8_and_int4_shrink_the_language_model_and_stay_near(folder, tmp_path):
    root = shutil.copytree(folder, tmp_path / "onnx")
    images, asked = questions(16)
    calibration = calibration_data.Questions(images, asked, ["red"] * 16)
    shown = [(image, tiny.CAPTIONS[0]) for image in images]
    forms = variants.calibrate(root, "fp32", calibration, shown, tmp_path / "scratch")
    variants.write_int8(root, "fp32", forms, {}, "c" * 64)
    variants.write_int4(root, forms)
    sizes = {name: (root / name / "decoder.onnx").stat().st_size for name in ("fp32", "int8", "int4")}
    assert sizes["int4"] < sizes["fp32"] and sizes["int8"] < sizes["fp32"]
    graph = onnx.load(root / "int4" / "decoder.onnx").graph
    kinds = {node.op_type for node in graph.node}
    in_int8 = sum(array.data_type == onnx.TensorProto.INT8 for array in graph.initializer)
    # The layers of GPT-2 are Gemm nodes, whose weights int4 keeps in int8.
    assert in_int8 >= 8 if "Gemm" in kinds else "MatMulNBits" in kinds
    sessions = {name: Session.open(root, name) for name in sizes}
    numbers = np.arange(16)
    answers = sessions["fp32"].answer(images, asked, greedy_generation(6), batch_size=16)
    texts = [answer.text for answer in answers]
    scores = {
        name: session.score_captions(images, texts, numbers, numbers, 16)
        for name, session in sessions.items()
    }
    for name in ("int8", "int4"):
        assert np.corrcoef(scores[name], scores["fp32"])[0, 1] > 0.9


def test_a_foreign_tokenizer_is_refused(folder, tmp_path):
    root = shutil.copytree(folder, tmp_path / "onnx")
    tiny.tokenizer().save(root / DECODER_TOKENIZER / "tokenizer.json")
    with pytest.raises(SessionError, match=r"decoder_tokenizer: \d+ tokens, but the model was trained"):
        Session.open(root, "fp32")


def test_retrieved_captions_are_refused_rather_than_ignored(folder):
    session = Session.open(folder, "fp32")
    images, asked = questions(1)
    with pytest.raises(SessionError, match="retrieved captions"):
        session.answer(images, asked, captions=[["a small red ball"]])


@pytest.mark.parametrize("graph", ["vision", "memory", "decoder"])
def test_a_language_model_is_in_memory_once_while_it_is_exported(models, graph):
    vlm, clip = models
    attend = vlm.attend
    module, *_ = onnx_graphs._plan(graph, vlm, clip)
    assert module.vlm is not vlm and vlm.attend is attend  # what is exported leaves the model as it was
    assert module.vlm.language_model is vlm.language_model


def test_the_process_that_exports_gives_its_copy_of_the_weights_back(models, tmp_path, monkeypatch):
    """Before it traces: the models that it traces have them."""
    packed, traced = [onnx_graphs.pack(model) for model in models], []

    def export(graph, answering, searching, path, opset):
        assert not any(weights for _, weights in packed)
        for model, built in zip(models, (answering, searching), strict=True):
            expected, found = model.state_dict(), built.state_dict()
            assert expected.keys() == found.keys()
            assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
        traced.append((graph, path, opset))

    monkeypatch.setattr(onnx_graphs, "export_graph", export)
    onnx_graphs._export_packed("memory", *packed, tmp_path / "memory.onnx", 20)
    assert traced == [("memory", tmp_path / "memory.onnx", 20)]
