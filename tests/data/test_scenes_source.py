"""The source `scenes`: splits disjoint, prefixes stable, the same bytes with and without processes."""

import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from sightline.core.params.data_params import DataParams
from sightline.core.params.loader import load_params
from sightline.data.scenes.render import render
from sightline.data.scenes.sample import SPLITS, graph_hash, sample
from sightline.data.shards import Items
from sightline.data.sources import scenes

ROOT = Path(__file__).parents[2]


def params(**sizes: int) -> DataParams:
    data = load_params(ROOT / "params.yaml").data
    return data.model_copy(update={"sizes": {**dict.fromkeys(SPLITS, 6), **sizes}})


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("raw")
    return folder, scenes.build(params(train=40), 7, folder)


def test_items_pictures_and_config(built):
    folder, config = built
    items = Items(folder)
    assert len(items) == 76 and len(items.split("train")) == 40
    assert config["counts"]["train"] == 40 and config["objects"]["cross"] == ["cross", "crosses"]
    assert sum(config["statistics"]["images"].values()) > 40
    json.dumps(config, allow_nan=False)
    for i in range(len(items)):
        item = items[i]
        picture = np.asarray(Image.open(io.BytesIO(items.image_bytes(item))))
        assert (picture == render(item["scene"])).all()
        assert len(item["captions"]) == 5


def test_processes_change_no_byte(built, tmp_path, monkeypatch):
    folder, config = built
    monkeypatch.setattr(scenes, "CHUNK", 7)  # more than shard_map.FEW shards
    assert scenes.build(params(train=40), 7, tmp_path) == config
    for name in sorted(path.name for path in folder.iterdir()):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_split_does_not_depend_on_the_size_of_another(built, tmp_path):
    folder, _ = built
    scenes.build(params(train=10, test=9), 7, tmp_path)
    full = {item["id"]: item for item in lines(folder)}
    common = [item for item in lines(tmp_path) if item["id"] in full]
    assert common
    for item in common:
        assert {**item, "image": 0} == {**full[item["id"]], "image": 0}


def test_doubles_are_drawn_again(tmp_path, monkeypatch):
    """Scenes 0 to 2 of every split are made equal at the first attempt: all but one must be replaced."""

    def few(seed: int, split: str, index: int, attempt: int = 0) -> dict:
        return sample(seed, "val", 0) if attempt == 0 and index < 3 else sample(seed, split, index, attempt)

    monkeypatch.setattr(scenes.sampling, "sample", few)
    config = scenes.build(params(), 7, tmp_path)
    hashes = [graph_hash(item["scene"]) for item in lines(tmp_path)]
    assert len(set(hashes)) == len(hashes) == 6 * len(SPLITS)
    assert config["redrawn"] == 3 * len(SPLITS) - 1


def test_max_items_cuts_every_split(tmp_path):
    scenes.build(params(train=40).model_copy(update={"max_items": 2}), 7, tmp_path)
    assert len(lines(tmp_path)) == 2 * len(SPLITS)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sizes": {"train": 5}}, "missing .*novel_test"),
        ({"sizes": {**dict.fromkeys(SPLITS, 1), "dev": 5}}, "unknown .*dev"),
        ({"image_side": 32}, "image_side: got 32"),
    ],
)
def test_wrong_params_are_refused(tmp_path, change: dict, message: str):
    with pytest.raises(ValueError, match=message):
        scenes.build(params().model_copy(update=change), 7, tmp_path)


def test_a_killed_build_leaves_no_worker(tmp_path):
    script = tmp_path / "build.py"
    script.write_text(
        "from pathlib import Path\n"
        "from sightline.data.sources import scenes\n"
        "from sightline.core.params.loader import load_params\n"
        "if __name__ == '__main__':\n"
        f"    params = load_params(Path({str(ROOT / 'params.yaml')!r})).data\n"
        f"    sizes = dict.fromkeys({SPLITS!r}, 50_000)\n"
        "    params = params.model_copy(update={'sizes': sizes})\n"
        f"    scenes.build(params, 7, Path({str(tmp_path / 'raw')!r}))\n"
    )
    process = psutil.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    items = tmp_path / "raw" / "items.jsonl"
    wait_until(lambda: items.exists() and items.stat().st_size > 0)
    workers = process.children(recursive=True)
    assert len(workers) >= len(os.sched_getaffinity(0))
    process.kill()
    process.wait()
    wait_until(lambda: not any(alive(worker) for worker in workers))


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(reached: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not reached within {seconds} s"
        time.sleep(0.05)
