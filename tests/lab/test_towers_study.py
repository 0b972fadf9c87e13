"""`sightline lab towers`: a tower that does what it must, and the page of what failed."""

import pytest

from sightline.data.tokenizer import Tokenizer
from sightline_lab.towers import towers_page, towers_study


@pytest.mark.filterwarnings("ignore")
def test_a_tower_is_run_trained_exported_and_explained():
    tokenizer = Tokenizer.train([towers_study.TEXT] * 8, 100, 1)
    figures = towers_study.measure(towers_study.config("hf", "siglip_vision_model", 32), tokenizer)
    assert figures["tokens"] == "4 x 4 + 1" and figures["backward"] and figures["explanation"]
    assert 0 < figures["parity"] < towers_page.TOLERANCE


def test_the_page_says_what_failed():
    row = {
        "library": "timm", "family": "ViT", "name": "vit", "size": 64, "parameters": 1.0, "tokens": "4 x 4",
        "backward": True, "parity": 1e-6, "explanation": True,
    }  # fmt: skip
    assert "1 of 2 were tried, all did" in towers_page.page({"planned": 2, "rows": [row]})
    for change in ({"backward": False}, {"parity": 2e-4}, {"explanation": False}):
        page = towers_page.page({"planned": 2, "rows": [row, row | change]})
        assert "2 of 2 were tried, 1 failed" in page and ("**no**" in page or "2.0e-04" in page)


def test_every_family_stands_at_three_sizes():
    families = {(library, family) for library, family, _, _ in towers_study.TOWERS}
    named = {"ViT", "ConvNeXt", "Swin", "EfficientNet", "DINOv2", "SigLIP"}
    assert {("timm", family) for family in named} <= families
    assert all(len(set(sizes)) == 3 for *_, sizes in towers_study.TOWERS)
