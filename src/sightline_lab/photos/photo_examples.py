"""metrics/photos.json, docs/reports/photos.md and its picture: freely licensed photos, described and asked
about.

None of them is of a data set, so no model of this project was trained on one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core import artifacts, progress, templates
from sightline.core.atomic_io import write_bytes
from sightline.core.plotting import INK, MUTED, draw_caption, draw_picture, new_figure, plain, save, wrap
from sightline.data import images
from sightline.data.questions.prompt_template import DESCRIBE
from sightline.explain import target
from sightline.explain.explained_items import DISPLAY_SIDE
from sightline.explain.heatmap import Explanation
from sightline.explain.heatmap_figures import draw_overlay, strip
from sightline.explain.target import ExplainedModel
from sightline.inference.out_of_domain import OODDetector

RESULT, PAGE = Path("metrics/photos.json"), Path("docs/reports/photos.md")
PICTURE = Path("docs/reports/photos.png")
WORDS = 3  # of a description that get a map
WIDE, MOST = 2.14, 1.85  # inches: a picture in the figure, and its height at most
ABOVE_AND_BELOW = 0.9  # inches around a row of pictures: the description and the captions


@dataclass(frozen=True)
class Photo:
    """A function of skimage.data, what it shows, by whom, under which licence, and a question about it."""

    name: str
    title: str
    author: str
    licence: str
    question: str


PHOTOS = (
    Photo("chelsea", "Chelsea the cat", "Stefan van der Walt", "CC0", "Is there a dog?"),
    Photo("astronaut", "the astronaut Eileen Collins", "NASA", "public domain", "Is there a woman?"),
    Photo("camera", "a photographer", "Lav Varshney", "CC0", "Is there a man?"),
    Photo("rocket", "the launch of a Falcon 9", "SpaceX", "public domain", "Is there a dog?"),
)


def load(photo: Photo) -> np.ndarray:
    """The pixels, uint8 [Y, X, 3]; a file of the installed scikit-image, nothing is fetched."""
    import skimage.data

    pixels = np.asarray(getattr(skimage.data, photo.name)())
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def run(here: Path, model: ExplainedModel, domain: OODDetector, method: str, colormap: str) -> None:
    """Ask about every photo, and write the result, the page and the picture below `here`."""
    rows, described = [], []
    for photo in progress.track(PHOTOS, "asking about photos"):
        rgb = load(photo)
        description = target.explain(model, method, rgb, DESCRIBE)
        answer = target.ask(model, rgb, photo.question)
        described.append((photo, rgb, description))
        score = float(domain.scores(model.session, [rgb])[0])
        rows.append(
            asdict(photo)
            | {
                "description": description.answer,
                "answer": answer.answer,
                "confidence": round(answer.confidence, 4),
                "out_of_domain": score > domain.bound,
            }
        )
    config = artifacts.read_json(model.session.folder / "config.json")
    result = {"source": config["source"], "variant": config["variant"], "photos": rows}
    for path in (RESULT, PAGE):
        (here / path).parent.mkdir(parents=True, exist_ok=True)
    artifacts.write_json(here / RESULT, result)
    write_bytes(here / PAGE, page(result).encode())
    draw(here / PICTURE, described, colormap)


def page(result: dict[str, Any]) -> str:
    """The page as Markdown."""
    return templates.render("sightline_lab.photos", "photos.md", result=result, picture=PICTURE.name)


def draw(path: Path, described: list[tuple[Photo, np.ndarray, Explanation]], colormap: str) -> None:
    """A row for each photo: its description, the photo, and where the model looked for WORDS words of it."""
    pictures = [images.shrink(rgb, DISPLAY_SIDE) for _, rgb, _ in described]
    tall = [min(MOST, WIDE * rgb.shape[0] / rgb.shape[1]) for rgb in pictures]
    figure = new_figure(4 * WIDE + 0.65, sum(tall) + ABOVE_AND_BELOW * len(described))
    height, down = figure.get_figheight(), 0.12
    for (photo, rgb, description), displayed, rows in zip(described, pictures, tall, strict=True):
        text = wrap(description.answer or "(no answer)", 78, 1)
        figure.text(0.015, 1 - down / height, text, fontsize=12.5, fontweight="bold", color=INK, va="top")
        for column, heat in enumerate([None, *strip(description.words, WORDS)]):
            left, bottom = 0.14 + column * (WIDE + 0.12), height - down - 0.35 - rows
            width, size = figure.get_figwidth(), rgb.shape[:2]
            axes = figure.add_axes((left / width, bottom / height, WIDE / width, rows / height))
            if heat is None:
                draw_picture(axes, displayed, size)
                credit = f"{photo.title}\n{photo.author}, {photo.licence}"
                below = {"transform": axes.transAxes, "fontsize": 8, "color": MUTED, "va": "top"}
                axes.text(0, -0.04, plain(credit), **below)
            else:
                draw_overlay(axes, displayed, size, heat, colormap)
                share = f"{100 * heat.provenance['image_share']:.0f} % on image"
                draw_caption(axes, heat.provenance["word"], share)
            axes.set_anchor("NW")
        down += rows + ABOVE_AND_BELOW
    save(figure, path)
