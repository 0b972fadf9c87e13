"""A bundle: written by search.bundle, opened by Session and ItemIndex, refused when it is not whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.core import artifacts
from sightline.core.params.generation import SPIN_OFF, Spin
from sightline.data.images import decode
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.confidence import NOT_FITTED
from sightline.inference.onnx_engine import EngineError
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.session import MODEL, Session
from sightline.search import bundle, examples
from sightline.search.item_index import KINDS, ItemIndex, file_names
from sightline.search.vector_index import SearchIndexError
from tests.support import tiny

SPIN = Spin(keep=0.5, alpha=0.5, layers=(0, 1))
GATED = greedy_generation(tiny.MAX_ANSWER).replaced(spin=True)


@pytest.fixture(scope="module")
def exported(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "onnx"
    with artifacts.create(folder, "onnx", {"variants": ["fp32", "int8"], "shipped": "int8"}) as filling:
        shutil.copytree(root, filling, dirs_exist_ok=True)
    return artifacts.load(folder, "onnx")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return tiny.raw(tmp_path_factory.mktemp("data") / "raw")


def write(out, exported, items, source="scenes", split="test", thumbnails=0):
    inputs = bundle.BundleInputs(
        exported, Session.load_variant(exported.path, "int8"), NOT_FITTED, GATED, SPIN,
        OODDetector(np.zeros(32), np.eye(32), 5.0), tiny.question_detector(), items,
        bundle.DataOrigin(source, "en", "a" * 64),
        ["No POPE question."],
    )  # fmt: skip
    return bundle.write(out, inputs, tiny.index_params(split, thumbnails), 10**6)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, exported, items):
    folder = tmp_path_factory.mktemp("shipped") / "bundle"
    write(folder, exported, items)
    return folder


@pytest.fixture
def copied(shipped, tmp_path):
    return shutil.copytree(shipped, tmp_path / "bundle")


def resign(folder):
    """What someone does who may write the manifest too: every hash fits, the content is what he wants."""
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    hashes = {name: artifacts.sha256(path) for name, path in files.items() if name != "manifest.json"}
    artifacts.write_json(folder / "manifest.json", {"kind": "bundle", "files": hashes})


def test_a_bundle_answers_like_its_variant_with_the_bundles_spin(shipped, exported):
    session, variant = Session.load(shipped), Session.load_variant(exported.path, "int8")
    images, questions = tiny.pictures(4), list(tiny.QUESTIONS)
    assert session.settings.spin == SPIN and variant.settings.spin == SPIN_OFF
    assert session.settings.generation == GATED and not variant.settings.generation.spin
    assert session.answer(images, questions) == variant.answer(images, questions, spin=SPIN)
    assert session.folder == shipped
    assert OODDetector.load(shipped).bound == 5.0


def test_the_gallery_finds_every_item_by_what_it_has(shipped, items):
    session = Session.load(shipped)
    gallery = ItemIndex(shipped / bundle.INDEX, session.engine.search_digest())
    assert len(gallery) == 10
    assert [gallery.counts[kind] for kind in KINDS] == [9, 9, 10]
    picture = decode(items.image_bytes(items[3]), 10**6)
    hit = gallery.search(session.embed_images([picture], 32), 3)[0][0]
    assert (hit.id, hit.text) == ("item-3", items[3]["captions"][0])
    assert hit.score == pytest.approx(1.0, abs=1e-5)  # a unit vector with itself, float32
    text = gallery.search(session.embed_texts([items[8]["captions"][0]], 32), 1, "text")[0][0]
    assert text.score == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(SearchIndexError, match="image, text, fused"):
        gallery.search(np.ones((1, 16)), 1, "colour")


def test_writing_twice_gives_the_same_bytes(shipped, exported, items, tmp_path):
    write(tmp_path / "again", exported, items)
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (shipped / "manifest.json").read_bytes()


def test_the_index_is_the_same_bytes_from_worker_processes(shipped, exported, items, tmp_path, monkeypatch):
    """One item a shard, which makes more shards than one process keeps to itself."""
    monkeypatch.setattr(bundle, "CHUNK", 1)
    monkeypatch.setattr(bundle, "_block", None)  # of this process
    assert len(items) > bundle.FEW
    write(tmp_path / "bundle", exported, items)
    for name in file_names():
        assert (tmp_path / "bundle/index" / name).read_bytes() == (shipped / "index" / name).read_bytes()


def test_examples_ship_with_rendered_scenes_only(shipped, exported, items, tmp_path):
    listed = json.loads((shipped / "examples" / "examples.json").read_text())
    assert len(listed) == 6 and {path["file"] for path in listed} == {
        path.name for path in (shipped / "examples").glob("*.png")
    }
    for row in listed:
        picture = shipped / "examples" / row["file"]
        with Image.open(examples.displayed(picture)) as drawn:
            assert drawn.size == (512, 512)
        copy = shutil.copy(picture, tmp_path)
        assert examples.displayed(Path(copy)) == Path(copy)
    write(tmp_path / "photos", exported, items, source="flickr8k")
    assert not (tmp_path / "photos" / "examples").exists()
    assert "rendered scenes" in (shipped / "README.md").read_text()
    assert "rendered scenes" not in (tmp_path / "photos" / "README.md").read_text()


def test_all_splits_are_searched_and_every_item_is_found(exported, tmp_path):
    """Each by its own picture and by its own caption, of whatever split it is."""
    items = tiny.raw(tmp_path / "raw", 12, ("train", "val", "test"))
    write(tmp_path / "bundle", exported, items, split="all", thumbnails=24)
    session = Session.load(tmp_path / "bundle")
    index = ItemIndex(tmp_path / "bundle" / bundle.INDEX, session.search_digest())
    assert index.what == "12 items of all splits"
    assert "12 items of every split" in (tmp_path / "bundle" / "README.md").read_text()
    for number in range(12):
        item = items[number]
        if item["image"] is not None:
            picture = decode(items.image_bytes(item), 10**6)
            hit = index.search(session.embed_images([picture], 32), 1)[0][0]
            assert hit.id == item["id"]
            assert max(decode(index.thumbnail(hit.entry), 10**6).shape) == 24
        else:
            assert index.thumbnail(number) is None
        if item["captions"]:
            hits = index.search(session.embed_texts(item["captions"][:1], 32), 12, "text")[0]
            best = [hit.id for hit in hits if hit.score > 0.9999]  # tiny captions may share a vector
            assert item["id"] in best


def test_a_bundle_keeps_no_pictures_unless_told(shipped, exported, items):
    index = ItemIndex(shipped / bundle.INDEX, Session.load(shipped).search_digest())
    assert not index.has_thumbnails and index.thumbnail(0) is None


def test_an_unknown_split_is_named(exported, items, tmp_path):
    with pytest.raises(ValueError, match="index.split is 'val'.*test"):
        write(tmp_path / "x", exported, items, split="val")
    assert not (tmp_path / "x").exists()


def test_the_index_of_another_model_is_refused(shipped, exported):
    other = Session.load_variant(exported.path, "fp32").engine.search_digest()
    with pytest.raises(SearchIndexError, match="built with the model"):
        ItemIndex(shipped / bundle.INDEX, other)


def test_every_single_damaged_file_is_noticed(copied):
    """By whoever opens the bundle; in the large files of the index, by whoever verifies everything (how a
    search notices them: tests/search/test_item_index.py)."""
    files = sorted(path for path in copied.rglob("*") if path.is_file() and path.stat().st_size)
    later = {copied / bundle.INDEX / name for name in file_names()}
    assert len(files) > 10 and later & set(files)
    for path in files:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ValueError, match=r"bundle"):
            if path in later:
                artifacts.load(copied, "bundle", everything=True)
            else:
                Session.load(copied)
        path.write_bytes(data)
    Session.load(copied)


def missing(folder):
    (folder / "onnx" / "decoder.onnx").unlink()


def extra(folder):
    (folder / "onnx" / "weights.pkl").write_bytes(b"x")


def link(folder):
    target = folder / "onnx" / "vision.onnx"
    target.unlink()
    target.symlink_to("/etc/hostname")


@pytest.mark.parametrize("harm,word", [(missing, "no such file"), (extra, "extra"), (link, "link")])
def test_missing_extra_and_linked_files_are_refused(copied, harm, word):
    harm(copied)
    with pytest.raises(artifacts.ArtifactError, match=word):
        Session.load(copied)


def cut(folder):
    path = folder / "onnx" / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:-1000])


def noise(folder):
    (folder / "onnx" / "vision.onnx").write_bytes(np.random.default_rng(0).bytes(5000))


def outside(folder):
    import onnx

    path = folder / "onnx" / "vision.onnx"
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if len(t.raw_data) > 100)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"
    path.write_bytes(model.SerializeToString())


def custom(folder):
    import onnx

    path = folder / "onnx" / "vision.onnx"
    model = onnx.load(path)
    model.graph.node[0].domain, model.graph.node[0].op_type = "evil", "RunCommand"
    model.opset_import.add(domain="evil", version=1)
    path.write_bytes(model.SerializeToString())


def other_tokenizer(folder):
    from sightline.data.tokenizer import Tokenizer

    Tokenizer.train(["entirely other words are here"] * 3, 60, 1).save(folder / "tokenizer.json")


def no_settings(folder):
    artifacts.write_json(folder / "generation.json", {"max_new": 5})


def wrong_settings(folder):
    artifacts.write_json(folder / "generation.json", [1, 2])


def no_engine(folder):
    artifacts.write_json(folder / "onnx" / "engine.json", {"heads": 4})


@pytest.mark.parametrize(
    "harm,word",
    [
        (cut, r"decoder\.onnx: no graph that ONNX Runtime can run"),
        (noise, r"vision\.onnx: no graph that ONNX Runtime can run"),
        (outside, r"vision\.onnx: the graph refers to a file outside itself"),
        (custom, r"vision\.onnx: no graph that ONNX Runtime can run"),
        (other_tokenizer, r"tokenizer\.json: \d+ tokens, but the model was trained with"),
        (no_settings, r"generation\.json: max_question: Field required"),
        (wrong_settings, r"generation\.json: the file: "),
        (no_engine, r"engine\.json: lacks grid, image_size, vocab_size, embed_dim"),
    ],
)
def test_hostile_content_with_a_fitting_manifest_is_refused_clearly(copied, harm, word):
    harm(copied)
    resign(copied)
    with pytest.raises(ValueError, match=word):
        Session.load(copied)


def test_an_unknown_variant_and_another_kind_are_named(exported, shipped):
    with pytest.raises(ValueError, match="no variant 'int4'; it holds fp32, int8"):
        Session.load_variant(exported.path, "int4")
    with pytest.raises(artifacts.ArtifactError, match="kind 'bundle'.*'onnx'"):
        Session.load(exported.path)
    with pytest.raises(EngineError, match=r"engine\.json: no such file"):
        Session.open(exported.path, "nothing")


def test_a_decoder_of_another_version_is_named(copied):
    shutil.copyfile(copied / MODEL / "memory.onnx", copied / MODEL / "decoder.onnx")
    with pytest.raises(EngineError, match=r"expected keys and values layer by layer \(self_k\.0, .*version"):
        Session.open(copied, MODEL)
