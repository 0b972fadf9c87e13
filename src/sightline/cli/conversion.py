"""`sightline convert-model`: a vision-language model of transformers as a bundle of ONNX graphs."""

from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.app import SHARE, app, say

if TYPE_CHECKING:
    import numpy as np

COUNT = 8  # pictures that are compared on and calibrated with


class Precision(StrEnum):
    """Of the weights."""

    fp32 = "fp32"
    int8 = "int8"
    int4 = "int4"


@app.command(rich_help_panel=SHARE)
def convert_model(
    model: Annotated[
        str, typer.Argument(help="A folder of a transformers model, or OWNER/NAME with --revision.")
    ],
    out: Annotated[Path, typer.Option("-o", help="Folder of the bundle.")],
    revision: Annotated[str | None, typer.Option(help="Commit on the Hub, 40 digits.")] = None,
    precision: Annotated[Precision, typer.Option(help="Of the weights.")] = Precision.fp32,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            help="Files, folders or zip archives of pictures to compare on and, for int8 and int4, to "
            "calibrate with: such as will be asked about. Default: rendered scenes."
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side of a picture, for models that read any; at most 448.")
    ] = None,
    question_tokens: Annotated[int, typer.Option(min=1, help="Longest question.")] = 64,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
) -> None:
    """Convert a vision-language model of transformers (LLaVA, SmolVLM, Idefics3, Qwen2-VL) to ONNX.

    Written only if it answers as transformers does. `ask`, `audit` and `serve` take the bundle; the guide
    says how ONNX Runtime runs it without Sightline.
    """
    import torch

    from sightline.export import convert_model
    from sightline.inference import image_text_model, transformers_model

    shown = _pictures(pictures)
    loaded = transformers_model.load(model, revision, torch.float32)
    opened = image_text_model.open_model(loaded, image_size, question_tokens, answer_tokens)
    name = model if revision else loaded.folder.resolve().name
    figures = convert_model.convert(loaded, opened, name, precision.value, shown, out)
    say(
        f"convert-model: as transformers on {figures['transformers_answers']} answers; a logit differs by at "
        f"most {figures['transformers_max_logit_difference']:.2g}"
    )
    if precision is not Precision.fp32:
        different = figures[f"{precision.value}_transformers_answers_different"]
        say(f"convert-model: in {precision.value} {different} of these answers differ")
    size = sum(path.stat().st_size for path in out.rglob("*.onnx"))
    say(f"convert-model: wrote {out}, {size / 1e6:.1f} MB of graphs")
    say(f'try: sightline ask --bundle {out} photo.jpg "What is in the picture?"')


def _pictures(sources: list[str] | None) -> "list[np.ndarray]":
    """Up to COUNT pictures of the user, or as many rendered scenes."""
    from sightline.cli import picture_input

    if sources:
        refused: list[str] = []
        named = islice(picture_input.read_all(sources, False, refused), COUNT)
        shown = [picture for _, picture in named]
        if not shown:
            raise ValueError(f"--pictures: no picture can be read; {'; '.join(refused[:3])}")
        return shown
    from sightline.data.scenes import render, sample

    zoom = max(render.ZOOMS)
    return [render.render(sample.sample(0, "train", number), zoom) for number in range(COUNT)]
