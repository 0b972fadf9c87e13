from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from sightline.core.preprocessing import Preprocessing
from sightline.data.transforms import preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDES = [(64, 64), (65, 64), (64, 67), (100, 333), (480, 640), (641, 427), (30, 31), (1, 5), (224, 225)]


def picture(rows, columns):
    return np.random.default_rng(rows * 1000 + columns).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def torchvisions(rgb_YXC, resize, crop, interpolation):
    steps = [
        transforms.Resize(resize, transforms.InterpolationMode(interpolation), antialias=True),
        transforms.CenterCrop(crop),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return transforms.Compose(steps)(Image.fromarray(rgb_YXC)).numpy()


@pytest.mark.parametrize("size", [64, 65, 224])
@pytest.mark.parametrize(("rows", "columns"), SIDES)
def test_equals_torchvision_to_the_last_bit(rows, columns, size):
    rgb_YXC = picture(rows, columns)
    image_CYX = preprocess(rgb_YXC, Preprocessing.plain(size, MEAN, STD))
    assert image_CYX.dtype == np.float32 and image_CYX.shape == (3, size, size)
    # No tolerance: the same Pillow resampling, and IEEE division and subtraction in the same order.
    np.testing.assert_array_equal(image_CYX, torchvisions(rgb_YXC, size, size, "bicubic"))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
@pytest.mark.parametrize(("resize", "size"), [(73, 64), (256, 224), (65, 65)])
@pytest.mark.parametrize(("rows", "columns"), SIDES)
def test_other_filters_and_crops_are_torchvisions_too(rows, columns, resize, size, interpolation):
    rgb_YXC = picture(rows, columns)
    how = replace(Preprocessing.plain(size, MEAN, STD), resize=resize, interpolation=interpolation)
    expected = torchvisions(rgb_YXC, resize, size, interpolation)
    np.testing.assert_array_equal(preprocess(rgb_YXC, how), expected)
    expected = torchvisions(rgb_YXC, (resize, resize), size, interpolation)
    np.testing.assert_array_equal(preprocess(rgb_YXC, replace(how, squash=True)), expected)


@pytest.mark.parametrize(
    "how",
    [
        Preprocessing.plain(64, MEAN, STD),
        Preprocessing(224, MEAN, STD, 256, "bilinear", squash=False, rounding="nearest"),
        Preprocessing(96, MEAN, STD, 96, "lanczos", squash=True, rounding="down"),
    ],
)
def test_what_is_written_down_is_read_again(how):
    assert Preprocessing.from_config(how.to_config()) == how


def test_files_written_before_there_was_a_choice_are_the_plain_way():
    before = {
        "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True,
        "size": {"shortest_edge": 64}, "resample": 3, "do_center_crop": True,
        "crop_size": {"height": 64, "width": 64}, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25],
    }  # fmt: skip
    plain = Preprocessing.plain(64, [0.5] * 3, [0.25] * 3)
    assert Preprocessing.from_config(before) == plain
    assert list(plain.to_config().items()) == list(before.items())  # the bytes of the file too


def test_another_size_shows_the_same_share_of_a_picture():
    published = Preprocessing(224, MEAN, STD, 256, "bilinear", squash=False, rounding="nearest")
    assert (published.at(128).image_size, published.at(128).resize) == (128, 146)
    assert published.seen(256, 512)[2:] == (16, 144, 224, 224)  # top, left, rows, columns
    assert replace(published, squash=True).seen(256, 512)[2:] == (16, 32, 224, 448)
    assert Preprocessing.plain(64, MEAN, STD).seen(20, 9)[2:] == (5, 0, 9, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interpolation": "cubic"}, "interpolation is 'cubic', expected nearest, lanczos"),
        ({"resize": 63}, "resized to 63 pixels before a square of 64"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
    ],
)
def test_what_cannot_be_done_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(Preprocessing.plain(64, MEAN, STD), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resample": None}, "resample None; expected squares and a filter of Pillow"),
        ({"crop_size": {"height": 64, "width": 32}}, "expected squares"),
        ({"size": {"height": 64, "width": 65}}, "expected squares"),
    ],
)
def test_files_of_another_form_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_config(Preprocessing.plain(64, MEAN, STD).to_config() | change)
    with pytest.raises(ValueError, match="lacks crop_size, image_mean"):
        Preprocessing.from_config({})


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ValueError, match="expected uint8"):
        preprocess(array, Preprocessing.plain(8, MEAN, STD))
