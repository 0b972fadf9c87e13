"""OpenVINO in place of ONNX Runtime: the numbers of every graph, the same answers, the same bits twice."""

import numpy as np
import pytest

from sightline.cli import diagnostics
from sightline.inference import execution_provider, openvino_graph
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.execution_provider import ProviderError
from sightline.inference.onnx_engine import GRAPHS, IMAGE_SIDE, EngineError, OnnxEngine, open_graph
from sightline.inference.session import Session
from sightline.inference.session_profile import SessionProfiler
from tests.support import tiny

ABSENT = "OpenVINO is not installed (requirements-openvino.in): its graphs were not tried"
# Largest difference of an output from ONNX Runtime's over its largest number. Both add in float32, in another
# order: 7e-7 measured. bf16 keeps 8 bits of every factor: 2e-2 measured, in attention maps; without its scale
# or its mask an output is off by its own size.
TOLERANCE = {"openvino": 1e-4, "openvino-bf16": 6e-2}


@pytest.fixture
def here():
    pytest.importorskip("openvino", reason=ABSENT)


@pytest.fixture
def asked_for(here, monkeypatch):
    """OpenVINO is what SIGHTLINE_PROVIDER names."""
    monkeypatch.setenv(execution_provider.VARIABLE, "openvino")


class Both:
    """A graph in ONNX Runtime and in OpenVINO; `apart` keeps how far they are, the former's numbers go on."""

    def __init__(self, path, threads, provider, apart):
        self.graphs = [open_graph(path, threads, name) for name in ("cpu", provider)]
        self.name, self.apart = path.stem, apart

    def run(self, outputs, feed):
        expected, found = (graph.run(outputs, feed) for graph in self.graphs)
        for name, one, other in zip(outputs, expected, found, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype), name
            one, other = one.astype(float), other.astype(float)
            difference = np.abs(one - other).max(initial=0) / max(np.abs(one).max(initial=0), 1e-6)
            kind = f"{self.name} {name.split('.')[0]}"
            self.apart[kind] = max(self.apart.get(kind, 0.0), float(difference))
        return expected

    def get_inputs(self):
        ours, theirs = (graph.get_inputs() for graph in self.graphs)
        assert [one.name for one in ours] == [one.name for one in theirs]
        return ours

    def get_providers(self):
        return self.graphs[0].get_providers()


def used(session):
    """Runs every graph, the decoder with maps and without, over padded texts; returns greedy answers."""
    images = tiny.pictures(4)
    tokens_BPD, _ = session.encode_images(images)
    states_BSD, mask_BS, _ = session.encode_texts(tiny.CAPTIONS, 4)
    session.match(tokens_BPD, states_BSD, mask_BS, 4)
    answers = []
    for maps in (True, False):
        made = session.answer(images, tiny.QUESTIONS, greedy_generation(6), need_maps=maps, batch_size=4)
        answers.append([answer.ids for answer in made])
    return answers


@pytest.mark.parametrize("provider", TOLERANCE)
def test_every_output_of_every_graph_is_that_of_onnx_runtime(here, root, provider):
    """Caches of every length from none on, also of graphs that an engine leaves to ONNX Runtime."""
    if lacking := openvino_graph.lacking(execution_provider.OPENVINO[provider]):
        pytest.skip(f"{lacking}: bf16 was not tried")
    session, apart = Session.open(root, "fp32"), {}
    session.engine.open(lambda path, threads: Both(path, threads, provider, apart))
    used(session)
    assert {kind.split()[0] for kind in apart} == set(GRAPHS)
    assert {"decoder maps", "decoder gates", "decoder logits", "decoder next_k"} <= apart.keys()
    assert {kind: by for kind, by in apart.items() if not by <= TOLERANCE[provider]} == {}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_gives_the_same_answers_and_the_same_bits_twice(root, asked_for, monkeypatch, threads):
    session = Session.open(root, "fp32", threads)
    assert session.provider == "openvino"
    answers, (tokens_NPD, embeds_NE) = used(session), session.encode_images(tiny.pictures(3), 3)
    again, (same_tokens, same_embeds) = used(session), session.encode_images(tiny.pictures(3), 3)
    assert again == answers and (same_tokens == tokens_NPD).all() and (same_embeds == embeds_NE).all()
    monkeypatch.delenv(execution_provider.VARIABLE)
    assert used(Session.open(root, "fp32", threads)) == answers


def test_a_picture_has_the_same_bits_whatever_is_beside_it_in_a_batch(root, asked_for):
    engine, draw = OnnxEngine(root / "fp32"), np.random.default_rng(0)
    one, others = (draw.normal(size=(n, 3, 32, 32)).astype(np.float32) for n in (1, 3))
    alone = engine.image_tokens(np.concatenate([one] * 4))[0]
    assert (engine.image_tokens(np.concatenate([one, others]))[0] == alone).all()


def test_only_graphs_of_pictures_are_opened_in_it(root, asked_for):
    engine = OnnxEngine(root / "fp32")
    opened = {name: execution_provider.of(graph) for name, graph in engine._sessions.items()}
    assert opened == {name: "openvino" if name in IMAGE_SIDE else "cpu" for name in GRAPHS}


def test_results_do_not_change_when_a_graph_runs_again(here, root):
    graph, draw = open_graph(root / "fp32" / "vision.onnx", 1, "openvino"), np.random.default_rng(0)
    first, second = (draw.normal(size=(1, 3, 32, 32)).astype(np.float32) for _ in range(2))
    (kept,) = graph.run(["image_tokens"], {"pixels": first})
    before = kept.copy()
    graph.run(["image_tokens"], {"pixels": second})
    assert (kept == before).all()


def test_graphs_in_8_bits_are_refused(root, asked_for):
    with pytest.raises(EngineError, match="not in float32.*openvino computes no other; unset SIGHTLINE"):
        OnnxEngine(root / "int8")


def test_the_profiler_is_onnx_runtimes(root, asked_for):
    session = Session.open(root, "fp32")
    with pytest.raises(ProviderError, match="the profiler is ONNX Runtime's"):
        with SessionProfiler().recording(session.engine):
            pass


def test_what_is_no_graph_is_named(here, tmp_path):
    (tmp_path / "vision.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineError, match="vision.onnx: no graph that OpenVINO can run"):
        open_graph(tmp_path / "vision.onnx", 1, "openvino")


def test_doctor_says_what_it_computes_in(asked_for):
    check = diagnostics.provider()
    assert check.ok and check.found.startswith(f"OpenVINO {openvino_graph.version()} computes the graphs of")
    assert "in f32; ONNX Runtime the others, on cpu" in check.found


def test_a_processor_without_bf16_is_an_error(here, monkeypatch):
    class Core:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino_graph, "_core", Core)
    monkeypatch.setenv(execution_provider.VARIABLE, "openvino-bf16")
    with pytest.raises(ProviderError, match="does not compute in bf16: take openvino, or unset SIGHTLINE"):
        execution_provider.chosen()
    monkeypatch.setenv(execution_provider.VARIABLE, "openvino")
    assert execution_provider.chosen() == "openvino"


@pytest.mark.parametrize("provider", TOLERANCE)
def test_the_absent_package_is_named_with_its_cure(monkeypatch, provider):
    monkeypatch.setattr(openvino_graph, "find_spec", lambda name: None)
    monkeypatch.setenv(execution_provider.VARIABLE, provider)
    check = diagnostics.provider()
    assert not check.ok and check.cure == "unset SIGHTLINE_PROVIDER"
    assert check.found == (
        f"SIGHTLINE_PROVIDER is {provider!r}, but the package openvino is not installed: pip install -r "
        "requirements-openvino.in, or unset SIGHTLINE_PROVIDER"
    )


def test_it_is_never_chosen_by_itself(monkeypatch):
    monkeypatch.delenv(execution_provider.VARIABLE, raising=False)
    assert execution_provider.chosen() not in execution_provider.OPENVINO
