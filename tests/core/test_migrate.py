"""A params.yaml of 0.9.0 comes to the same values in today's form, and nothing of the user's is lost."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sightline.core.params import edit
from sightline.core.params.loader import ParamsError, load_params
from sightline.core.params.migrate import migrate
from sightline.core.params.sections import leaves

ROOT = Path(__file__).resolve().parents[2]
OLD = Path(__file__).with_name("params_0_9_0.yaml")  # as it was released


@pytest.fixture
def root(tmp_path):
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    return tmp_path


def old_file(folder: Path, **changes) -> Path:
    path = folder / "mine.yaml"
    shutil.copyfile(OLD, path)
    edit.fill(path, {key.replace("__", "."): value for key, value in changes.items()})
    return path


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*.yaml*")}


def test_the_released_file_brings_back_the_profiles_that_have_changed_and_nothing_else(root):
    before = {name: (root / name).read_bytes() for name in names(root)}
    said = migrate(OLD, root)
    after = {name: (root / name).read_bytes() for name in names(root)}
    assert b"source: table" in after.pop("profiles/csv.yaml")
    assert after.pop("profiles/flickr8k.yaml.old") == before.pop("profiles/flickr8k.yaml")
    after.pop("profiles/flickr8k.yaml")
    assert after == before
    photos = load_params(
        root / "params.yaml", {"profile": "flickr8k", "vision.checkpoint": "squeezenet.safetensors"}
    )
    assert (photos.vision.tower, photos.vision.trained_blocks) == ("torchvision", 0)
    assert (photos.align.standardize, photos.finetune.dropout) == (False, 0.0)
    assert (photos.finetune.captions_per_image, photos.finetune.self_critical_epochs) == (1, 0.0)
    assert (photos.generation.candidates, photos.evaluate.prior_pictures) == (8, 0)
    assert "profile csv is profiles/csv.yaml, which extends scenes" in said
    assert "profile csv had data.path = data/items.csv: give it with -S data.path=data/items.csv" in said


def test_values_at_the_top_are_kept_under_their_names_of_today(root):
    old = old_file(
        root, lr=0.002, align__mirror=True, pretrain__mask_share=0.3, index__candidates=4, profile="study",
        evaluate__max_new_tokens=20, finetune__epochs=9,
    )  # fmt: skip
    before = (root / "params.yaml").read_bytes()
    said = migrate(old, root)
    params = load_params(root / "params.yaml")
    assert (params.profile, params.lr, params.finetune.epochs) == ("study", 0.002, 9.0)
    assert params.align.horizontal_flip and params.pretrain.mlm_probability == 0.3
    assert (params.generation.candidates, params.generation.max_tokens) == (4, 20)
    assert (root / "params.yaml.old").read_bytes() == before
    assert "wrote params.yaml" in said and "kept params.yaml.old" in said
    with pytest.raises(FileExistsError, match=r"params.yaml.old is kept from before"):
        migrate(old_file(root, lr=0.003), root)
    assert load_params(root / "params.yaml").lr == 0.002


def test_a_changed_profile_and_a_profile_of_ones_own_become_files(root):
    old = old_file(root, profiles__scenes__finetune__epochs=5, profile="shop")
    document = YAML(typ="safe", pure=True).load(old)
    mine = document["profiles"]["coco"]
    mine["data"] |= {"source": "csv", "path": "shop/items.csv", "base_url": "", "pins": {}}
    mine["evaluate"]["max_new_tokens"] = 40
    mine["convert"]["pope_per_image"] = 4  # which params.yaml fills for all profiles today
    mine["vision"] |= {"tower": "timm", "name": "vit_tiny_patch16_224", "checkpoint": "w.safetensors"}
    edit.fill(old, {"profiles.shop": mine})
    said = migrate(old, root)
    scenes, study, coco, shop = (
        load_params(root / "params.yaml", overrides)
        for overrides in (
            {"profile": "scenes", "vision.pretrained": "file"},
            {"profile": "study", "vision.pretrained": "file"},
            {"profile": "coco", "vision.pretrained": "file"},
            None,
        )
    )
    assert (scenes.finetune.epochs, study.finetune.epochs) == (5.0, 3.2)
    assert (shop.data.source, shop.data.path, shop.data.base_url) == ("table", "shop/items.csv", "")
    assert (shop.generation.max_tokens, shop.generation.method, shop.generation.beams) == (40, "beam", 4)
    assert (shop.vision.pretrained, shop.vision.checkpoint) == ("file", "w.safetensors")
    assert (shop.vision.preprocessing, scenes.vision.preprocessing) == ("plain", "published")
    assert (shop.convert.pope_per_image, scenes.convert.pope_per_image, coco.convert.pope_per_image) == (
        4,
        2,
        2,
    )
    assert shop.align.batch_size == 128 and shop.text.width == 192
    assert "profile shop is profiles/shop.yaml, which extends scenes" in said
    assert "convert.pope_per_image is the profiles' own now, as they differ in it" in said
    assert (root / "profiles" / "scenes.yaml.old").read_bytes() == (
        ROOT / "profiles/scenes.yaml"
    ).read_bytes()
    assert not (root / "profiles" / "shop.yaml.old").exists()


def test_what_is_no_parameter_any_more_is_said(root):
    old = old_file(root, finetune__split_cross_attention=True, finetune__spin_training__probability=0.5)
    said = "\n".join(migrate(old, root))
    assert "params.yaml: finetune.split_cross_attention = True is left out" in said
    assert "finetune.spin_training.probability = 0.5 is left out" in said


def test_a_file_of_another_form_is_refused_and_nothing_is_written(root):
    with pytest.raises(ParamsError, match="a params.yaml of 0.9.0"):
        migrate(ROOT / "params.yaml", root)
    before = names(root)
    with pytest.raises(ParamsError, match="align.wrod_weight: got an unknown key"):
        migrate(old_file(root, align__wrod_weight=1.0), root)
    assert names(root) - before == {"mine.yaml"}
    for damaged in ("profiles: [", "profiles: 2001-99-99"):
        (root / "mine.yaml").write_text(damaged)
        with pytest.raises(ParamsError, match="valid YAML"):
            migrate(root / "mine.yaml", root)


def test_every_name_of_0_9_0_has_one_of_today():
    document = YAML(typ="safe", pure=True).load(OLD)
    from sightline.core.params import migrate as module

    assert set(module.RENAMED.values()) <= set(leaves())
    for old in module.RENAMED:
        section, leaf = old.split(".")
        assert leaf in document[section]
