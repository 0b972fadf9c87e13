"""params.yaml and profiles/: every value is checked, every error names file, line, key, got and allowed."""

import json
import re
import subprocess
import sys
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from sightline.core.params import edit, resolved
from sightline.core.params.loader import ParamsError, load_params
from sightline.core.params.params_files import LOCAL
from sightline.core.params.sections import leaves
from sightline.core.params.tower_params import UNUSED

ROOT = Path(__file__).resolve().parents[2]
YAML12 = YAML(typ="safe", pure=True)
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
DOCUMENT = YAML12.load(TEXT)
SCENES = YAML12.load((ROOT / "profiles" / "scenes.yaml").read_text(encoding="utf-8"))
PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))
# What the profiles of one's own files cannot know.
OWN_FILES = {
    "own": {"data.path": "items.csv"},
    "clip": {"data.path": "items.csv"},
    "flickr8k": {"vision.checkpoint": "squeezenet.safetensors"},
}


def files(folder: Path, top: dict | None = None, profile: dict | None = None, text: str = TEXT) -> Path:
    """params.yaml with other leaves, and the one profile that it has, scenes, with others; None empties."""
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    (folder / "profiles" / "scenes.yaml").write_text(json.dumps(SCENES, indent=1), encoding="utf-8")
    if top:
        edit.fill(folder / "params.yaml", top)
    if profile:
        edit.fill(folder / "profiles" / "scenes.yaml", profile)
    return folder / "params.yaml"


def error(path: Path) -> str:
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path.parent))
    return str(caught.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_resolves(profile):
    overrides = {"profile": profile, **OWN_FILES.get(profile, {})}
    params = load_params(ROOT / "params.yaml", overrides)
    assert params.profile == profile and set(params.origin) == set(leaves())
    assert params.origin["align.temperature"] == "params.yaml"
    assert params.origin[
        "evaluate.splits"
    ] == f"profiles/{'coco' if profile in OWN_FILES else profile}.yaml" or (
        profile == "smoke" and params.origin["evaluate.splits"] == "profiles/scenes.yaml"
    )


@pytest.mark.parametrize(("profile", "own"), OWN_FILES.items())
def test_a_profile_of_own_files_says_which_it_wants(profile, own):
    with pytest.raises(ParamsError, match=f"params.yaml:[0-9]+: {next(iter(own))}: got 'data/no_input'"):
        load_params(ROOT / "params.yaml", {"profile": profile})


def test_a_profile_holds_what_differs():
    scenes, study = (load_params(ROOT / "params.yaml", {"profile": name}) for name in ("scenes", "study"))
    assert (study.align.epochs, study.finetune.epochs, scenes.align.epochs) == (4.0, 3.2, 2.3)
    assert study.evaluate.splits == ("test", "shift_test", "uniform_test", "novel_test")
    assert study.origin["align.epochs"] == "profiles/study.yaml"
    assert study.origin["align.batch_size"] == "profiles/scenes.yaml"
    assert len((ROOT / "profiles" / "study.yaml").read_text().splitlines()) <= 10
    sizes = [len(path.read_text().splitlines()) for path in (ROOT / "profiles").glob("*.yaml")]
    assert len(TEXT.splitlines()) + sum(sizes) <= 410


def test_params_yaml_holds_every_leaf_and_profiles_only_known_ones():
    def held(block: dict, prefix: str = "") -> set[str]:
        inner = [held(it, f"{prefix}{name}.") for name, it in block.items() if isinstance(it, dict)]
        return {prefix + name for name, it in block.items() if not isinstance(it, dict)}.union(*inner)

    assert held(DOCUMENT) == set(leaves())


def test_the_file_is_in_the_form_that_dvc_writes(tmp_path):
    """So that the only line a `-S` changes is its own."""
    path = files(tmp_path)
    edit.fill(path, {"seed": DOCUMENT["seed"]})
    assert path.read_text(encoding="utf-8") == TEXT


def test_a_value_in_params_yaml_wins(tmp_path):
    params = load_params(files(tmp_path, {"finetune.epochs": 3}))
    assert params.finetune.epochs == 3.0 and isinstance(params.finetune.epochs, float)
    assert params.origin["finetune.epochs"] == "params.yaml"
    assert params.origin["finetune.width"] == "profiles/scenes.yaml"


def test_overrides_count_as_if_params_yaml_had_them(tmp_path):
    path = files(tmp_path)
    assert load_params(path, {"finetune.epochs": 3}) == load_params(files(tmp_path, {"finetune.epochs": 3}))
    with pytest.raises(ParamsError, match="finetune.epochs: got 'three'"):
        load_params(path, {"finetune.epochs": "three"})


def test_falsy_values_are_values(tmp_path):
    params = load_params(
        files(tmp_path, {"evaluate.max_items": 0, "spin.alpha": 0}, {"evaluate.max_items": 5})
    )
    assert params.evaluate.max_items == 0 and params.spin.alpha == 0.0


@pytest.mark.parametrize(
    ("top", "expected"),
    [({}, (0.5, None)), ({"keep": 0.25}, (0.25, None)), ({"top_k": 3}, (None, 3))],
)
def test_keep_and_top_k_are_resolved_as_a_pair(tmp_path, top, expected):
    spin = load_params(files(tmp_path, {f"spin.{leaf}": value for leaf, value in top.items()})).spin
    assert (spin.keep, spin.top_k) == expected


def test_a_profile_may_choose_the_other_of_the_pair(tmp_path):
    path = files(tmp_path, {"profile": "few"})
    few = tmp_path / "profiles" / "few.yaml"
    few.write_text("extends: scenes\nspin: {top_k: 3}\n")
    assert (load_params(path).spin.keep, load_params(path).spin.top_k) == (None, 3)


def test_keep_and_top_k_together_or_neither_are_refused(tmp_path):
    assert "exactly one of keep and top_k" in error(files(tmp_path, {"spin.keep": 0.5, "spin.top_k": 2}))
    assert "exactly one of keep and top_k" in error(files(tmp_path, profile={"spin.keep": None}))


@pytest.mark.parametrize("written", ["1e-05", "1e-5", "1.0e-05", "0.00001"])
def test_learning_rates_as_dvc_writes_them_are_numbers(tmp_path, written):
    # `dvc exp run -S lr=1e-5` writes 1e-05, which a YAML 1.1 reader takes for a string.
    text = TEXT.replace(f"lr: {DOCUMENT['lr']}", f"lr: {written}", 1)
    assert load_params(files(tmp_path, text=text)).lr == 1e-5


@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        ("loss: info_nce", "loss: infonce", ["align.loss", "siglip", "did you mean 'info_nce'?"]),
        ("loss: info_nce", "loss: mlm", ["align.loss", "'mlm'", "info_nce, siglip"]),
        ("profile: scenes", "profile: scene", [":5:", "profile", "'scene'", "did you mean 'scenes'?"]),
        ("profile: scenes", "profile:", [":5:", "profile", "nothing", "scenes"]),
        ("seed: 7", "seed: seven", [":6:", "seed", "'seven' (str)", "an integer"]),
        ("seed: 7", "seed: true", ["seed", "True (bool)", "an integer"]),
        ("threads: 1", "threads: 0", ["threads", "0", ">= 1"]),
        ("lr: 0.001", "lr: .nan", ["lr", "nan", "finite"]),
        ("lr: 0.001", "lr: -1", ["lr", "-1", "> 0"]),
        ("lr: 0.001", "lr:", ["lr", "nothing"]),
        ("lr: 0.001", "lrr: 0.001", ["lrr", "an unknown key", "did you mean 'lr'?"]),
        ("joint_block: true", "joint_block: yes", [".joint_block", "'yes' (str)", "true or false"]),
        ("opset: 20", "opset: 20.0", ["export.opset", "20.0 (float)", "an integer"]),
        ("opset: 20", "opset: 20\n  opset: 21", ["opset", "the key twice", "each key once"]),
        ("opset: 20", "opset: [20", ["YAML", "valid YAML"]),
        ("opset: 20", "opset: !!python/object:os.system 1", ["YAML", "valid YAML"]),
        ("score: mass", "score: max", ["spin.score", "'max'", "mass, logit_sum"]),
        (
            "launch: auto",
            "launch: torchrun --nproc-per-node 7",
            ["pretrain.batch_size", "launch's 7 processes"],
        ),
        (
            "launch: auto",
            "launch: torchrun --nnodes 7 --nproc-per-node 1",
            ["pretrain.batch_size", "launch's 7 processes"],
        ),
        ("engine: local", "engine: spark", ["engine", "'spark'", "local, ray"]),
        ("launch: auto", "launch: rm -r", ["launch", "'rm -r'", "python, torchrun, accelerate or srun"]),
        ("loader_workers: auto", "loader_workers: some", ["loader_workers", "an integer >= 0, or auto"]),
        ("loader_workers: auto", "loader_workers: -1", ["loader_workers", "an integer >= 0, or auto"]),
        ("profile: scenes", "profiles: {}\nprofile: scenes", ["profiles", "an unknown key", "profile"]),
    ],
)
def test_slips_are_refused(tmp_path, old, new, fragments):
    assert old in TEXT
    message = error(files(tmp_path, text=TEXT.replace(old, new, 1)))
    assert all(fragment in message for fragment in fragments), message


@pytest.mark.parametrize(
    ("section", "leaf", "value", "fragments"),
    [
        ("data", "source", "scnes", ["scenes", "did you mean 'scenes'?"]),
        ("data", "checksums", {"a": "md5:12"}, ["checksums.a:", "md5:<32 hex>"]),
        ("data", "sizes", {"train": "many"}, ["sizes.train", "'many' (str)"]),
        ("data", "sizes", {"Train": 2}, ["data.sizes", "'Train'", "lower case"]),
        ("data", "base_url", "ftp://x", ["https://"]),
        ("convert", "vocab_size", 99, [">= 100"]),
        ("generation", "candidates", 0, [">= 1"]),
        ("generation", "contrast", -1.0, [">= 0"]),
        ("generation", "method", "best", ["greedy, beam, sampling"]),
        ("text", "tower", "gpt", ["bert"]),
        ("text", "heads", 3, ["text.width", "multiple of text.heads = 3"]),
        (
            "vision",
            "pretrained",
            "file",
            ["vision.checkpoint", ".safetensors file, as vision.pretrained is file"],
        ),
        ("index", "split", "tst", ["index.split", "tst", "splits of data.sizes: train"]),
        ("index", "thumbnails", 513, ["index.thumbnails", "513"]),
        ("align", "matching_samples", 129, ["at most align.batch_size = 128"]),
        ("finetune", "width", 129, ["multiple of finetune.heads = 8"]),
        ("align", "dropout", 1, ["[0, 1)"]),
        ("evaluate", "splits", ["test", "test"], ["each once"]),
        ("evaluate", "splits", [], ["one or more splits"]),
        ("evaluate", "splits", ["test", "tests"], ["evaluate.splits: got 'tests'", "splits of data.sizes"]),
        ("gate", "min_map_correlation", 2, ["[-1, 1]"]),
        ("gate", "max_accuracy_drop", 101, ["[0, 100]"]),
        ("spin", "keep", 0, ["(0, 1]"]),
        ("spin", "top_k", 9, ["at most finetune.heads = 8"]),
    ],
)
@pytest.mark.parametrize("place", ["params.yaml", "profiles/scenes.yaml"])
def test_values_out_of_range_are_refused_where_they_stand(tmp_path, place, section, leaf, value, fragments):
    change = {f"{section}.{leaf}": value}
    path = files(tmp_path, *((change,) if place == "params.yaml" else ({}, change)))
    if leaf == "top_k":
        edit.fill(tmp_path / "profiles" / "scenes.yaml", {"spin.keep": None})
    message = error(path)
    assert all(fragment in message for fragment in [*fragments, f"{section}."]), message
    # A check that compares two leaves may name the other one, which stands elsewhere.
    if f" {section}.{leaf}" in message.split("got")[0]:
        where, line = re.match(rf"{tmp_path}/(.*?):(\d+): ", message).groups()
        named = message.split(": got")[0].split(".")[-1].split("[")[0]
        assert where == place and named in (tmp_path / place).read_text().splitlines()[int(line) - 1]


@pytest.mark.parametrize(
    ("key", "value", "fragments"),
    [
        ("data.timeout_s", 0, ["> 0"]),
        ("data.val_share", 0.5, ["[0.001, 0.4]"]),
        ("convert.pope_per_image", 3, ["even"]),
        ("convert.near_duplicates", "hide", ["drop", "keep"]),
        ("index.sure_accuracy", 101, ["[0, 100]"]),
        ("index.domain_percentile", -1, ["[0, 100]"]),
        ("finetune.heads", 7, ["multiple of finetune.heads = 7"]),
        ("finetune.dropout", 1, ["[0, 1)"]),
        ("compress.head_ratio", 1.0, ["[0, 1)"]),
        ("compress.criterion", "random", ["magnitude, taylor"]),
        ("explain.method", "gradcam", ["cross_attention"]),
        ("evaluate.rerank_top", 0, [">= 1"]),
        ("gate.max_logit_difference", 0, ["> 0"]),
        ("vision.checkpoint", "weights.safetensors", ["as vision.pretrained is none"]),
        ("text.name", "any/model", ["text.checkpoint", "as text.tower is bert"]),
        ("finetune.max_question", 97, ["at most text.max_tokens = 96", "the text tower reads the questions"]),
        ("spin.layers", [0, 2], ["layers below finetune.layers = 2"]),
        ("spin.layers", [0, 0], ["each once"]),
        ("spin.layers", [0, "1"], ["spin.layers[1]", "'1' (str)"]),
    ],
)
def test_shared_values_out_of_range_are_refused(tmp_path, key, value, fragments):
    message = error(files(tmp_path, {key: value}))
    assert all(fragment in message for fragment in [*fragments, key.split(".")[0]]), message


def test_only_a_text_tower_that_reads_questions_must_be_long_enough_for_them(tmp_path):
    """A model that only searches reads none; a language model reads them by itself."""
    asked = {"finetune.max_question": 97}
    lengths = [
        load_params(files(tmp_path, {**asked, **more})).finetune.max_question
        for more in (
            {"finetune.epochs": 0},
            {"decoder.tower": "hf", "decoder.checkpoint": "gpt2", "finetune.init_from_alignment": True,
             "compress.head_ratio": 0.0, "compress.neuron_ratio": 0.0},
        )
    ]  # fmt: skip
    assert lengths == [97, 97]


@pytest.mark.parametrize(
    ("change", "trains"),
    [
        ({}, True),
        ({"text.tower": "hf", "text.checkpoint": "minilm"}, False),
        ({"text.tower": "hf_idf_bag", "text.checkpoint": "minilm"}, False),
        ({"dual_encoder.checkpoint": "clip"}, False),
    ],
)
def test_a_tokenizer_is_trained_unless_a_part_brings_one(tmp_path, change, trains):
    assert load_params(files(tmp_path, change)).trains_tokenizer is trains


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        ("key_value_heads", 1),
        ("positions", "rotary"),
        ("norm", "post"),
        ("norm_type", "rms"),
        ("activation", "swiglu"),
        ("tie_embeddings", False),
    ],
)
def test_what_says_nothing_to_a_tower_cannot_be_asked_for(tmp_path, leaf, value):
    for tower, (unused, why) in UNUSED.items():
        if leaf not in unused and value != "rotary":
            continue
        own = {"text.name": "any/model", "text.revision": "a" * 40} if tower != "idf_bag" else {}
        params = load_params(files(tmp_path, own, {"text.tower": tower}))  # asks for nothing
        assert unused == {name: getattr(params.text, name) for name in unused}
        message = error(files(tmp_path, {**own, f"text.{leaf}": value}, {"text.tower": tower}))
        assert f"text.{leaf}: got {value!r}" in message and f"as text.tower is {tower}" in message
        if leaf in unused:
            assert f"allowed: {unused[leaf]!r}" in message and why in message


@pytest.mark.parametrize(
    ("name", "folder", "given"),
    [("any/model", "data/no_input", {"checkpoint": "any/model", "revision": "a" * 40}),
     ("", "weights/minilm", {"checkpoint": "weights/minilm"})],
)  # fmt: skip
def test_a_pretrained_text_tower_is_a_folder_or_a_name(tmp_path, name, folder, given):
    pinned = {"text.revision": "a" * 40} if name else {}
    top = {"text.tower": "hf", "text.name": name, "text.checkpoint": folder, **pinned}
    config = load_params(files(tmp_path, top)).text.tower_config()
    assert {key: config[key] for key in ("checkpoint", "revision") if key in config} == given
    for revision in ("main", "a" * 39) if name else ("a" * 40,):
        assert "text.revision: got" in error(files(tmp_path, {**top, "text.revision": revision}))
    assert "text.checkpoint" in error(files(tmp_path, {"text.tower": "hf"}))
    both = {"text.tower": "hf", "text.name": "any/model", "text.checkpoint": "weights/minilm"}
    assert "text.checkpoint" in error(files(tmp_path, both))


@pytest.mark.parametrize(
    ("pretrained", "more", "given"),
    [
        ("hub", {"revision": "a" * 40}, {"checkpoint": "hub", "revision": "a" * 40}),
        ("none", {}, {"checkpoint": "none"}),
        ("file", {"checkpoint": "w.safetensors"}, {"checkpoint": "w.safetensors"}),
        ("file", {"tower": "hf", "checkpoint": "clip"}, {"tower": "hf", "checkpoint": "clip"}),
    ],
)
def test_pretrained_pictures_come_from_a_file_a_folder_or_the_hub(tmp_path, pretrained, more, given):
    change = {"tower": "timm", "name": "any", "pretrained": pretrained, **more}
    params = load_params(files(tmp_path, {f"vision.{leaf}": value for leaf, value in change.items()}))
    expected = {"tower": "timm", "name": "any", "image_size": 64, "width": 128, "preprocessing": "published"}
    assert params.vision.tower_config() == expected | given


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pretrained": "hub"}, "vision.revision: got '', allowed: all 40 digits of a commit"),
        ({"pretrained": "hub", "revision": "main"}, "vision.revision: got 'main', allowed: all 40 digits"),
        ({"revision": "a" * 40}, "allowed: empty, unless vision.pretrained is hub"),
        ({"tower": "hf"}, "vision.pretrained: got 'none', allowed: hub or file, as vision.tower is hf"),
        ({"tower": "hf", "pretrained": "hub", "revision": "a" * 40}, "allowed: a name on the hub"),
        ({"tower": "hf", "pretrained": "file"}, "vision.checkpoint: got 'data/no_input', allowed: a model's"),
    ],
)
def test_image_towers_without_what_they_need_are_refused(tmp_path, change, message):
    assert message in error(files(tmp_path, {f"vision.{leaf}": value for leaf, value in change.items()}))


def test_the_config_of_a_tower_that_reads_pictures_the_plain_way_is_what_it_was(tmp_path):
    """Its digest is in every exported graph."""
    plain = {"vision.tower": "torchvision", "vision.name": "resnet18", "vision.preprocessing": "plain"}
    for change in ({}, plain):
        config = load_params(files(tmp_path, change)).vision.tower_config()
        assert list(config) == ["tower", "name", "checkpoint", "image_size", "width"]


@pytest.mark.parametrize("key", leaves())
def test_each_leaf_is_required_and_typed(tmp_path, key):
    *section, leaf = key.split(".")
    for spoil, expected in (("missing", "a missing key"), ("mistyped", "[{'a': 1}]"), ("empty", "nothing")):
        path = files(tmp_path)
        content, profile = json.loads(json.dumps(DOCUMENT)), json.loads(json.dumps(SCENES))
        block = reduce(dict.__getitem__, section, content)
        if spoil == "missing":
            del block[leaf]
        else:
            block[leaf] = [{"a": 1}] if spoil == "mistyped" else None
        if spoil == "empty" and section:
            reduce(lambda block, name: block.get(name, {}), section, profile).pop(leaf, None)
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        (tmp_path / "profiles" / "scenes.yaml").write_text(json.dumps(profile), encoding="utf-8")
        if key == "spin.top_k" and spoil == "empty":
            continue  # the one leaf that is empty in both places
        message = error(path)
        assert key in message, message
        assert expected in message or "{'a': 1}" in message or key == "spin.keep", message


def test_profiles_that_are_not_chosen_are_checked_too(tmp_path):
    path, other = files(tmp_path), tmp_path / "profiles" / "other.yaml"
    for text, expected in (
        ("extends: scenes\ndata: {max_itms: 3}\n", "2: data.max_itms: got an unknown key"),
        ("daat: {}\n", "1: daat: got an unknown key"),
        ("extends: scenes\nalign: {epochs: '3'}\n", "2: align.epochs: got '3' (str)"),
        ("extends: 3\n", "1: extends: got 3 (int)"),
        ("- 3\n", "the file: got [3] (list), allowed: a mapping"),
        ("data: 3\n", "1: data: got 3 (int), allowed: a mapping"),
        ("launch: python\n", "1: launch: got 'python', allowed: nothing in a profile"),
    ):
        other.write_text(text)
        assert f"{other}" in error(path) and expected in error(path)
    other.write_text("extends: scenes\ndata:\n")
    assert load_params(path).profile == "scenes"


def test_what_a_profile_extends_must_be_there_and_end(tmp_path):
    path, other = files(tmp_path, {"profile": "other"}), tmp_path / "profiles" / "other.yaml"
    other.write_text("extends: scene\n")
    message = error(path)
    assert "other.yaml:1: extends: got 'scene', allowed: other, scenes, " in message
    assert "did you mean 'scenes'?" in message
    other.write_text("extends: other\n")
    assert "a profile that does not extend it" in error(path)


@pytest.mark.parametrize("key", LOCAL)
def test_a_local_path_in_a_profile_is_refused_and_says_where_it_goes(tmp_path, key):
    message = error(files(tmp_path, profile={key: "my/file.safetensors"}))
    assert f"{key}: got 'my/file.safetensors'" in message and f"or with -S {key}=..." in message


def test_a_profile_cannot_set_what_params_yaml_fills_for_all(tmp_path):
    path = files(tmp_path)
    (tmp_path / "profiles" / "mine.yaml").write_text("extends: scenes\nalign: {temperature: 0.1}\n")
    message = error(path)
    assert "mine.yaml:2: align.temperature: got 0.1" in message and "params.yaml fills it" in message
    # The cure that it names works.
    assert "empty it there and give it in scenes too" in message
    edit.fill(path, {"align.temperature": None, "profile": "mine"})
    edit.fill(tmp_path / "profiles" / "scenes.yaml", {"align.temperature": 0.07})
    assert load_params(path).align.temperature == 0.1


@pytest.mark.parametrize("content", ["", "[]", "3", "a: [", "\x00", "- 1\n- 2", "? [1, 2]\n: 3"])
def test_files_of_another_form_are_refused(tmp_path, content):
    error(files(tmp_path, text=content))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="repository root"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParamsError, match="UTF-8"):
        load_params(tmp_path / "params.yaml")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=80))
@example("lr: ._")
@example("lr: 2001-99-99")
def test_no_text_makes_the_loader_crash(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ParamsError):
        load_params(path)


def test_params_are_frozen(tmp_path):
    params = load_params(files(tmp_path))
    with pytest.raises(ValidationError, match="frozen"):
        params.lr = 1.0
    with pytest.raises(ValidationError, match="frozen"):
        params.data.source = "table"


def test_resolved_is_what_the_params_come_to(tmp_path):
    params = load_params(files(tmp_path, {"lr": 0.002}))
    with pytest.raises(ParamsError, match=r"resolved.yaml:1: the file: got nothing.*run: dvc repro resolve"):
        resolved.check(params, tmp_path)
    resolved.write(params, tmp_path)
    resolved.check(params, tmp_path)
    written = YAML12.load((tmp_path / "resolved.yaml").read_text(encoding="utf-8"))
    assert written == params.model_dump(
        mode="json", exclude={"engine", "launch", "loader_workers", "tracking"}
    )
    assert (written["lr"], written["spin"]["layers"], written["align"]["epochs"]) == (0.002, [0, 1], 2.3)
    other = load_params(files(tmp_path, {"lr": 0.003}))
    line = written_line(tmp_path / "resolved.yaml", "lr:")
    with pytest.raises(ParamsError, match=rf"resolved.yaml:{line}: the file: got other values"):
        resolved.check(other, tmp_path)


def written_line(path: Path, start: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith(start))


def test_the_committed_resolved_file_is_right():
    assert resolved.check(load_params(ROOT / "params.yaml"), ROOT) is None  # it raises where they differ


def stage(name: str, folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "stages" / f"{name}.py")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_stage_resolve_keeps_the_old_file_where_a_value_is_refused(tmp_path):
    path = files(tmp_path)
    assert stage("resolve", tmp_path).returncode == 0
    before = (tmp_path / "resolved.yaml").read_bytes()
    edit.fill(path, {"lr": "fast"})
    done = stage("resolve", tmp_path)
    assert done.returncode == 2 and "params.yaml:8: lr: got 'fast' (str)" in done.stderr
    assert (tmp_path / "resolved.yaml").read_bytes() == before


def test_a_stage_refuses_a_resolved_file_of_other_params(tmp_path):
    path = files(tmp_path)
    assert stage("resolve", tmp_path).returncode == 0
    edit.fill(path, {"lr": 0.5})
    done = stage("gate", tmp_path)
    assert done.returncode == 2 and "resolved.yaml:" in done.stderr and "dvc repro resolve" in done.stderr


def test_loading_imports_no_torch():
    code = "import sys, sightline.core.params.loader as it; it.load_params(); print('torch' in sys.modules)"
    command, env = [sys.executable, "-c", code], {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
