"""The benchmark: what it counts, in which order it runs, and the page made from its file. No times."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from sightline.core.params.loader import load_params
from sightline.core.runtime import Runtime
from sightline.export import onnx_graphs
from sightline.inference import openvino_graph
from sightline.inference.onnx_engine import OnnxEngine
from sightline_lab import report_page
from sightline_lab.bench import (
    bench_models,
    bench_page,
    external_baselines,
    paired_timing,
    run_bench,
    spin_overhead,
    training_process,
    training_throughput,
    workloads,
)
from tests.support import in_this_process, language_models
from tests.support.toy_engine import ToyEngine

ROOT = Path(__file__).resolve().parents[2]


def test_every_runner_runs_once_a_round_and_none_is_always_first():
    order, now = [], [0.0]
    cost = {"a": 1.0, "b": 2.0, "c": 4.0}

    def runner(name):
        def call():
            order.append(name)
            now[0] += cost[name]

        return call

    seconds = paired_timing.interleaved({name: runner(name) for name in cost}, 3, clock=lambda: now[0])
    assert order == [*"abc", *"abc", *"bca", *"cab"]  # the first three unmeasured
    assert {name: values.tolist() for name, values in seconds.items()} == {
        n: [c] * 3 for n, c in cost.items()
    }


def test_rows_hold_medians_quartiles_and_ratios_of_the_same_round():
    seconds = {"PyTorch": np.array([2.0, 4.0, 8.0]), "ONNX": np.array([1.0, 1.0, 1.0])}
    eager, onnx = paired_timing.rows(seconds, work=8, baseline="PyTorch", task="answer", batch=1)
    assert eager["per_second"] == {"median": 2.0, "q1": 1.5, "q3": 3.0}
    assert eager["speedup"]["median"] == 1.0 and onnx["ms"]["median"] == 1000.0
    assert onnx["speedup"] == {"median": 4.0, "q1": 3.0, "q3": 6.0}
    assert "speedup" not in paired_timing.rows({"a": np.ones(2)}, 1, "PyTorch")[0]


def test_a_pair_cancels_a_steady_drift_and_neither_is_always_first():
    """Off costs 1, on 1.03, and every answer takes 1 % longer than the one before."""
    order, now, made = [], [0.0], [0]

    def runner(name, cost):
        def call():
            order.append(name)
            now[0] += cost + 0.01 * made[0]
            made[0] += 1

        return call

    ratios = spin_overhead.ratios(runner("a", 1.0), runner("b", 1.03), 4, clock=lambda: now[0])
    assert "".join(order) == "ab" + "abba" + "baab" + "abba" + "baab"
    drift = np.array([2 * 0.01 * (2 + 4 * turn) + 0.03 for turn in range(4)])  # of both sides of a pair
    np.testing.assert_allclose(ratios, (2.06 + drift) / (2.0 + drift))


@pytest.mark.parametrize(
    ("percent", "verdict"), [(2.0, "within"), (8.0, "beyond"), (5.0, "not told")], ids=str
)
def test_the_cost_of_spin_is_the_median_of_pairs_with_its_interval(percent, verdict):
    noise = np.random.default_rng(1).normal(scale=0.05, size=spin_overhead.PAIRS)
    ratio = 1 + percent / 100 + noise - np.median(noise)
    ratio[:5] = 9.0  # something else ran
    row = spin_overhead.row(ratio, runner="ONNX fp32", shape="tiny", batch=1)
    cost = row["percent"]
    assert abs(cost["median"] - percent) < 1 and cost["low"] < cost["median"] < cost["high"]
    assert cost["high"] - cost["low"] < 5 and (row["verdict"], row["pairs"]) == (verdict, spin_overhead.PAIRS)


def test_an_answer_has_exactly_the_tokens_asked_for_and_spin_keeps_that_share_of_heads(monkeypatch):
    engine, kept = ToyEngine(), []
    inputs = workloads.Inputs.random(2, 8, 3, 3, 12, tokens=5)
    step = engine.step
    monkeypatch.setattr(engine, "step", lambda *args: kept.append(args[3].tolist()) or step(*args))
    memory = workloads.encode(engine, inputs)
    assert workloads.generate(engine, memory, 2, 5).shape == (2, 5)
    assert kept == [[4, 4]] * 5
    workloads.generate(engine, memory, 2, 1, keep=0.5)
    assert kept[-1] == [2, 2]
    assert workloads.units("answer, SPIN", inputs) == 10 and workloads.units("image", inputs) == 2


TOWERS = {
    **bench_models.REFERENCE, "vision": {"tower": "small_cnn", "width": 32, "image_size": 32},
    "text": {"tower": "bert", "width": 32, "layers": 1, "heads": 2, "max_tokens": 8},
    "embed_dim": 16, "fusion_width": 32, "vocab_size": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """The reference's way with a tiny shape."""
    decoder = {**bench_models.REFERENCE_DECODER, "width": 32, "layers": 2, "heads": 4, "max_answer": 12}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_graphs, "ProcessPoolExecutor", in_this_process.Pool)
        made = bench_models.reference(
            load_params(ROOT / "params.yaml"), tmp_path_factory.mktemp("b"), TOWERS, decoder
        )
    return dataclasses.replace(made, name="tiny")


def test_every_form_says_the_same_in_its_own_precision(subject):
    inputs = workloads.Inputs.random(2, 32, 4, 8, 60, tokens=4)
    engines = {form: OnnxEngine(subject.folder / form) for form in subject.forms}
    embeds = {form: engine.embed_images(inputs.pixels_BCYX)[1] for form, engine in engines.items()}
    k_L = np.full(2, 4)
    logits = {
        form: engine.step(
            inputs.ids_BS, None, workloads.encode(engine, inputs), k_L, 1.0, False
        ).logits_BTV.ravel()
        for form, engine in engines.items()
    }
    for form in subject.forms:
        assert (embeds[form] * embeds["fp32"]).sum(1).min() > 0.95
        cosine = logits[form] @ logits["fp32"] / np.linalg.norm(logits[form]) / np.linalg.norm(logits["fp32"])
        assert cosine > 0.95, form  # random weights: 4 bits measured above 0.98, a broken form is near 0
    sizes = subject.bytes()
    assert sizes["ONNX int4 weights"] < sizes["ONNX fp32"] and sizes["ONNX int8"] < sizes["ONNX fp32"]


def test_a_run_measures_every_form_and_names_what_did_not_run(subject, monkeypatch, tmp_path):
    monkeypatch.setattr(spin_overhead, "PAIRS", 3)
    monkeypatch.setattr(bench_models, "_compiled", lambda vlm, clip: broken())
    monkeypatch.setattr(bench_models, "_weights_int8", lambda vlm, clip: broken())
    absent = {}
    rows = run_bench.measure(subject, subject.engines(1), 2, 2, absent, tokens=3)
    assert any("no compiler here" in why for why in absent.values())
    timed = {(row["task"], row["runner"]) for row in rows}
    forms = ["PyTorch", *subject.exported()]
    assert timed >= {(task, form) for task in bench_page.TASKS for form in forms}
    assert timed >= {("SPIN", form) for form in spin_overhead.FORMS}
    assert all(row["batch"] == 2 and row["shape"] == "tiny" for row in rows)
    result = {
        "machine": run_bench.machine(1), "rounds": 2, "absent": absent, "rows": rows,
        "bytes": {"tiny": subject.bytes()},
    }  # fmt: skip
    (tmp_path / "metrics").mkdir()
    (tmp_path / bench_page.RESULT).write_text(json.dumps(result))
    report_page.write(tmp_path, bench_page)
    page, drawn = (tmp_path / bench_page.PAGE).read_text(), (tmp_path / bench_page.PICTURE).read_bytes()
    assert "no compiler here" in page and "## Tiny model" in page and "ONNX int4 weights" in page
    openvino = result["machine"].get("openvino")
    assert (f", OpenVINO {openvino});" in page) == (openvino is not None) == ("| OpenVINO fp32 |" in page)
    report_page.write(tmp_path, bench_page)
    assert (tmp_path / bench_page.PICTURE).read_bytes() == drawn
    busy = bench_page.page(result | {"machine": result["machine"] | {"load": 3.0}})
    idle = bench_page.page(result | {"machine": result["machine"] | {"load": 0.0}})
    assert "Provisional" in busy and "Provisional" not in idle


def test_the_peer_computes_all_graphs_in_openvino_ours_those_of_pictures(subject):
    pytest.importorskip("openvino", reason="OpenVINO is not installed (requirements-openvino.in)")
    graphs = {
        name: {graph: made.get_providers()[0] for graph, made in subject.engine(name, 2)._sessions.items()}
        for name in ("OpenVINO int8", "ONNX fp32, openvino", "ONNX int8")
    }
    assert set(graphs["OpenVINO int8"].values()) == {"openvino"}
    pictures = {graph for graph, provider in graphs["ONNX fp32, openvino"].items() if provider == "openvino"}
    assert pictures == {"image_encoder", "vision"} and "openvino" not in graphs["ONNX int8"].values()


def test_what_openvino_cannot_run_is_named_with_the_reason(subject, monkeypatch):
    monkeypatch.setattr(openvino_graph, "find_spec", lambda name: None)
    absent = bench_models.absent()
    assert "pip install -r requirements-openvino.in" in absent["OpenVINO int8"]
    assert set(absent) == {*bench_models.OPENVINO, *bench_models.PICTURES_IN_OPENVINO}
    assert list(subject.exported()) == [f"ONNX {form}" for form in subject.forms]
    assert "openvino" not in run_bench.machine(1)


def test_the_photo_shape_has_the_image_tower_of_photographs(monkeypatch):
    made = []
    monkeypatch.setattr(bench_models, "_exported", lambda *given: made.append(given))
    params = load_params(ROOT / "params.yaml")
    bench_models.photo(params, Path())
    ((name, vlm, clip, *_),) = made
    tower = YAML(typ="safe").load(ROOT / "profiles" / "flickr8k.yaml")["vision"]["name"]
    assert name == "photo" and clip.vision.config["name"] == tower
    assert vlm.config["grid"] == [7, 7]


class broken:
    def memory(self, *arrays):
        raise AssertionError("the pictures come first")

    def image_tokens(self, pixels):
        raise RuntimeError("no compiler here")


def test_an_absent_peer_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr(external_baselines.importlib.util, "find_spec", lambda name: None)
    assert external_baselines.absent()["open_clip"] == "not installed: pip install open_clip_torch"
    of_reference = SimpleNamespace(name="reference")
    assert external_baselines.tasks(of_reference, workloads.Inputs.random(1, 8, 4, 8, 60, 2)) == {}


@pytest.mark.parametrize("peer", external_baselines.NEEDS)
def test_peers_have_the_references_shape(peer):
    if peer in external_baselines.absent():
        pytest.skip(external_baselines.absent()[peer])
    inputs = workloads.Inputs.random(1, 224, 4, 32, 1000, tokens=3)
    calls = external_baselines.tasks(SimpleNamespace(name="reference"), inputs)
    made = {task: of_task[peer]() for task, of_task in calls.items() if peer in of_task}
    if "answer" in made:
        assert made["answer"].shape[1] == 1 + 3 and made["first token"].shape[1] == 1 + 1
    for task in {"image", "text"} & made.keys():
        assert made[task].shape == (1, 256)


def test_a_causal_language_model_is_timed_beside_its_own_generate(tmp_path, monkeypatch):
    """The peer reads as many tokens before the answer, and every form is the same model."""
    monkeypatch.setattr(onnx_graphs, "ProcessPoolExecutor", in_this_process.Pool)
    llama = language_models.config("llama", 60).to_dict()
    causal = bench_models.causal(tmp_path, 20, TOWERS, llama)
    inputs = workloads.Inputs.random(2, 32, causal.question, 8, 60, tokens=5)
    generate = external_baselines.tasks(causal, inputs)["answer"]["Hugging Face generate"]
    read = causal.vlm.config["grid"][0] * causal.vlm.config["grid"][1] + causal.question
    written = generate()
    assert written.shape == (2, read + 1 + 5) and torch.equal(written, generate())  # its cache is not used up
    engines = {name: causal.engine(name, 1) for name in causal.exported()}
    first = {
        form: engine.step(
            np.full((2, 1), 2), None, workloads.encode(engine, inputs), np.full(2, 4), 1.0, False
        ).logits_BTV.ravel()
        for form, engine in engines.items()
    }
    for form, logits in first.items():
        plain = first["ONNX fp32"]
        assert logits @ plain / np.linalg.norm(logits) / np.linalg.norm(plain) > 0.9, form


def test_training_compares_the_faster_launch_of_each_side_in_the_same_round(monkeypatch):
    monkeypatch.setattr(external_baselines, "absent", dict)
    speed = {("sightline", 2): 60.0, ("sightline", 1): 30.0, ("open_clip", 2): 20.0, ("open_clip", 1): 40.0}
    launches = []

    def train(side, precision, processes, threads):
        launches.append((side, precision, processes, threads))
        return speed[side, processes]

    rows = training_throughput.run(2, train)
    assert [row["precision"] for row in rows] == list(training_throughput.PRECISIONS)
    assert launches[:4] == [(side, "bf16", n, 3 - n) for n in (1, 2) for side in training_throughput.SIDES]
    assert rows[0]["ratio"] == {"median": 1.5, "q1": 1.5, "q3": 1.5}
    assert rows[0]["best"] == {
        "sightline": "2 processes of 1 thread", "open_clip": "1 process of 2 threads",
    }  # fmt: skip
    machine = run_bench.machine(2)
    page = bench_page.page(
        {"machine": machine, "rounds": 1, "absent": {}, "rows": [], "bytes": {}, "training": rows}
    )
    assert "| bf16 | 32 | sightline, 2 processes of 1 thread | 60 | 1.50 [1.50, 1.50] |" in page
    assert "| bf16 | 32 | open_clip, 1 process of 2 threads | 40 |  |" in page
    monkeypatch.setattr(external_baselines, "absent", lambda: {"open_clip": "not installed"})
    assert training_throughput.run(2, train) == []


@pytest.mark.parametrize("side", training_throughput.SIDES)
def test_both_loops_take_a_batch_a_step_and_train(side, monkeypatch):
    if "open_clip" in external_baselines.absent():
        pytest.skip(external_baselines.absent()["open_clip"])
    tiny = {
        **bench_models.REFERENCE, "vision": {**bench_models.REFERENCE["vision"], "image_size": 32},
        "text": {"tower": "bert", "width": 32, "layers": 1, "heads": 2, "max_tokens": 8},
        "embed_dim": 16, "fusion_width": 32, "vocab_size": 60,
    }  # fmt: skip
    for module in (training_process, external_baselines):
        monkeypatch.setattr(module, "REFERENCE", tiny)
    stepped = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self, *rest: stepped.append(side) or step(self, *rest)
    )
    requested_at = training_process.SIDES[side](Runtime("cpu", 0, 1, 1), "fp32", 2, 3)
    assert len(requested_at) == len(stepped) == 3 and requested_at == sorted(requested_at)


def test_a_cold_process_reports_its_own_memory(subject):
    code = (
        "import sys; from sightline_lab.bench import cold_start\n"
        "print(cold_start.peak_bytes(), 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, torch_loaded, numpy_loaded = ended.stdout.split()
    assert 1e6 < int(peak) < 200e6 and (torch_loaded, numpy_loaded) == ("False", "False")
