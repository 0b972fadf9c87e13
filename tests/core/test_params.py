"""params.yaml: every value is checked, and every error names file, line, key, got and allowed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from sightline.core.params.loader import ParamsError, load_params
from sightline.core.params.tower_params import UNUSED

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
DOCUMENT = YAML(typ="safe", pure=True).load(TEXT)
SECTIONS = [name for name, block in DOCUMENT.items() if isinstance(block, dict) and name != "profiles"]


def document(**top) -> dict:
    """A fresh copy of params.yaml with the smoke profile alone, which also keeps the tests fast."""
    copy = json.loads(json.dumps(DOCUMENT))
    return copy | {"profile": "smoke", "profiles": {"smoke": copy["profiles"]["smoke"]}} | top


def load(folder: Path, content: dict | str):
    path = folder / "params.yaml"
    # JSON is a subset of YAML 1.2, so the file keeps one key a line.
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return load_params(path)


def error(folder: Path, content: dict | str) -> str:
    with pytest.raises(ParamsError) as caught:
        load(folder, content)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(folder / "params.yaml"))
    return str(caught.value)


@pytest.mark.parametrize("profile", DOCUMENT["profiles"])
def test_every_profile_resolves(tmp_path, profile):
    params = load(tmp_path, TEXT.replace(f"profile: {DOCUMENT['profile']}", f"profile: {profile}", 1))
    assert params.profile == profile
    for section in SECTIONS:
        for leaf, value in getattr(params, section).model_dump().items():
            given_at_top = DOCUMENT[section][leaf] is not None
            key = f"{section}.{leaf}"
            if not isinstance(value, dict) or key in params.origin:
                expected = "top" if given_at_top or value is None else f"profiles.{profile}"
                assert params.origin[key] == expected


def test_a_value_at_the_top_wins(tmp_path):
    content = document()
    content["finetune"]["epochs"] = 3
    params = load(tmp_path, content)
    assert params.finetune.epochs == 3.0 and isinstance(params.finetune.epochs, float)
    assert params.origin["finetune.epochs"] == "top"
    assert params.origin["finetune.width"] == "profiles.smoke"


def test_falsy_values_are_values(tmp_path):
    content = document()
    content["profiles"]["smoke"]["data"]["max_items"] = 5
    content["data"]["max_items"] = 0
    content["spin"]["alpha"] = 0
    params = load(tmp_path, content)
    assert params.data.max_items == 0 and params.spin.alpha == 0.0


@pytest.mark.parametrize(
    ("top", "expected"),
    [({}, (0.5, None)), ({"keep": 0.25}, (0.25, None)), ({"top_k": 3}, (None, 3))],
)
def test_keep_and_top_k_are_resolved_as_a_pair(tmp_path, top, expected):
    content = document()
    content["spin"] |= top
    spin = load(tmp_path, content).spin
    assert (spin.keep, spin.top_k) == expected


def test_keep_and_top_k_together_or_neither_are_refused(tmp_path):
    content = document()
    content["spin"] |= {"keep": 0.5, "top_k": 2}
    assert "exactly one of keep and top_k" in error(tmp_path, content)
    content = document()
    content["profiles"]["smoke"]["spin"]["keep"] = None
    assert "exactly one of keep and top_k" in error(tmp_path, content)


@pytest.mark.parametrize("written", ["1e-05", "1e-5", "1.0e-05", "0.00001"])
def test_learning_rates_as_dvc_writes_them_are_numbers(tmp_path, written):
    # `dvc exp run -S lr=1e-5` writes 1e-05, which a YAML 1.1 reader takes for a string.
    params = load(tmp_path, TEXT.replace(f"lr: {DOCUMENT['lr']}", f"lr: {written}", 1))
    assert params.lr == 1e-5


@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        ("loss: info_nce", "loss: infonce", ["align.loss", "siglip", "did you mean 'info_nce'?"]),
        ("loss: info_nce", "loss: mlm", ["align.loss", "'mlm'", "info_nce, siglip"]),
        ("profile: scenes", "profile: scene", [":4:", "profile", "'scene'", "did you mean 'scenes'?"]),
        ("seed: 7", "seed: seven", [":5:", "seed", "'seven' (str)", "an integer"]),
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
        ("nproc-per-node 2", "nproc-per-node 7", ["pretrain.batch_size", "launch's 7 processes"]),
        ("launch: python", "launch: rm", ["launch", "'rm ", "python"]),
        ("split: test", "split: tst", ["index.split", "tst", "splits of data.sizes: train"]),
    ],
)
def test_slips_are_refused(tmp_path, old, new, fragments):
    assert old in TEXT
    message = error(tmp_path, TEXT.replace(old, new, 1))
    assert all(fragment in message for fragment in fragments), message


@pytest.mark.parametrize(
    ("section", "leaf", "value", "fragments"),
    [
        ("data", "source", "scnes", ["scenes", "did you mean 'scenes'?"]),
        ("data", "checksums", {"a": "md5:12"}, ["checksums.a:", "md5:<32 hex>"]),
        ("data", "sizes", {"train": "many"}, ["sizes.train", "'many' (str)"]),
        ("data", "base_url", "ftp://x", ["https://"]),
        ("convert", "pope_per_image", 3, ["even"]),
        ("index", "sure_accuracy", 101, ["[0, 100]"]),
        ("generation", "candidates", 0, [">= 1"]),
        ("generation", "contrast", -1.0, [">= 0"]),
        ("index", "domain_percentile", -1, ["[0, 100]"]),
        ("text", "tower", "gpt", ["bert"]),
        ("text", "heads", 3, ["text.width", "multiple of text.heads = 3"]),
        ("vision", "checkpoint", "weights.pt", [".safetensors"]),
        ("align", "matching_samples", 33, ["at most align.batch_size = 32"]),
        ("finetune", "heads", 7, ["multiple of finetune.heads = 7"]),
        ("finetune", "dropout", 1, ["[0, 1)"]),
        ("compress", "head_ratio", 1.0, ["[0, 1)"]),
        ("compress", "criterion", "random", ["magnitude, taylor"]),
        ("explain", "method", "gradcam", ["cross_attention"]),
        ("evaluate", "splits", ["test", "test"], ["each once"]),
        ("evaluate", "splits", ["test", "tests"], ["evaluate.splits: got 'tests'", "splits of data.sizes"]),
        ("gate", "max_logit_difference", 0, ["> 0"]),
        ("spin", "layers", [0, 2], ["layers below finetune.layers = 2"]),
        ("spin", "layers", [0, "1"], ["spin.layers[1]", "'1' (str)"]),
        ("spin", "top_k", 9, ["at most finetune.heads = 8"]),
    ],
)
@pytest.mark.parametrize("place", ["top", "profile"])
def test_values_out_of_range_are_refused_where_they_stand(tmp_path, place, section, leaf, value, fragments):
    content = document()
    if place == "profile":
        content[section][leaf] = None
    if leaf == "top_k":
        content["profiles"]["smoke"]["spin"]["keep"] = None
    target = content if place == "top" else content["profiles"]["smoke"]
    target.setdefault(section, {})[leaf] = value
    message = error(tmp_path, content)
    assert all(fragment in message for fragment in [*fragments, f"{section}."]), message
    # A check that compares two leaves may name the other one, which stands elsewhere.
    if f"{section}.{leaf}" in message.split("got")[0]:
        assert ("profiles.smoke." in message.split("got")[0]) == (place == "profile"), message
        line = int(message.removeprefix(str(tmp_path / "params.yaml")).split(":")[1])
        named = message.split(": got")[0].split(".")[-1].split("[")[0]
        assert f'"{named}"' in (tmp_path / "params.yaml").read_text().splitlines()[line - 1]


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
        content = document()
        content["profiles"]["smoke"]["text"] |= {"tower": tower, "checkpoint": "any/model"}
        params = load(tmp_path, content)  # params.yaml as it stands asks for nothing
        assert unused == {name: getattr(params.text, name) for name in unused}
        content["text"][leaf] = value
        message = error(tmp_path, content)
        assert f"text.{leaf}: got {value!r}" in message and f"as text.tower is {tower}" in message
        if leaf in unused:
            assert f"allowed: {unused[leaf]!r}" in message and why in message


def leaves() -> list[tuple[str, ...]]:
    found = []
    for section in SECTIONS:
        for leaf, value in DOCUMENT[section].items():
            nested = isinstance(value, dict)
            found += [(section, leaf, inner) for inner in value] if nested else [(section, leaf)]
    return found


@pytest.mark.parametrize("keys", leaves(), ids=".".join)
def test_each_leaf_is_required_and_typed(tmp_path, keys):
    for spoil in ("missing", "mistyped", "empty"):
        content = document()
        *path, leaf = keys
        block, profile = content, content["profiles"]["smoke"]
        for key in path:
            block, profile = block[key], profile.get(key, {})
        if spoil == "missing":
            del block[leaf]
        elif spoil == "mistyped":
            block[leaf] = [{"a": 1}]
        else:
            block[leaf] = None
            profile.pop(leaf, None)
            if leaf == "top_k":
                continue  # the one leaf that smoke leaves empty in both places
        message = error(tmp_path, content)
        expected = {"missing": "a missing key", "mistyped": "{'a': 1}", "empty": "nothing"}[spoil]
        assert f"{'.'.join(keys)}" in message and (expected in message or leaf == "keep"), message


def test_profiles_that_are_not_chosen_are_checked_too(tmp_path):
    content = document()
    content["profiles"]["other"] = {"data": {"max_itms": 3}}
    assert "profiles.other.data.max_itms: got an unknown key" in error(tmp_path, content)
    content["profiles"]["other"] = {"daat": {}}
    assert "profiles.other.daat: got an unknown key" in error(tmp_path, content)
    content["profiles"]["other"] = {"data": {"max_items": "3"}}
    assert "profiles.other.data.max_items: got '3' (str)" in error(tmp_path, content)
    content["profiles"]["other"] = {"data": {}, "text": None}
    assert load(tmp_path, content).profile == "smoke"


@pytest.mark.parametrize("content", ["", "[]", "3", "a: [", "\x00", "- 1\n- 2", "? [1, 2]\n: 3"])
def test_files_of_another_form_are_refused(tmp_path, content):
    error(tmp_path, content)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="repository root"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParamsError, match="UTF-8"):
        load_params(tmp_path / "params.yaml")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=80))
def test_no_text_makes_the_loader_crash(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ParamsError):
        load_params(path)


def test_params_are_frozen(tmp_path):
    params = load(tmp_path, document())
    with pytest.raises(ValidationError, match="frozen"):
        params.lr = 1.0
    with pytest.raises(ValidationError, match="frozen"):
        params.data.source = "csv"


def test_loading_imports_no_torch():
    code = "import sys, sightline.core.params.loader as it; it.load_params(); print('torch' in sys.modules)"
    command, env = [sys.executable, "-c", code], {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
