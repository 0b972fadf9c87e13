"""Row 24: hostile files in a bundle whose manifest agrees with them: whoever writes a bundle can do that."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from typer.testing import CliRunner

from sightline.cli.main import app
from sightline.core import artifacts, checked_files
from sightline.core.replace_folder import MANIFEST
from sightline.inference import session  # noqa: F401  (what a child would import, each time)
from sightline.search import user_index  # noqa: F401
from sightline.serve.batch_model import Model
from sightline.serve.ui import ui_images
from sightline_lab.faults import in_child
from sightline_lab.faults.battery import Broken, Case, Missing, Promise

BUNDLE = Path("models/bundle")
LARGEST = 64 * 2**20  # of a bundle that is copied for every case
MAX_CPU_S, MAX_GROWTH = 20, 512 * 2**20  # beyond an unchanged bundle's
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e"  # sets a title, clears the screen, turns the line round
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**31, 2**63, 10**400, 0.5, -0.5, 1e308, "", "a", "1",
    "../../etc/hostname", "/etc/hostname",
    "/dev/zero", ESCAPE, "a" * 100_000, [], {}, [[]], [0], [-1, 3], {"a": 1},
    [{}] * 100_000, list(range(100_000)),
)  # fmt: skip
WORKER = "sightline.data.image_workers"  # the module that a process of the product runs
SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}
OUTSIDE_OPENS = ("/proc/", "/sys/", "/dev/urandom", "/dev/null", "/etc/localtime")
FORBIDDEN = (
    "pickle.find_class",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
)


def prepare(scratch: Path) -> Path:
    """A copy of the bundle of the checkout that is worked in."""
    if not (BUNDLE / MANIFEST).is_file():
        raise Missing("no models/bundle here: run `dvc repro` first, in the folder of params.yaml")
    size = sum(path.stat().st_size for path in BUNDLE.rglob("*") if path.is_file())
    if size > LARGEST:
        raise Missing(
            f"models/bundle has {size >> 20} MiB, more than {LARGEST >> 20}: build the smoke profile"
        )
    return shutil.copytree(BUNDLE, scratch / "bundle")


def case(case: Case) -> int:
    """One bundle with one hostile file, opened and used in a child."""
    rng = case.rng
    bundle, canary = case.scratch / "bundle", case.scratch / "canary"
    shutil.copytree(case.prepared, bundle)
    form = list(FORMS)[case.index % len(FORMS)]
    what = FORMS[form](bundle, canary, rng)
    sign(bundle)
    told = in_child.call(lambda: _watched(bundle), wait_s=25)
    what = f"{form}, {what}"
    if canary.exists() and canary.stat().st_size == 0:
        raise Broken(f"{what}: code of the bundle was run")
    if "ended" in told:
        raise Broken(f"{what}: the process ended: {told['ended']}")
    if "error" in told:
        raise Broken(f"{what}: {told['error']} at {told['where']}: {told['message'][:200]}")
    value = told["value"]
    if value["events"]:
        raise Broken(f"{what}: {value['events'][:3]}")
    if value["cpu"] > MAX_CPU_S or value["growth"] > MAX_GROWTH:
        raise Broken(f"{what}: {value['cpu']:.1f} s of CPU time and {value['growth'] >> 20} MiB")
    if form in REFUSED and value["done"]:
        raise Broken(f"{what}: it was opened in silence")
    return 1


def sign(bundle: Path) -> None:
    """Make manifest and lists of chunks agree with what is there, as far as they list files at all."""
    for chunks in filter(Path.is_file, bundle.rglob(checked_files.CHUNKS)):
        try:
            names = [name for name in json.loads(chunks.read_bytes()) if (chunks.parent / name).is_file()]
        except (RecursionError, TypeError, ValueError):
            continue
        checked_files.record(chunks.parent, names)
    manifest = bundle / MANIFEST
    if not manifest.is_file():  # it may be a pipe
        return
    try:
        document = json.loads(manifest.read_bytes())
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict) and document.get("files") is not None:
        files = [path for path in sorted(bundle.rglob("*")) if path.is_file() and not path.is_symlink()]
        listed = {
            path.relative_to(bundle).as_posix(): artifacts.sha256(path) for path in files if path != manifest
        }
        manifest.write_text(json.dumps(document | {"files": listed}))


def _watched(bundle: Path) -> dict[str, Any]:
    """Use the bundle; what happened that must not."""
    allowed = tuple(
        {str(bundle.resolve()), sys.prefix, sys.base_prefix, str(Path(artifacts.__file__).parents[1])}
    )
    events: list[str] = []

    def hook(event: str, arguments: tuple) -> None:
        own = event == "subprocess.Popen" and WORKER in arguments[1]  # decodes pictures apart from the rest
        if event in FORBIDDEN and not own:
            events.append(f"{event} {arguments!r:.100}")
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith((*allowed, *OUTSIDE_OPENS)):
                events.append(f"open {path}")

    before = resource.getrusage(resource.RUSAGE_SELF)
    sys.addaudithook(hook)
    refused = use(bundle)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "events": events, "done": not refused, "growth": 1024 * (after.ru_maxrss - before.ru_maxrss),
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }  # fmt: skip


def use(bundle: Path) -> list[str]:
    """What the commands and the server do with a bundle; the refusals, as people would read them. Other
    errors are raised."""
    refused = []
    for words in (["search", "a red ball"], ["ask"]):
        done = CliRunner().invoke(app, [*words, "--bundle", str(bundle)])
        if isinstance(done.exception, (ValueError, OSError)):
            refused.append(str(done.exception))
        elif done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        if any(not char.isprintable() and char != "\n" for char in done.output):
            raise RuntimeError(f"signs that steer a terminal were printed: {done.output!r:.200}")
    try:
        Model.load(bundle, 2)
        ui_images.examples(bundle)
    except (ValueError, OSError) as error:
        refused.append(str(error))
    return refused


def _json_leaf(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """A value of a JSON file is another, or gone."""
    path = _one(rng, bundle, "*.json")
    document = json.loads(path.read_bytes())
    places = list(_places(document))
    holder, key, name = places[int(rng.integers(len(places)))]
    value = VALUES[int(rng.integers(len(VALUES)))]
    if rng.random() < 0.15 and isinstance(holder, dict):
        del holder[key]
        value = "gone"
    else:
        holder[key] = value
    path.write_text(json.dumps(document))
    return f"{path.relative_to(bundle)} {name} = {value!r:.60}"


def _places(value: Any, name: str = "") -> Any:
    """(holder, key, dotted name) of every value inside."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs)[:50]:
        yield value, key, f"{name}.{key}"
        yield from _places(inner, f"{name}.{key}")


def _json_whole(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """A JSON file is deep, huge, of another form, or none."""
    path = _one(rng, bundle, "*.json")
    deep = 200_000
    texts: dict[str, bytes] = {
        "deep lists": b"[" * deep + b"]" * deep, "deep objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "long number": b"1" * 1_000_000, "NaN": b"NaN", "empty": b"", "no UTF-8": b'{"a": "\xff"}',
        "null": b"null",
        "a list": b"[]", "an object": b"{}", "a text": b'"a"', "twice the same key": b'{"a": 1, "a": 2}',
        "half a pair": b'{"a": "\\ud800"}', "80 MB": b'"' + b"a" * 80_000_000 + b'"',
    }  # fmt: skip
    name = list(texts)[int(rng.integers(len(texts)))]
    path.write_bytes(texts[name])
    return f"{path.relative_to(bundle)}: {name}"


def _safetensors(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """A header that lies."""
    path = _one(rng, bundle, "*.safetensors")
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    name = sorted(header)[int(rng.integers(len(header)))]
    entry = header[name]
    forms: dict[str, Any] = {
        "longer header": None, "other offsets": {"data_offsets": [0, 2**40]},
        "overlap": {"data_offsets": [0, len(body)]},
        "backwards": {"data_offsets": [len(body), 0]}, "giant shape": {"shape": [2**40, 2**20]},
        "no shape": {"shape": []}, "negative shape": {"shape": [-1]}, "other type": {"dtype": "I64"},
        "unknown type": {"dtype": "PICKLE"}, "turned": {"shape": entry.get("shape", [])[::-1] + [1]},
    }  # fmt: skip
    form = list(forms)[int(rng.integers(len(forms)))]
    if forms[form]:
        entry.update(forms[form])
    raw = json.dumps(header).encode()
    length = 2**50 if form == "longer header" else len(raw)
    path.write_bytes(struct.pack("<Q", length) + raw + body)
    return f"{path.relative_to(bundle)} {name}: {form}"


def _external(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """A graph whose weights lie in a file outside, the right ones: a graph that opens has read it."""
    path = _one(rng, bundle, "*.onnx")
    model = onnx.load(path)
    weights = [tensor for tensor in model.graph.initializer if tensor.raw_data]
    tensor = weights[int(rng.integers(len(weights)))]
    canary.write_bytes(tensor.raw_data)
    relative = os.path.relpath(canary, path.parent)
    location = [relative, str(canary), f"./{relative}", f"nothing/../{relative}"][int(rng.integers(4))]
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(tensor.raw_data)))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    return f"{path.relative_to(bundle)}: {location}"


def _graph(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """A file that is no graph, another graph, or one of an unknown operator."""
    path, other = _one(rng, bundle, "*.onnx"), _one(rng, bundle, "*.onnx")
    form = ["cut", "another", "operator", "empty", "text"][int(rng.integers(5))]
    if form == "another":
        shutil.copyfile(other, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
        form = f"{other.name} in its place"
    elif form == "operator":
        model = onnx.load(path)
        node = model.graph.node[int(rng.integers(len(model.graph.node)))]
        node.domain, node.op_type = "com.example", "Run"
        path.write_bytes(model.SerializeToString())
    else:
        data = path.read_bytes()
        texts = {
            "cut": data[: int(rng.integers(len(data)))],
            "empty": b"",
            "text": b"import os; os.system('true')",
        }
        path.write_bytes(texts[form])
    return f"{path.relative_to(bundle)}: {form}"


def _link(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """A file or folder is a link out of the bundle, or a pipe that nobody writes to."""
    path = _one(rng, bundle, "*")
    target = path.rename(bundle.parent / "moved")
    if rng.random() < 0.3:
        os.mkfifo(path)
        return f"{path.relative_to(bundle)}: a pipe"
    path.symlink_to(target if rng.random() < 0.7 else "/etc/hostname")
    return f"{path.relative_to(bundle)}: a link"


def _pickle(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """A pickle in the place of a file, or beside it under a name that other programs would load."""
    bomb = f"cbuiltins\nopen\n(V{canary}\nVw\ntR.".encode()  # read as one it would make the file `canary`
    if rng.random() < 0.5:
        path = bundle / str(
            rng.choice(["pytorch_model.bin", "model.pt", "weights.npy", "index/index.pkl", "data.pkl"])
        )
        path.write_bytes(b"\x93NUMPY" * path.name.endswith("npy") + bomb)
    else:
        path = _one(rng, bundle, "*")
        path.write_bytes(bomb)
    return str(path.relative_to(bundle))


def _tokenizer(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """A tokenizer.json whose parts lie."""
    path = bundle / "tokenizer.json"
    document = json.loads(path.read_bytes())
    tokens = list(document["model"]["vocab"])
    token = tokens[int(rng.integers(len(tokens)))]
    ids = {"ids": [2**31, -1, 0, 1.5, "1", None, 2**70][int(rng.integers(7))]}
    forms: dict[str, Callable[[], Any]] = {
        "an id": lambda: document["model"]["vocab"].update({token: ids["ids"]}),
        "a token is gone": lambda: document["model"]["vocab"].pop(token),
        "another model": lambda: document["model"].update(type=str(rng.choice(["BPE", "Unigram", "Pickle"]))),
        "a regular expression": lambda: document.update(
            pre_tokenizer=SPLIT | {"pattern": {"Regex": "(a+)+$("}}
        ),
        "a slow expression": lambda: document.update(
            pre_tokenizer=SPLIT | {"pattern": {"Regex": r"(\w+\s?)+$"}}
        ),
        "a character map": lambda: document.update(
            normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}
        ),
        "a frame": lambda: document.update(
            post_processor={"type": "BertProcessing", "sep": ["[SEP]", 2**31], "cls": ["[CLS]", 2**31]}
        ),
        "no words": lambda: document["model"].update(vocab={}),
        "signs of a terminal": lambda: document.update(
            decoder={"type": "Replace", "pattern": {"String": "a"}, "content": ESCAPE}
        ),
        "endless words": lambda: document["model"].update(max_input_chars_per_word=2**60),
    }  # fmt: skip
    form = list(forms)[int(rng.integers(len(forms)))]
    forms[form]()
    path.write_text(json.dumps(document))
    return f"{form} ({token!r}, {ids['ids']!r})"


def _index(bundle: Path, canary: Path, rng: np.random.Generator) -> str:
    """Entries, places and vectors of the search index that lie."""
    folder = bundle / "index"
    names = [
        "entries.jsonl",
        "entries.offsets",
        "fused.rows",
        "fused.faiss",
        "image.faiss",
        "thumbnails.offsets",
    ]
    path = folder / str(rng.choice(names))
    data = bytearray(path.read_bytes())
    if path.suffix == ".jsonl":
        line = (
            b'{"id": "\\u001b[2J", "captions": ["\\u001b]0;x"], "title": "", "image": true, "text": true}',
            b"[]", b"{}", b"null", b"no JSON", b'{"id": 1, "captions": 2}', b'{"id": "a", "other": 1}',
            b"[" * 5000, b'{"id": 1, "captions": [1], "title": {}, "image": 2, "text": []}',
        )  # fmt: skip
        chosen = line[int(rng.integers(len(line)))]
        rows = len(path.read_bytes().splitlines())
        path.write_bytes((chosen + b"\n") * rows)
        ends = np.arange(rows + 1, dtype="<i8") * (len(chosen) + 1)
        (folder / "entries.offsets").write_bytes(ends.tobytes())
        return f"{path.name}: {chosen[:40]!r}"
    if path.suffix == ".faiss":
        at = int(rng.integers(4, min(len(data), 80)))
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        return f"{path.name}: bit of byte {at}"
    numbers = np.frombuffer(bytes(data), "<i8").copy()
    value = int(rng.choice([-1, 2**62, 10**6, -(2**40)]))
    numbers[:] = value
    path.write_bytes(numbers.tobytes())
    return f"{path.name}: {value}"


def _one(rng: np.random.Generator, bundle: Path, pattern: str) -> Path:
    paths = [path for path in sorted(bundle.rglob(pattern)) if path.is_file() and path.name != "README.md"]
    return paths[int(rng.integers(len(paths)))]


FORMS: dict[str, Callable[[Path, Path, np.random.Generator], str]] = {
    "a value": _json_leaf, "a JSON file": _json_whole, "a safetensors file": _safetensors,
    "data outside a graph": _external, "a graph": _graph, "a link": _link, "a pickle": _pickle,
    "a tokenizer": _tokenizer, "an index": _index, "another value": _json_leaf,
}  # fmt: skip
REFUSED = ("data outside a graph", "a link")

PROMISE = Promise(
    24, "Hostile model files", "A bundle whose manifest agrees with its hostile files is refused with a "
    "sentence or used: no code of it is run, no file outside is opened, nothing steers the terminal, at most "
    f"{MAX_CPU_S} s of CPU time and {MAX_GROWTH >> 20} MiB more.", "bundles", 60, 2000, case, prepare,
)  # fmt: skip
