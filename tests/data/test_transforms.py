import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from sightline.data.transforms import preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("size", [64, 65, 224])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [(64, 64), (65, 64), (64, 67), (100, 333), (480, 640), (641, 427), (30, 31), (1, 5), (224, 225)],
)
def test_equals_torchvision_to_the_last_bit(rows, columns, size):
    rgb_YXC = np.random.default_rng(rows * 1000 + columns).integers(
        0, 256, (rows, columns, 3), dtype=np.uint8
    )
    reference = transforms.Compose(
        [
            transforms.Resize(size, transforms.InterpolationMode.BICUBIC, antialias=True),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )(Image.fromarray(rgb_YXC))
    image_CYX = preprocess(rgb_YXC, size, MEAN, STD)
    assert image_CYX.dtype == np.float32 and image_CYX.shape == (3, size, size)
    # No tolerance: the same Pillow resampling, and IEEE division and subtraction in the same order.
    np.testing.assert_array_equal(image_CYX, reference.numpy())


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
        preprocess(array, 8, MEAN, STD)
