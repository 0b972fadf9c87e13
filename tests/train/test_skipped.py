"""Stages of 0 epochs: what they write is what later stages start from."""

import numpy as np
import pytest
import torch
from test_tasks import ALONE, TRAIN, Scenes

from sightline.core import artifacts
from sightline.models.vision import small_cnn
from sightline.train import align as aligning
from sightline.train.image_loader import ImageLoader
from sightline.train.pretrain import pretrain

SIZES = {"tower": "small_cnn", "image_size": 64, "width": 32}


@pytest.fixture(scope="module")
def skipped(tmp_path_factory):
    """What stages of 0 epochs wrote, and the pictures they saw: text, clip (weights by name), image_BCYX."""
    folder = tmp_path_factory.mktemp("skipped")
    data = Scenes(folder / "data")
    params = data.params
    small = {
        "pretrain": {"epochs": 0.0, "batch_size": TRAIN},
        "align": {"epochs": 0.0, "batch_size": TRAIN, "matching_samples": TRAIN},
        "text": {"width": 32, "layers": 1, "heads": 2},
        "vision": SIZES,
    }
    changed = {name: getattr(params, name).model_copy(update=leaves) for name, leaves in small.items()}
    params = params.model_copy(update=changed)
    raw, vqa = (artifacts.load(folder / "data" / name, name) for name in ("raw", "vqa"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        pretrain(params, ALONE, raw, vqa, folder / "text", folder / "curves" / "text")
        text = artifacts.load(folder / "text", "text")
        aligning.align(params, ALONE, raw, vqa, text, folder / "clip", folder / "curves" / "clip")
    assert (folder / "curves" / "text").is_dir() and (folder / "curves" / "clip").is_dir()  # outs of the DAG
    text, clip = (artifacts.load_weights(folder / name / "weights.safetensors") for name in ("text", "clip"))
    items = [data.items[number] for number in data.items.split("train")]
    return text, clip, ImageLoader(data.items, small_cnn.build(SIZES))(items, "cpu")


def test_the_text_tower_goes_through_as_it_is(skipped):
    text, clip, _ = skipped
    assert text
    for name, array in text.items():
        assert np.array_equal(clip[f"text.{name}"], array)


def test_a_fresh_image_tower_gets_the_statistics_of_its_pictures(skipped):
    """Then its tokens vary by about one per channel; with first statistics (0 and 1) they nearly vanish."""
    _, clip, image_BCYX = skipped
    tower = small_cnn.build(SIZES)
    own = {name.removeprefix("vision."): torch.from_numpy(clip[name]) for name in clip if "vision." in name}
    tower.load_state_dict(own)
    fresh = small_cnn.build(SIZES)
    fresh.load_state_dict({name: value for name, value in own.items() if "running" not in name}, strict=False)
    with torch.no_grad():
        tokens = [model.eval()(image_BCYX).flatten(0, 1) for model in (tower, fresh)]
    settled, unsettled = (channels.std(0).mean() for channels in tokens)
    assert 0.9 < settled < 1.1
    assert unsettled < 0.5 * settled
