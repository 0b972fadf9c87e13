"""Image towers with weights, against the libraries that publish them: what they compute at other sizes than
their own, what they do to pictures, and where weights come from. All weights here are random, in the
libraries' own files, but for EfficientNet's."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision import models

from sightline.core import artifacts, registry
from sightline.core.preprocessing import Preprocessing
from sightline.data.images import decode
from sightline.data.transforms import preprocess
from sightline.models.vision import hf, torchvision
from sightline.models.vision import timm as timm_tower
from sightline_lab.faults.fault_server import fault_server

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
COMMIT = "c" * 40
NATIVE = 48
SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8,
    "image_size": NATIVE,
}  # fmt: skip
SQUARE = {"height": NATIVE, "width": NATIVE}
SHORTEST = {"size": {"shortest_edge": 55}, "crop_size": SQUARE}
TEXT = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": 50, "max_position_embeddings": 10, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip


def pictures():
    draw = np.random.default_rng(0)
    return [
        draw.integers(0, 256, (*sides, 3), dtype=np.uint8)
        for sides in ((50, 71), (64, 48), (33, 90), (60, 60))
    ]


def clip():
    parts = {"vision_config": SMALL | {"intermediate_size": 64}, "text_config": TEXT}
    model = transformers.CLIPModel(transformers.CLIPConfig(**parts, projection_dim=16))
    return model, model.vision_model, transformers.CLIPImageProcessorPil(**SHORTEST)


def siglip():
    parts = {
        "vision_config": SMALL | {"intermediate_size": 64}, "text_config": TEXT | {"projection_size": 32}
    }  # fmt: skip
    model = transformers.SiglipModel(transformers.SiglipConfig(**parts))
    return model, model.vision_model, transformers.SiglipImageProcessorPil(size=SQUARE)


def dinov2():
    model = transformers.Dinov2Model(transformers.Dinov2Config(**SMALL, mlp_ratio=2))
    return model, model, transformers.BitImageProcessorPil(**SHORTEST)


def dinov2_with_registers():
    config = transformers.Dinov2WithRegistersConfig(**SMALL, mlp_ratio=2, num_register_tokens=4)
    model = transformers.Dinov2WithRegistersModel(config)
    return model, model, transformers.BitImageProcessorPil(**SHORTEST)


def vit():
    model = transformers.ViTModel(transformers.ViTConfig(**SMALL, intermediate_size=64))
    return model, model, transformers.ViTImageProcessorPil(size=SQUARE)


def vit_classifier():
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL, intermediate_size=64))
    return model, model.vit, transformers.ViTImageProcessorPil(size=SQUARE)


FAMILIES = (clip, siglip, dinov2, dinov2_with_registers, vit, vit_classifier)


def saved(family, folder):
    """(the image transformer, its processor) of a model saved as its publisher would."""
    torch.manual_seed(0)
    model, vision, processor = family()
    for name, weight in model.named_parameters():
        if "position" in name:
            torch.nn.init.normal_(weight)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return vision.eval(), processor


def hf_tower(folder, size=NATIVE, **more):
    return hf.build({"tower": "hf", "checkpoint": str(folder), "image_size": size, **more}).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_hf_towers_are_transformers_at_any_size(family, tmp_path):
    """No tolerance: position embeddings are resampled by the same function, once instead of at every call."""
    reference, processor = saved(family, tmp_path)
    for size in (NATIVE, 32, 80):
        tower = hf_tower(tmp_path, size)
        pixels = torch.from_numpy(np.stack([preprocess(rgb, tower.preprocessing) for rgb in pictures()]))
        assert pixels.shape == (4, 3, size, size)
        resampled = {} if "dinov2" in family.__name__ else {"interpolate_pos_encoding": size != NATIVE}
        with torch.no_grad():
            expected, tokens = reference(pixel_values=pixels, **resampled), tower(pixels)
        last = expected.last_hidden_state
        pooled = last[:, 0] if expected.pooler_output is None else expected.pooler_output
        assert torch.equal(tower.summarise(tokens), pooled)
        patches = last[:, -tower.grid[0] * tower.grid[1] :]
        if family is clip:
            patches = reference.post_layernorm(patches)
        assert tower.grid == (size // 8, size // 8) and torch.equal(tower.patches(tokens), patches)
        rebuilt = hf.build(json.loads(json.dumps(tower.config))).eval()
        rebuilt.load_state_dict(tower.state_dict())
        with torch.no_grad():
            assert torch.equal(rebuilt(pixels), tokens)
        assert rebuilt.preprocessing == tower.preprocessing
    tower.save_pretrained(tmp_path / "out")
    artifacts.write_json(tmp_path / "out" / "preprocessor_config.json", tower.preprocessing.to_config())
    again = hf_tower(tmp_path / "out", 80)  # what was saved is read as what was published
    with torch.no_grad():
        assert torch.equal(again(pixels), tokens)
    assert again.preprocessing.resize == tower.preprocessing.resize
    own = [
        processor(images=Image.fromarray(rgb), return_tensors="np")["pixel_values"][0] for rgb in pictures()
    ]
    how = hf_tower(tmp_path).preprocessing
    np.testing.assert_array_equal(np.stack([preprocess(rgb, how) for rgb in pictures()]), np.stack(own))


def test_hf_towers_may_see_the_whole_picture_instead(tmp_path):
    saved(dinov2, tmp_path)
    plain, published = hf_tower(tmp_path, preprocessing="plain"), hf_tower(tmp_path)
    assert (plain.preprocessing.resize, published.preprocessing.resize) == (NATIVE, 55)
    assert plain.preprocessing.mean == published.preprocessing.mean


def change(folder, file, **values):
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | values))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda it: (it / "config.json").unlink(), "has no config.json; expected a folder"),
        (lambda it: (it / "preprocessor_config.json").unlink(), "has no preprocessor_config.json"),
        (lambda it: (it / "model.safetensors").rename(it / "pytorch_model.bin"), "model.safetensors"),
        (lambda it: (it / "model.safetensors").write_bytes(b"no"), "cannot load the image tower"),
        (lambda it: change(it, "config.json", model_type="beit"), "its model is beit, expected clip_vision"),
        (lambda it: change(it, "config.json", num_hidden_layers=3), "does not fit dinov2: missing"),
        (lambda it: change(it, "preprocessor_config.json", do_rescale=False), "does more than resize"),
        (
            lambda it: change(it, "preprocessor_config.json", image_processor_type="ConvNextImageProcessor"),
            "ConvNextImageProcessor.* does more than resize",
        ),
    ],
)
def test_other_folders_are_refused(spoil, message, tmp_path):
    saved(dinov2, tmp_path)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message):
        hf_tower(tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_vit", 96), ("test_vit", 224), ("test_vit2", 96), ("test_vit3", 224), ("test_convnext", 96),
        ("test_efficientnet", 96), ("vit_tiny_patch16_224", 128), ("swin_tiny_patch4_window7_224", 128),
    ],
)  # fmt: skip
def test_timm_towers_are_timm_at_any_size(name, size, tmp_path):
    """A file of the published size: what timm makes of it at another is what the tower computes."""
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    published = timm.create_model(name)
    save_file(published.state_dict(), path)
    tower = timm_tower.build(
        {"name": name, "image_size": size, "checkpoint": str(path), "preprocessing": "published"}
    ).eval()
    resized = {"img_size": size} if published.pretrained_cfg["fixed_input_size"] else {}
    reference = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **resized
    ).eval()
    image_BCYX = torch.randn(2, 3, size, size)
    with torch.no_grad():
        tokens, features = tower(image_BCYX), reference.forward_features(image_BCYX)
        pooled = reference.forward_head(features, pre_logits=True)
    assert tower.summary_width == pooled.shape[1]
    # 1e-5: the mean of a map adds up in the order of its memory, which is another after unfolding.
    torch.testing.assert_close(tower.summarise(tokens), pooled, atol=1e-5, rtol=1e-5)
    if features.ndim == 3:
        assert torch.equal(tower.patches(tokens), features[:, reference.num_prefix_tokens :])
    rebuilt = timm_tower.build(json.loads(json.dumps(tower.config))).eval()
    rebuilt.load_state_dict(tower.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt(image_BCYX), tokens)
    assert rebuilt.preprocessing == tower.preprocessing


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_resnet", "test_efficientnet", "resnet18"])
def test_timm_towers_see_pictures_as_timm_does(name):
    for size in (64, 96):
        config = {"name": name, "image_size": size, "checkpoint": "none", "preprocessing": "published"}
        tower = timm_tower.build(config)
        told = timm.data.resolve_model_data_config(tower.model) | {"input_size": (3, size, size)}
        transform = timm.data.create_transform(**told, is_training=False)
        for rgb in pictures():
            expected = transform(Image.fromarray(rgb)).numpy()
            np.testing.assert_array_equal(preprocess(rgb, tower.preprocessing), expected)


def test_timm_files_with_other_classes_or_none(tmp_path):
    """A model that somebody tuned to seven classes, and one without its classifier."""
    torch.manual_seed(0)
    tuned = timm.create_model("test_vit", num_classes=7).eval()
    image_BCYX, towers = torch.randn(1, 3, 160, 160), []
    for left_out in ("none", "head."):
        path = tmp_path / f"{left_out}.safetensors"
        save_file({k: v for k, v in tuned.state_dict().items() if not k.startswith(left_out)}, path)
        config = {"name": "test_vit", "image_size": 160, "checkpoint": str(path)}
        towers.append(timm_tower.build(config).eval())
    with torch.no_grad():
        expected = tuned.forward_features(image_BCYX)[:, 1:]
        assert all(torch.equal(tower.patches(tower(image_BCYX)), expected) for tower in towers)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("squeezenet1_0", "IMAGENET1K_V1"), ("efficientnet_b0", "IMAGENET1K_V1"),
        ("resnet18", "IMAGENET1K_V1"), ("mobilenet_v3_large", "IMAGENET1K_V2"),
        ("resnet50.tv_in1k", "IMAGENET1K_V1"), ("resnet50", "IMAGENET1K_V2"),
    ],
)  # fmt: skip
def test_torchvision_towers_see_pictures_as_torchvision_does(name, entry):
    published = models.get_model_weights(name.partition(".")[0])[entry].transforms()
    config = {"name": name, "image_size": published.crop_size[0], "checkpoint": "none"}
    how = torchvision.build({**config, "preprocessing": "published"}).preprocessing
    for rgb in pictures():
        # convert_image_dtype, normalize: the same divisions in the same order.
        np.testing.assert_array_equal(preprocess(rgb, how), published(Image.fromarray(rgb)).numpy())
    plain = torchvision.build(config).preprocessing
    assert plain == Preprocessing.plain(plain.image_size, how.mean, how.std)


HUB_BUILD = """
import json, sys, torch
from sightline.core import artifacts, registry
for config in json.loads(sys.argv[1]):
    tower = registry.load("models/vision", config["tower"]).build(config).eval()
    with torch.no_grad():
        print(float(tower(torch.ones(1, 3, 64, 64)).double().sum()))
"""


def serve(server, repository, folder):
    """A repository of the hub at COMMIT with the files of a folder."""
    listed = []
    for path in sorted(folder.iterdir()):
        address = f"/{repository}/resolve/{COMMIT}/{path.name}"
        server.files[address], server.etags[address] = path.read_bytes(), f'"{len(server.etags):040}"'
        listed.append({"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "b" * 40})
    tree = f"/api/models/{repository}/tree/{COMMIT}?recursive=true&expand=false"
    server.files[tree] = json.dumps(listed).encode()


def test_towers_of_the_hub(tmp_path):
    """Each library's repository from a local server: the towers of the same files on disk."""
    torch.manual_seed(0)
    cases = [
        ("timm", "test_vit", timm.get_pretrained_cfg("test_vit").hf_hub_id),
        ("torchvision", "resnet18", "timm/resnet18.tv_in1k"),
        ("hf", "owner/siglip", "owner/siglip"),
    ]
    for tower, _, _ in cases:
        (tmp_path / tower).mkdir()
    file = "model.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "timm" / file)
    save_file(models.resnet18().state_dict(), tmp_path / "torchvision" / file)
    saved(siglip, tmp_path / "hf")
    told = [
        {"tower": tower, "name": name, "image_size": 64, "checkpoint": "hub", "revision": COMMIT}
        for tower, name, _ in cases
    ]
    with fault_server() as server:
        server.headers = {"X-Repo-Commit": COMMIT}
        for tower, _, repository in cases:
            serve(server, repository, tmp_path / tower)
        env = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0",
                            "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}  # fmt: skip
        command = [sys.executable, "-W", "ignore", "-c", HUB_BUILD, json.dumps(told)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    local = []
    for config in told:
        folder = tmp_path / config["tower"]
        checkpoint = folder if config["tower"] == "hf" else folder / file
        build = registry.load("models/vision", config["tower"]).build
        with torch.no_grad():
            tower = build({**config, "checkpoint": str(checkpoint)}).eval()
            local.append(float(tower(torch.ones(1, 3, 64, 64)).double().sum()))
    assert [float(line) for line in done.stdout.split()] == local


def test_torchvisions_weights_by_their_order_in_the_model(tmp_path):
    """timm calls the parts of VGG and DenseNet otherwise; what has no twin there says which way is left."""
    from sightline.models.vision import _torchvision_hub

    own, twin = models.densenet121(), timm.create_model("densenet121")
    twin.load_state_dict(_torchvision_hub._renamed(own.state_dict(), twin.state_dict()))
    assert _torchvision_hub._same(own.eval(), twin.eval())
    twin.classifier.weight.data.mul_(1.01)
    assert not _torchvision_hub._same(own, twin)
    for name, message in (
        ("vit_b_16", "it keeps none of this architecture; else give the path"),
        ("resnet50", "name one of resnet50.tv2_in1k, resnet50.tv_in1k"),
        ("resnet50.a1_in1k", "name one of resnet50.tv2_in1k"),
    ):
        config = {"name": name, "image_size": 64, "checkpoint": "hub", "revision": COMMIT}
        with pytest.raises(ValueError, match=message):
            torchvision.build(config)


def test_pretrained_efficientnet():
    """The real ImageNet weights in timm's names, away from their size of 260: they tell photos whose caption
    begins with a dog from others by classes 151 to 268 of ImageNet, the dogs."""
    path, photos = SHARED / "weights" / "tf_efficientnet_lite2_imagenet.safetensors", SHARED / "flickr8k-128"
    if not path.is_file() or not photos.is_dir():
        pytest.skip(f"no pretrained weights at {path} or no photos at {photos}: nothing is tested")
    tower = timm_tower.build(
        {"name": "tf_efficientnet_lite2", "image_size": 160, "checkpoint": str(path),
         "preprocessing": "published"}
    ).eval()  # fmt: skip
    weights = load_file(path)
    with zipfile.ZipFile(photos / "Flickr8k_text.zip") as archive:
        rows = archive.read("Flickr8k.token.txt").decode("utf-8").splitlines()
    first = [row.split("#0\t") for row in rows if "#0\t" in row]
    kinds = (("A dog",), ("A man", "A woman"))
    named = [[name for name, text in first if text.startswith(kind)][:24] for kind in kinds]
    dogness = []
    with zipfile.ZipFile(photos / "Flickr8k_Dataset.zip") as archive, torch.no_grad():
        for names in named:
            photo_N = [decode(archive.read(f"Flicker8k_Dataset/{name}"), 10**6) for name in names]
            pixels = torch.from_numpy(np.stack([preprocess(rgb, tower.preprocessing) for rgb in photo_N]))
            summary_BS = tower.summarise(tower(pixels))
            logits_BK = summary_BS @ weights["classifier.weight"].T + weights["classifier.bias"]
            dogness.append(logits_BK.softmax(1)[:, 151:269].sum(1))
    auc = float((dogness[0][:, None] > dogness[1][None]).float().mean())
    assert auc > 0.85  # random weights give 0.5 with a deviation of 0.08
