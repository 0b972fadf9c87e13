"""`sightline save-pretrained`: the towers of trained models in the layouts of their own libraries."""

from dataclasses import dataclass
from pathlib import Path

from sightline.core import artifacts
from sightline.data import transformers_tokenizer
from sightline.data.tokenizer import Tokenizer
from sightline.data.tokenizer_files import TOKENIZER
from sightline.inference import torch_session
from sightline.inference.encoding import PREPROCESSOR
from sightline.models.tower import TextTower, VisionTower

KIND = "pretrained"  # of the artifact that holds them
FORMAT = "docs/reference/artifacts.md"


@dataclass(frozen=True)
class Part:
    """A tower (`clip/vision`) of this kind, and Python that loads what was saved of it, with {folder}; empty
    where no other library has such a tower."""

    name: str
    tower: str
    loader: str


def save(models: Path, out: Path) -> list[Part]:
    """Write each tower of models/clip and models/vlm that another library has to `out`/<name>.

    Raises ValueError where none of them is of another library, and for a folder with other files.
    """
    towers = dict(_towers(models))
    parts = [Part(name, tower.config["tower"], tower.loader) for name, tower in towers.items()]
    saved = [part for part in parts if part.loader]
    if not saved:
        kinds = ", ".join(sorted({part.tower for part in parts}))
        raise ValueError(
            f"{models}: {kinds} are towers of Sightline alone, which no other library loads; {FORMAT} says "
            "what is in their files"
        )
    with artifacts.create(
        out, KIND, {"parts": {part.name: part.tower for part in saved}}, _card(saved)
    ) as folder:
        for part in saved:
            (folder / part.name).mkdir(parents=True)
            tower = towers[part.name]
            tower.save_pretrained(folder / part.name)
            if isinstance(tower, VisionTower):
                artifacts.write_json(folder / part.name / PREPROCESSOR, tower.preprocessing.to_config())
            if isinstance(tower, TextTower):
                tokenizer = Tokenizer.load(models / "clip" / TOKENIZER)
                transformers_tokenizer.write(folder / part.name, tokenizer, tower.config["max_tokens"])
    return parts


def _towers(models: Path):
    """(name, tower) of everything that was trained; the text tower of the answering model is that of clip."""
    clip = torch_session.load_clip(models / "clip")
    yield from (("clip/vision", clip.vision), ("clip/text", clip.text))
    vlm = torch_session.load_trained_vlm(models / "vlm") if (models / "vlm").exists() else None
    if vlm is not None:
        yield "vlm/vision", vlm.vision


def _card(saved: list[Part]) -> str:
    lines = [
        f"`{part.name}` ({part.tower}):\n\n```python\n{part.loader.format(folder=part.name)}\n```\n"
        for part in saved
    ]
    return "# Towers for other libraries\n\n" + "\n".join(lines)
