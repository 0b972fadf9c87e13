"""What frozen parts of an image tower make of pictures: the same bits kept or not, shared, bounded, and never
another's."""

import numpy as np
import pytest
import torch

from sightline.core import registry
from sightline.train import feature_cache
from sightline.train.feature_cache import FeatureFolder, ImageFeatureCache, image_tokens
from sightline.train.image_loader import ImageLoader

PICTURES = 5


class Pictures:
    """Items of random pictures, as shards have them."""

    def __init__(self):
        draw = np.random.default_rng(0)
        self.rgb = [draw.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(PICTURES)]
        self.items = [{"image": {"shard": 0, "offset": 512 * number}} for number in range(PICTURES)]

    def image(self, item):
        return self.rgb[item["image"]["offset"] // 512]


class Counted(torch.nn.Module):
    """Counts how often a tower's lower part runs."""

    def __init__(self, tower):
        super().__init__()
        self.count, self.run = 0, tower.lower
        tower.lower = self.forward

    def forward(self, image_BCYX):
        self.count += 1
        return self.run(image_BCYX)


def divided(seed=0):
    torch.manual_seed(seed)
    config = {"tower": "timm", "name": "tf_efficientnet_lite0", "checkpoint": "none", "image_size": 32}
    tower = registry.load("models/vision", "timm").build(config | {"trained_blocks": 1})
    tower.freeze(False)
    return tower


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def pictures():
    return Pictures()


def cache(pictures, tower, data="digest"):
    return ImageFeatureCache(ImageLoader(pictures, tower), tower, data, 1)


def test_features_are_the_same_bits_kept_or_not_and_computed_once(pictures):
    tower = divided()
    counted = Counted(tower)
    views = pictures.items * 2, [False] * PICTURES + [True] * PICTURES
    first = cache(pictures, tower).lower(views, "cpu")
    assert counted.count == 2 * PICTURES and not first.requires_grad
    again = cache(pictures, tower)  # as another process, or a later training
    backwards = again.lower((views[0][::-1], views[1][::-1]), "cpu")
    assert counted.count == 2 * PICTURES and torch.equal(first, backwards.flip(0))
    pixels = ImageLoader(pictures, tower)(views[0], "cpu", views[1])
    torch.testing.assert_close(counted.run(pixels), first, atol=1e-5, rtol=1e-5)  # a batch adds otherwise
    torch.testing.assert_close(
        image_tokens(tower, again, views, False, "cpu"), tower(pixels), atol=1e-5, rtol=1e-5
    )


def test_batches_of_one_shape_give_the_same_bits_in_any_order(pictures, monkeypatch):
    """As an accelerator computes them: 2 at a time, the fifth beside itself."""
    tower = divided()
    counted = Counted(tower)
    alone = cache(pictures, tower).lower((pictures.items, None), "cpu")
    monkeypatch.setattr(feature_cache, "_together", lambda device: 2)
    first = cache(pictures, tower).lower((pictures.items, None), "cpu")
    assert counted.count == PICTURES + 3
    torch.testing.assert_close(first, alone, atol=1e-5, rtol=1e-5)  # another shape adds otherwise
    assert torch.equal(cache(pictures, tower).lower((pictures.items[::-1], None), "cpu"), first.flip(0))
    assert counted.count == PICTURES + 3
    backwards = cache(pictures, tower, "the same pictures, not kept yet")
    assert torch.equal(backwards.lower((pictures.items[::-1], None), "cpu"), first.flip(0))
    assert counted.count == PICTURES + 6


def test_features_of_other_weights_pictures_or_precision_are_others(pictures):
    tower = divided()
    counted = Counted(tower)
    image = pictures.items, None
    kept = cache(pictures, tower).lower(image, "cpu")
    cache(pictures, tower, "other pictures").lower(image, "cpu")
    assert counted.count == 2 * PICTURES
    with torch.autocast("cpu", torch.bfloat16):
        assert cache(pictures, tower).lower(image, "cpu").dtype == torch.bfloat16
    assert counted.count == 3 * PICTURES
    with torch.no_grad():
        for module in tower.trained_modules():
            for weight in module.parameters():
                weight.add_(0.1)
    assert torch.equal(cache(pictures, tower).lower(image, "cpu"), kept) and counted.count == 3 * PICTURES
    with torch.no_grad():
        tower.model.conv_stem.weight.mul_(1.5)
    assert not torch.equal(cache(pictures, tower).lower(image, "cpu"), kept)


def test_tokens_of_a_frozen_tower_change_with_any_weight(pictures):
    tower = divided()
    tower.freeze()
    image = pictures.items, None
    kept = cache(pictures, tower).tokens(image, "cpu")
    pixels = ImageLoader(pictures, tower)(pictures.items, "cpu")
    torch.testing.assert_close(kept, tower(pixels), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        tower.model.conv_head.weight.mul_(1.5)
    assert not torch.equal(cache(pictures, tower).tokens(image, "cpu"), kept)


def test_a_damaged_file_is_computed_anew(pictures, tmp_path):
    tower = divided()
    kept = cache(pictures, tower).lower((pictures.items, None), "cpu")
    files = sorted(path for path in (tmp_path / ".resume").rglob("*plain"))
    assert len(files) == PICTURES
    damaged = bytearray(files[0].read_bytes())
    damaged[-1] ^= 1
    files[0].write_bytes(bytes(damaged))
    files[1].write_bytes(files[1].read_bytes()[:100])
    files[2].write_bytes(b"")
    assert torch.equal(cache(pictures, tower).lower((pictures.items, None), "cpu"), kept)


def test_a_folder_keeps_no_more_than_its_limit_and_the_last_used_stay(tmp_path):
    root, tensor = tmp_path / "features", torch.arange(100.0)
    for number in range(feature_cache.FOLDERS):
        FeatureFolder(root, f"key{number}").keep("a", tensor)
    small = FeatureFolder(root, "small", limit=1000)
    assert not (root / "key0").exists() and (root / "key1").exists()
    for name in "abc":
        small.keep(name, tensor)
    assert torch.equal(small.read("a"), tensor) and torch.equal(small.read("b"), tensor)
    assert small.read("c") is None
    left = FeatureFolder(root, "small", limit=1000).room  # what lies there already counts
    assert 0 < left < 400 and FeatureFolder(root, "small", writers=2, limit=1000).room == left // 2
    removed = FeatureFolder(root, "small", limit=10_000)
    (root / "small" / "a").unlink()
    (root / "small" / "b").unlink()
    (root / "small").rmdir()
    removed.keep("d", tensor)  # another training has removed it: nothing is kept, nothing fails
    assert removed.read("d") is None


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(
    "name, size", [("tf_efficientnet_lite0", 64), ("vit_tiny_patch16_224", 64), ("efficientnet_b0", 48)]
)
def test_a_divided_tower_is_the_whole_one_and_trains_its_last_blocks(name, size, blocks):
    torch.manual_seed(0)
    build = registry.load("models/vision", "timm").build
    config = {"tower": "timm", "name": name, "checkpoint": "none", "image_size": size}
    whole, tower = build(config), build(config | {"trained_blocks": blocks})
    tower.load_state_dict(whole.state_dict())
    tower.freeze(False)
    tower.train()
    assert not any(module.training for module in tower.modules())
    image_BCYX = torch.randn(2, 3, size, size)
    tokens_BPD = tower.upper(tower.lower(image_BCYX))
    with torch.no_grad():  # attention adds in another order where it is fused
        torch.testing.assert_close(tokens_BPD, whole.eval()(image_BCYX), atol=1e-5, rtol=1e-5)
    tokens_BPD.sum().backward()
    trained = {name for name, weight in tower.named_parameters() if weight.grad is not None}
    above = {id(weight) for module in tower.trained_modules() for weight in module.parameters()}
    assert trained == {name for name, weight in tower.named_parameters() if id(weight) in above}
    assert 0 < len(trained) < len(list(tower.parameters()))
    tower.freeze()
    assert not any(weight.requires_grad for weight in tower.parameters())


@pytest.mark.parametrize(
    "name, blocks, message",
    [
        ("convnext_atto", 1, "the blocks of ConvNeXt are not known"),
        ("vit_tiny_patch16_224", 13, "has 12 blocks"),
    ],
)
def test_blocks_that_cannot_train_alone_are_an_error(name, blocks, message):
    config = {"tower": "timm", "name": name, "checkpoint": "none", "image_size": 64, "trained_blocks": blocks}
    with pytest.raises(ValueError, match=message):
        registry.load("models/vision", "timm").build(config)
