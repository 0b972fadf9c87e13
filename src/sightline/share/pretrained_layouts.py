"""`sightline save-pretrained`: the towers of trained models, and a language model that answers, in the
layouts of their own libraries."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from sightline.core import artifacts
from sightline.data import transformers_tokenizer
from sightline.data.tokenizer import Tokenizer
from sightline.data.tokenizer_files import TOKENIZER
from sightline.inference import torch_session
from sightline.inference.encoding import PREPROCESSOR
from sightline.models.dual_encoder import DualEncoder
from sightline.models.tower import TextTower, Tower, VisionTower
from sightline.models.vlm import OWN_DECODER, VLM

KIND = "pretrained"  # of the artifact that holds them
FORMAT = "docs/reference/artifacts.md"
Saved = Tower | DualEncoder | VLM


class OfALibrary(Protocol):
    """What has a `loader`, and so a layout of its own library."""

    def save_pretrained(self, folder: Path) -> None:
        """Write configuration and weights into a folder, as that library does."""


@dataclass(frozen=True)
class Part:
    """A tower (`clip/vision`), a whole dual encoder (`clip`) or a decoder (`vlm/decoder`), of this kind, and
    Python that loads what was saved of it, with {folder}; empty where no other library has such a one."""

    name: str
    tower: str
    loader: str


def save(models: Path, out: Path) -> list[Part]:
    """Write each tower of models/clip and models/vlm that another library has to `out`/<name>.

    Raises ValueError where none of them is of another library, and for a folder with other files.
    """
    towers = dict(_towers(models))
    parts = [Part(name, _kind(tower), tower.loader) for name, tower in towers.items()]
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
            cast(OfALibrary, towers[part.name]).save_pretrained(folder / part.name)
            _save_inputs(folder / part.name, towers[part.name], models)
    return parts


def _kind(tower: Saved) -> str:
    if isinstance(tower, VLM):
        return tower.config.get("decoder", OWN_DECODER)
    return tower.config["pretrained" if isinstance(tower, DualEncoder) else "tower"]


def _save_inputs(folder: Path, tower: Saved, models: Path) -> None:
    """What makes a tower's inputs of pictures and texts, as transformers has it."""
    if isinstance(tower, VLM):
        longest = tower.config["max_question"] + tower.config["max_answer"]
        transformers_tokenizer.write(folder, Tokenizer.load(models / "vlm" / TOKENIZER), longest)
        return
    vision, text = (tower.vision, tower.text) if isinstance(tower, DualEncoder) else (tower, tower)
    if isinstance(vision, VisionTower):
        artifacts.write_json(folder / PREPROCESSOR, vision.preprocessing.to_config())
    if isinstance(text, TextTower):
        transformers_tokenizer.write(
            folder, Tokenizer.load(models / "clip" / TOKENIZER), text.config["max_tokens"]
        )


def _towers(models: Path) -> Iterator[tuple[str, Saved]]:
    """(name, tower) of everything that was trained; the text tower of the answering model is that of clip. A
    dual encoder that came whole is one."""
    clip = torch_session.load_clip(models / "clip")
    if clip.loader:
        yield "clip", clip
    else:
        yield from (("clip/vision", clip.vision), ("clip/text", clip.text))
    vlm = torch_session.load_trained_vlm(models / "vlm") if (models / "vlm").exists() else None
    if vlm is not None:
        yield from (("vlm/vision", vlm.vision), ("vlm/decoder", vlm))


def _card(saved: list[Part]) -> str:
    lines = [
        f"`{part.name}` ({part.tower}):\n\n```python\n{part.loader.format(folder=part.name)}\n```\n"
        for part in saved
    ]
    return "# Towers for other libraries\n\n" + "\n".join(lines)
