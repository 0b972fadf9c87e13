"""The folder is the registry."""

import pytest

from sightline.core import registry


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "PACKAGE", tmp_path)
    (tmp_path / "train" / "losses").mkdir(parents=True)
    for name in ("__init__", "_shared", "b", "a"):
        (tmp_path / "train" / "losses" / f"{name}.py").write_text("def loss(image_BE): ...\n")
    (tmp_path / "train" / "losses" / "c.py").write_text("def loss(logits): ...\n")
    (tmp_path / "train" / "losses" / "notes.md").write_text("")
    return tmp_path


def test_names_are_the_public_files(package):
    assert registry.names("train/losses") == ["a", "b", "c"]
    assert registry.names("train/losses", r"image_BE") == ["a", "b"]
    assert registry.names("nowhere") == []


def test_an_unknown_name_lists_the_choices(package):
    registry.check("train/losses", "a", "align.loss")
    for wrong in ("_shared", "__init__", "../train/losses/a", "", "A"):
        with pytest.raises(ValueError, match=r"^align\.loss: got .* allowed: a, b, c \(the files"):
            registry.check("train/losses", wrong, "align.loss")


def test_load_imports_the_file():
    assert registry.load("train/losses", "siglip").__name__ == "sightline.train.losses.siglip"
    with pytest.raises(ValueError, match="did you mean 'siglip'"):
        registry.load("train/losses", "siglp")
