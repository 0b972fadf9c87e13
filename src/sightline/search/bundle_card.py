"""The model card of a bundle: front matter as the Hugging Face Hub reads it, then sections for people.

The stage `index` writes what is known before anything is measured; `sightline push-to-hub` the whole card.
"""

from dataclasses import dataclass
from typing import Any

from sightline.core import templates
from sightline.core.params.bundle_params import ALL_SPLITS
from sightline.core.params.generation import Spin

TAGS = ["sightline", "onnx", "vision-language", "image-text-retrieval"]
ANSWERS, SEARCHES = "visual-question-answering", "zero-shot-image-classification"  # tasks of the Hub


@dataclass(frozen=True)
class Published:
    """What is known of a bundle once it is measured and has a name on the Hub (OWNER/NAME): further fields of
    huggingface_hub.ModelCardData, the table of figures (a column per split), limits in sentences, and how it
    was built."""

    repo: str
    metadata: dict[str, Any]
    splits: list[str]
    figures: list[list[str]]
    limits: list[str]
    built: list[str]


def text(config: dict[str, Any], spin: Spin, published: Published | None = None) -> str:
    """The card. config: that of the bundle; spin: the gate that it has."""
    data, everywhere = config["data"], config["split"] == ALL_SPLITS
    gate = spin.model_dump(mode="json")
    return templates.render(
        "sightline.search", "bundle_card.md", config=config, data=data, published=published,
        front_matter=front_matter(config, published),
        folder=published.repo.split("/")[-1] if published else "models/bundle",
        spin=", ".join(f"{key} {value}" for key, value in gate.items() if value is not None),
        scope="every split" if everywhere else f"the split `{config['split']}`",
        items=", ".join(f"{count:,} of `{split}`" for split, count in data["items"].items()),
    )  # fmt: skip


def front_matter(config: dict[str, Any], published: Published | None) -> str:
    """YAML, the same for the same values."""
    from huggingface_hub import ModelCardData

    known: dict[str, Any] = {
        "language": [config["language"]],
        "library_name": "sightline",
        "pipeline_tag": ANSWERS if config["answers"] else SEARCHES,
        "tags": list(TAGS),
    }
    return ModelCardData(**known, **(published.metadata if published else {})).to_yaml(line_break="\n")
