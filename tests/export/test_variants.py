"""Which variant ships: by validation accuracy, in a fixed order; the search side is checked by retrieval."""

import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import transformers
from PIL import Image

from sightline.core.artifacts import read_json, write_json
from sightline.data.questions.triples import Triples
from sightline.export import onnx_metadata, quantization_sensitivity, variants
from sightline.inference import calibration_data
from sightline.inference.onnx_engine import CONFIG, CONFIG_KEYS, GRAPHS, SEARCH_KEYS, SEARCH_SIDE
from sightline.inference.session import Session
from tests.support import tiny

MACS = dict.fromkeys(variants.CANDIDATES, 1)
QUESTIONS = calibration_data.Questions(tiny.pictures(2), list(tiny.QUESTIONS[:2]), ["red", "yes"])
DESCRIBED = calibration_data.Questions(
    tiny.pictures(2), ["describe the picture"] * 2, list(tiny.CAPTIONS[:2])
)
ASKED = [
    calibration_data.Judge("accuracy", QUESTIONS), calibration_data.Judge("token_likelihood", DESCRIBED)
]  # fmt: skip


@pytest.fixture
def folder(root, tmp_path):
    for name in variants.CANDIDATES:
        made = {"int4": "int4", "int8": "int8", "pruned_int8": "int8"}.get(name, "fp32")
        shutil.copytree(root / made, tmp_path / name)
    for name in ("tokenizer.json", "preprocessor_config.json", "generation.json"):
        shutil.copyfile(root / name, tmp_path / name)
    return tmp_path


def measure(monkeypatch, folder, accuracies, retrieved=None, likelihoods=None):
    """Let every variant have the given accuracy, (R@1, re-ranked R@1) and likelihood of a description's
    token."""
    likelihoods = likelihoods or dict.fromkeys(variants.CANDIDATES, 40.0)
    retrieved = retrieved or dict.fromkeys(variants.CANDIDATES, (50.0, 60.0))
    name = lambda session: session.engine.folder.name  # noqa: E731
    monkeypatch.setattr(calibration_data, "accuracy", lambda session, asked: accuracies[name(session)])
    monkeypatch.setattr(
        calibration_data, "token_likelihood", lambda session, described: likelihoods[name(session)]
    )
    monkeypatch.setattr(variants, "retrieval", lambda session, gallery: retrieved[name(session)])


@pytest.mark.parametrize(
    "int4,pruned_int8,int8,pruned,ships",
    [
        (90.0, 90.0, 90.0, 90.0, "int4"),
        (88.9, 90.0, 90.0, 90.0, "pruned_int8"),
        (10.0, 89.0, 80.0, 80.0, "pruned_int8"),
        (10.0, 88.9, 89.0, 90.0, "int8"),
        (10.0, 88.9, 10.0, 89.0, "pruned"),
        (10.0, 10.0, 10.0, 88.9, "fp32"),
    ],
)
def test_the_smallest_variant_within_max_drop_ships(
    monkeypatch, folder, int4, pruned_int8, int8, pruned, ships
):
    scores = {"int4": int4, "pruned_int8": pruned_int8, "int8": int8, "pruned": pruned, "fp32": 90.0}
    measure(monkeypatch, folder, scores)
    name, rows = variants.choose(folder, MACS, ASKED, [], max_drop=1.0)
    assert name == ships
    assert {row["variant"]: row["ships"] for row in rows} == {v: int(v == ships) for v in variants.CANDIDATES}
    drops = {row["variant"]: row["accuracy_drop"] for row in rows}
    assert drops == pytest.approx({name: 90.0 - score for name, score in scores.items()})


@pytest.mark.parametrize(
    "max_drop,kept,ships", [(1.0, 38.1, "pruned_int8"), (1.0, 37.9, "int8"), (6.0, 37.7, "pruned_int8")]
)
def test_a_variant_that_no_longer_describes_does_not_ship(monkeypatch, folder, max_drop, kept, ships):
    """40 percent a token whole: at 38 it has lost 5 percent of that."""
    likelihoods = dict.fromkeys(variants.CANDIDATES, 40.0) | {"int4": 30.0, "pruned_int8": kept}
    measure(monkeypatch, folder, dict.fromkeys(variants.CANDIDATES, 90.0), likelihoods=likelihoods)
    name, rows = variants.choose(folder, MACS, ASKED, [], max_drop=max_drop)
    assert name == ships
    drops = {row["variant"]: row["token_likelihood_drop"] for row in rows}
    assert drops["int4"] == pytest.approx(25.0) and drops["fp32"] == 0.0


@pytest.mark.parametrize(
    "r1,reranked,kept", [(50.0, 60.0, "int8"), (48.9, 60.0, "fp32"), (50.0, 58.0, "fp32")]
)
def test_an_int8_search_side_that_retrieves_worse_is_replaced(monkeypatch, folder, r1, reranked, kept):
    scores = dict.fromkeys(variants.CANDIDATES, (50.0, 60.0)) | {"int8": (r1, reranked)}
    measure(monkeypatch, folder, dict.fromkeys(variants.CANDIDATES, 90.0), scores)
    before = variants.size(folder / "int8")
    _, rows = variants.choose(folder, MACS, ASKED, [], max_drop=1.0)
    row = next(row for row in rows if row["variant"] == "int8")
    assert row["search_graphs"] == kept
    for name in GRAPHS:
        same = (folder / "int8" / f"{name}.onnx").read_bytes() == (
            folder / "fp32" / f"{name}.onnx"
        ).read_bytes()
        assert same == (kept == "fp32" and name in variants.SEARCH_SIDE)
    assert (row["bytes"] > before) == (kept == "fp32")
    assert row["bytes"] == variants.size(folder / "int8")


def test_an_int4_search_side_that_retrieves_worse_becomes_that_of_int8_before_it_answers(monkeypatch, folder):
    found = dict.fromkeys(variants.CANDIDATES, (50.0, 60.0)) | {"int4": (40.0, 60.0), "int8": (49.5, 61.0)}
    measure(monkeypatch, folder, dict.fromkeys(variants.CANDIDATES, 90.0), found)
    read = {}

    def accuracy(session, asked):
        read[session.engine.folder.name] = session.engine.search_digest()
        return 90.0

    monkeypatch.setattr(calibration_data, "accuracy", accuracy)
    _, rows = variants.choose(folder, MACS, ASKED, [], max_drop=1.0)
    row = next(row for row in rows if row["variant"] == "int4")
    assert (row["search_graphs"], row["r1"], row["reranked_r1"]) == ("int8", 49.5, 61.0)
    assert read["int4"] == read["int8"] != read["fp32"]


def test_real_figures_of_the_same_model_are_equal(folder):
    texts = [f"{text} {number}" for number, text in enumerate(tiny.CAPTIONS)]
    gallery = list(zip(tiny.pictures(4), texts, strict=True))
    name, rows = variants.choose(folder, MACS, ASKED, gallery, max_drop=100.0)
    assert name == "int4"
    by_name = {row["variant"]: row for row in rows}
    for key in ("accuracy", "r1", "reranked_r1", "bytes"):
        assert by_name["pruned"][key] == by_name["fp32"][key]
    assert all(0.0 <= row[key] <= 100.0 for row in rows for key in ("accuracy", "r1", "reranked_r1"))


def test_the_table_is_plain_csv(monkeypatch, folder, tmp_path):
    measure(monkeypatch, folder, dict.fromkeys(variants.CANDIDATES, 89.5) | {"fp32": 90.0})
    _, rows = variants.choose(folder, MACS, ASKED, [], max_drop=1.0)
    variants.write_table(tmp_path / "metrics" / "variants.csv", rows, list(rows[0]))
    lines = (tmp_path / "metrics" / "variants.csv").read_text().splitlines()
    assert (
        lines[0].startswith("variant,bytes,macs,accuracy,accuracy_drop,token_likelihood,") and len(lines) == 6
    )
    assert lines[1].startswith("fp32,") and ",90.0000,0.0000," in lines[1]


def test_questions_are_spread_over_the_split_and_bring_their_pictures(tmp_path):
    items = tiny.raw(tmp_path / "raw")
    lines = [
        f'{{"item": {i}, "type": "{kind}", "question": "q{i}", "answer": "{kind}"}}'
        for i in range(10)
        for kind in ("describe", "color")
    ]
    (tmp_path / "val.jsonl").write_text("\n".join(lines) + "\n")
    triples = Triples(tmp_path, "val")
    some = calibration_data.read(items, triples, 5, 10**6, short=True)
    assert some.questions == ["q0", "q2", "q4", "q6", "q9"] and set(some.answers) == {"color"}
    whole = calibration_data.read(items, triples, 10**6, 10**6)
    assert len(whole.images) == 18  # the ninth item has no picture
    assert len(calibration_data.read_captioned(items, "test", 100, 10**6)) == 8  # and the tenth no caption
    assert len(calibration_data.read_captioned(items, "test", 3, 10**6)) == 3


def test_every_layer_is_scanned_and_those_that_flip_answers_stay_float(root, tmp_path):
    pictures = tiny.pictures(8, seed=3)
    asked = calibration_data.Questions(pictures, [tiny.QUESTIONS[i % 4] for i in range(8)], ["red"] * 8)
    shown = [(picture, tiny.CAPTIONS[number % 4]) for number, picture in enumerate(pictures)]
    forms = variants.calibrate(root, "fp32", asked, shown, tmp_path / "forms")
    sound = forms["decoder"]
    broken = next(iter(sound.layers))
    cut = tmp_path / "cut.onnx"

    def sabotaged(target, layers=None):
        """Quantizing this one layer loses its weights."""
        sound.write(target, layers)
        if layers == [broken]:
            model = onnx.load(root / "fp32" / "decoder.onnx")
            for tensor in model.graph.initializer:
                if tensor.name == "vlm.output_bias":
                    noise = np.random.default_rng(0).normal(size=tensor.dims[0]).astype(np.float32)
                    tensor.CopyFrom(onnx.numpy_helper.from_array(100 * noise, tensor.name))
            onnx.save(model, cut)
            shutil.copyfile(cut, target)

    forms["decoder"] = SimpleNamespace(layers=sound.layers, write=sabotaged)
    rows = quantization_sensitivity.scan(root, "fp32", forms, asked, shown, 60.0, tmp_path / "scan")
    assert {row["graph"] for row in rows} == {"image_encoder", "text_encoder", "vision", "memory", "decoder"}
    measured = {row["graph"]: (row["flipped"] != "", row["turned"] != "") for row in rows}
    assert measured == {
        "image_encoder": (False, True), "text_encoder": (True, True), "vision": (True, False),
        "memory": (True, False), "decoder": (True, False),
    }  # fmt: skip
    assert {row["layer"] for row in rows if row["graph"] == "decoder"} == {
        "vlm.decoder.layers.0", "vlm.decoder.layers.1",
    }  # fmt: skip
    bad = next(row for row in rows if (row["graph"], row["layer"]) == ("decoder", broken))
    assert bad["flipped"] > 60.0 and not bad["int8"]
    kept = quantization_sensitivity.in_float(rows)
    assert broken in kept["decoder"]
    forms["decoder"] = sound
    shutil.copytree(root / "fp32", tmp_path / "out" / "fp32")
    variants.write_int8(tmp_path / "out", "fp32", forms, {"decoder": {broken}}, "digest")
    nodes = {node.name: node for node in onnx.load(tmp_path / "out" / "int8" / "decoder.onnx").graph.node}
    makers = {name: node.op_type for node in nodes.values() for name in node.output}
    for layer, names in sound.layers.items():
        for name in names:
            fed = {makers.get(source) for source in nodes[name].input}
            assert ("DequantizeLinear" in fed) == (layer != broken)


def test_layers_that_turn_embeddings_stay_float(root, tmp_path):
    """By hand: `turned` is what the mean cosine to float32's embeddings falls short of 1, percent; the bound
    lies between the layers' values. A model that only searches has no answers to count."""
    pictures = tiny.pictures(8, seed=3)
    asked = calibration_data.Questions(pictures, [tiny.QUESTIONS[i % 4] for i in range(8)], ["red"] * 8)
    shown = [(picture, tiny.CAPTIONS[number % 4]) for number, picture in enumerate(pictures)]
    forms = variants.calibrate(root, "fp32", asked, shown, tmp_path / "forms")
    found = quantization_sensitivity.scan(root, "fp32", forms, asked, shown, 100.0, tmp_path / "all")
    of_pictures = [row for row in found if row["graph"] == "image_encoder"]
    worst = max(of_pictures, key=lambda row: row["turned"])
    shutil.copytree(root / "fp32", tmp_path / "one" / "fp32")
    for file in root.iterdir():
        if file.is_file():
            shutil.copyfile(file, tmp_path / "one" / file.name)
    forms["image_encoder"].write(tmp_path / "one" / "fp32" / "image_encoder.onnx", [worst["layer"]])
    plain, one = (Session.open(folder, "fp32") for folder in (root, tmp_path / "one"))
    kept_N = (plain.encode_images(pictures, 4)[1] * one.encode_images(pictures, 4)[1]).sum(1)
    assert worst["turned"] == pytest.approx(100 * (1 - kept_N.mean()), abs=1e-3) and worst["turned"] > 0
    bound = worst["turned"] / 2
    again = quantization_sensitivity.scan(root, "fp32", forms, asked, shown, bound, tmp_path / "again")
    floating = quantization_sensitivity.in_float(again)["image_encoder"]
    assert worst["layer"] in floating
    assert floating == {row["layer"] for row in of_pictures if row["turned"] > bound}


def test_a_model_that_only_searches_is_scanned_by_its_embeddings(root, tmp_path):
    for file in (root / "tokenizer.json", root / "preprocessor_config.json", root / "generation.json"):
        shutil.copyfile(file, tmp_path / file.name)
    (tmp_path / "fp32").mkdir()
    for graph in SEARCH_SIDE:
        shutil.copyfile(root / "fp32" / f"{graph}.onnx", tmp_path / "fp32" / f"{graph}.onnx")
    config = read_json(root / "fp32" / CONFIG)
    write_json(tmp_path / "fp32" / CONFIG, {key: config[key] for key in CONFIG_KEYS + SEARCH_KEYS})
    pictures, nothing = tiny.pictures(8, seed=3), calibration_data.Questions([], [], [])
    shown = [(picture, tiny.CAPTIONS[number % 4]) for number, picture in enumerate(pictures)]
    forms = variants.calibrate(tmp_path, "fp32", nothing, shown, tmp_path / "forms")
    rows = quantization_sensitivity.scan(tmp_path, "fp32", forms, nothing, shown, 0.0, tmp_path / "scan")
    assert {row["graph"] for row in rows} == {"image_encoder", "text_encoder"}
    assert all(row["flipped"] == "" and (row["turned"] <= 0) == row["int8"] for row in rows)
    assert not all(row["int8"] for row in rows)


def test_files_say_what_they_were_made_from(root):
    plain, int8 = (onnx_metadata.read(root / name / "decoder.onnx") for name in ("fp32", "int8"))
    assert plain["source"] == "a" * 64 and plain["opset"] == "23" and len(plain["config"]) == 64
    assert int8.items() > plain.items() and len(int8["calibration"]) == 64
    fusion = onnx_metadata.read(root / "fp32" / "fusion.onnx")
    assert fusion["source"] == "b" * 64 and fusion["opset"] == "20"
    for variant in ("fp32", "int8", "int4"):
        for name in GRAPHS:
            imported = onnx.load(root / variant / f"{name}.onnx").opset_import
            said = onnx_metadata.read(root / variant / f"{name}.onnx")["opset"]
            assert next(opset.version for opset in imported if not opset.domain) == int(said)


def test_transformers_reads_the_preprocessing(root):
    processor = transformers.CLIPImageProcessorPil.from_pretrained(root)
    session = Session.open(root, "fp32")
    for rows, columns in ((32, 32), (48, 64), (90, 60)):
        picture = np.random.default_rng(rows).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        given = processor(images=Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
        np.testing.assert_array_equal(session.pixels([picture])[0], given)
