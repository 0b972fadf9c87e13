"""The explanation page: one self-contained offline HTML file. All text is escaped; nothing is fetched.

Shapes: [Y, X, 3] pictures, L decoder layers, H heads.
"""

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.core.html_style import CSS, SCRIPT
from sightline.explain.explained_items import Item
from sightline.explain.heatmap import Explanation, Heatmap, resize, seen_square
from sightline.explain.heatmap_figures import GLUE

_MAP_SIDE = 40  # pixels of an inlined map; the browser smooths it to the picture's size
_SMALL = 128  # pictures up to this side are enlarged pixel by pixel
_LARGEST = 640  # pixels of a photo's longer side
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True)
class Card:
    """One picture and question. `views`: an explanation for each choice of the page's switch; `right`:
    whether each of their answers is (None: nobody knows)."""

    item: Item
    views: list[Explanation]
    right: list[bool | None]


@dataclass(frozen=True)
class Words:
    """What the page says of itself; `switch` names the views, `unit` what a map shows, `certainty` the figure
    beside an answer. `lead`, `note` and `extra` are HTML."""

    title: str
    lead: str
    switch: list[str]
    note: str
    unit: str = "attention"
    certainty: str = "confidence"
    label: str = "answer"
    extra: str = ""


def write(path: Path, cards: list[Card], words: Words, colormap: str) -> None:
    """Write the page."""
    lut = colours(colormap)
    stops = ", ".join("rgb({},{},{})".format(*lut[index]) for index in range(0, 256, 51))
    buttons = "".join(
        f'<button data-view="{place}" aria-pressed="{str(place == 0).lower()}">{escape(name)}</button>'
        for place, name in enumerate(words.switch)
    )
    switch = f'<div class="switch" role="group" aria-label="view">{buttons}</div>' if buttons else ""
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>Sightline: {escape(words.title)}</title><style>{CSS}</style></head>
<body><header><h1>{escape(words.title)}</h1>
<p class="lead">{words.lead}</p></header>
<div class="bar"><div>{switch}
<span class="scale">less<i style="background:linear-gradient(90deg,{stops})"></i>more
{escape(words.unit)}</span>
</div></div>
<main><div class="cards">
{chr(10).join(_card(card, words, lut) for card in cards)}
</div>
{words.extra}
</main>
<footer>{words.note}
</footer><script>{SCRIPT}</script></body></html>
"""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def colours(colormap: str) -> np.ndarray:
    """The colours of a map, [256, 3] uint8, dark first. Raises ValueError for an unknown name."""
    import matplotlib

    if colormap not in matplotlib.colormaps:
        raise ValueError(
            f"params.yaml: explain.colormap is {colormap!r}, which is no Matplotlib colormap; try magma"
        )
    rgba = np.asarray(matplotlib.colormaps[colormap](np.linspace(0.08, 1, 256)))
    return (rgba[:, :3] * 255).astype(np.uint8)


def _card(card: Card, words: Words, lut: np.ndarray) -> str:
    asked = card.item
    wide = " wide" if asked.type == "describe" else ""
    height, width = asked.rgb.shape[:2]
    top, left, side = seen_square(height, width)
    boxes = "".join(
        f'<span class="box" style="left:{100 * x0 / width:.2f}%;top:{100 * y0 / height:.2f}%;'
        f'width:{100 * (x1 - x0) / width:.2f}%;height:{100 * (y1 - y0) / height:.2f}%">'
        f"<b>{escape(kind)}</b></span>"
        for kind, (x0, y0, x1, y1) in asked.boxes
    )
    seen = (
        f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
        f"width:{100 * side / width:.2f}%;height:{100 * side / height:.2f}%"
    )
    small = " small" if max(height, width) <= _SMALL else ""
    views = "\n".join(
        _side(asked, found, place, right, words, lut)
        for place, (found, right) in enumerate(zip(card.views, card.right, strict=True))
    )
    return f"""<article class="card{wide}" id="{escape(asked.name)}"><div class="view">
<img class="base{small}" src="{_png(_thumbnail(asked.rgb))}" alt="the picture asked about">
<img class="heat" style="{seen}" src="{_png(np.zeros((1, 1, 4), np.uint8))}" alt="">{boxes}</div><div>
<div class="type">{escape(asked.type)}</div>
{views}
{_description(asked)}
</div></article>"""


def _description(asked: Item) -> str:
    """The true description; short questions show their truth beside a wrong answer."""
    return f'<p class="facts">true: {escape(asked.truth)}</p>' if asked.type == "describe" else ""


def _side(
    asked: Item, found: Explanation, view: int, right: bool | None, words: Words, lut: np.ndarray
) -> str:
    question = escape(found.question)
    if found.words:
        question = " ".join(f"<span>{escape(word)}</span>" for word, _ in found.words[0].text_scores)
    brightest = max(range(len(found.words)), default=0, key=lambda index: _interest(found.words[index]))
    said = "".join(_word(heat, index == brightest, words.unit, lut) for index, heat in enumerate(found.words))
    verdict = ""
    if asked.type != "describe" and right is not None:
        kind, text = ("right", "right") if right else ("wrong", f"wrong: it is {asked.truth}")
        verdict = f'<span class="verdict {kind}">{escape(text)}</span>'
    return f"""<div class="side" data-view="{view}"{" hidden" if view else ""}>
<div class="question">{question}</div><p class="label">{escape(words.label)}</p>
<div class="words">{said or "(no answer)"}</div>{verdict}
<p class="facts">{escape(words.certainty)} {100 * found.confidence:.0f} % &middot;
<span class="share"></span></p>
</div>"""


def _interest(heat: Heatmap) -> float:
    """What a reader wants to see first: a word read from the image, and from one place of it."""
    word = heat.provenance["word"]
    content = len(word) > 2 and word not in GLUE
    return (content + 1e-3) * float(heat.provenance["image_share"]) * (1.0 - float(heat.patch_map.mean()))


def _word(heat: Heatmap, first: bool, unit: str, lut: np.ndarray) -> str:
    scores = " ".join(f"{score:.4f}" for _, score in heat.text_scores)
    share = f"{100 * heat.provenance['image_share']:.0f} % of this word's {unit} is on the image"
    return (
        f'<button{" data-first" if first else ""} data-map="{_png(_glow(heat.pixel_map, lut))}" '
        f'data-scores="{scores}" data-share="{escape(share)}">{escape(heat.provenance["word"])}</button>'
    )


def _glow(pixel_map: np.ndarray, lut: np.ndarray) -> np.ndarray:
    """The map of the seen square as [side, side, 4] colours, more opaque where it is stronger."""
    top, left, side = seen_square(*pixel_map.shape)
    smooth = resize(pixel_map[top : top + side, left : left + side], _MAP_SIDE, _MAP_SIDE)
    colours = lut[np.rint(smooth * 255).astype(np.intp)]
    alpha = np.rint(235 * smooth**0.75).astype(np.uint8)
    return np.concatenate([colours, alpha[..., None]], axis=2)


def heads(share_LH: np.ndarray, lut: np.ndarray) -> str:
    """How often each head was silenced, as a section of HTML."""
    layers, heads = share_LH.shape
    rows = "".join(f'<th class="head">head {head}</th>' for head in range(heads))
    body = []
    for layer in range(layers):
        cells = "".join(_cell(float(share), lut) for share in share_LH[layer])
        body.append(f"<tr><th>layer {layer}</th>{cells}</tr>")
    return f"""<section class="wide"><h2>Heads that SPIN silences</h2>
<p class="lead">In every layer SPIN ranks the attention heads by how much they look at the image and damps the
others: percent of the answer tokens above at which each head was damped.</p>
<div class="scroll"><table><tr><th></th>{rows}</tr>{"".join(body)}</table></div></section>"""


def _cell(share: float, lut: np.ndarray) -> str:
    red, green, blue = (int(value) for value in lut[round(255 * share)])
    ink = "#fff" if 0.299 * red + 0.587 * green + 0.114 * blue < 150 else "#14101f"
    return f'<td style="background:rgb({red},{green},{blue});color:{ink}">{100 * share:.0f}</td>'


def _thumbnail(rgb: np.ndarray) -> np.ndarray:
    """The picture, at most `_LARGEST` pixels a side."""
    image = Image.fromarray(rgb)
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _png(pixels: np.ndarray) -> str:
    """Pixels [Y, X, 3 or 4] as a data address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=False)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
