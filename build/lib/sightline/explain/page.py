"""The explanation page: one self-contained offline HTML file. All text is escaped; nothing is fetched.

Shapes: [Y, X, 3] pictures, L decoder layers, H heads.
"""

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.explain.heatmap import Explanation, Heatmap, resize, seen_square
from sightline.explain.items import Item
from sightline.explain.pictures import GLUE
from sightline.explain.style import CSS, SCRIPT

_MAP_SIDE = 40  # pixels of an inlined map; the browser smooths it to the picture's size
_SMALL = 128  # pictures up to this side are enlarged pixel by pixel
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write(
    path: Path,
    shown: list[tuple[Item, Explanation, Explanation, bool, bool]],
    share_LH: np.ndarray,
    kept: str,
    colormap: str,
) -> None:
    """Write the page. `shown`: item, its explanation with SPIN off and on, and whether each answer is right;
    `share_LH`: how often each head was silenced; `kept`: the SPIN settings in words."""
    import matplotlib

    lut = (np.asarray(matplotlib.colormaps[colormap](np.linspace(0.08, 1, 256)))[:, :3] * 255).astype(
        np.uint8
    )
    cards = "\n".join(_card(*entry, lut) for entry in shown)
    stops = ", ".join("rgb({},{},{})".format(*lut[index]) for index in range(0, 256, 51))
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>Sightline: what the model looked at</title><style>{CSS}</style></head>
<body><header><h1>What the model looked at</h1>
<p class="lead">Each answer below was written by the shipped model, word by word. Point at a word of an answer
to see where in the picture, and at which words of the question, it was looking. Turquoise boxes are where the
named objects truly are. Point at a picture to see it bare.</p></header>
<div class="bar"><div><div class="switch" role="group" aria-label="SPIN">
<button data-spin="off" aria-pressed="true">SPIN off</button>
<button data-spin="on" aria-pressed="false">SPIN on</button>
</div><span class="scale">less<i style="background:linear-gradient(90deg,{stops})"></i>more attention</span>
<span class="scale">SPIN on: {escape(kept)}</span></div></div>
<main><div class="cards">
{cards}
</div>
{_heads(share_LH, lut)}
</main>
<footer><p>Attention shows where the model read from, not why it decided; a bright place is a hint to check,
not a proof. Colour starts at the average attention of a word's map, so an evenly spread look stays dark.</p>
<p>Try next: <code>sightline ask</code>, or <code>dvc exp run -S spin.keep=0.75</code>, which explains
again and retrains nothing.</p>
</footer><script>{SCRIPT}</script></body></html>
"""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _card(
    asked: Item, off: Explanation, on: Explanation, off_right: bool, on_right: bool, lut: np.ndarray
) -> str:
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
    return f"""<article class="card{wide}" id="{escape(asked.name)}"><div class="view">
<img class="base{small}" src="{_png(asked.rgb)}" alt="the picture asked about">
<img class="heat" style="{seen}" src="{_png(np.zeros((1, 1, 4), np.uint8))}" alt="">{boxes}</div><div>
<div class="type">{escape(asked.type)}</div>
{_side(asked, off, "off", off_right, lut)}
{_side(asked, on, "on", on_right, lut)}
{_description(asked)}
</div></article>"""


def _description(asked: Item) -> str:
    """The true description; short questions show their truth beside a wrong answer."""
    return f'<p class="facts">true: {escape(asked.truth)}</p>' if asked.type == "describe" else ""


def _side(asked: Item, found: Explanation, spin: str, right: bool, lut: np.ndarray) -> str:
    question = asked.question
    if found.words:
        question = " ".join(f"<span>{escape(word)}</span>" for word, _ in found.words[0].text_scores)
    else:
        question = escape(question)
    brightest = max(range(len(found.words)), default=0, key=lambda index: _interest(found.words[index]))
    words = "".join(_word(heat, index == brightest, lut) for index, heat in enumerate(found.words))
    verdict = ""
    if asked.type != "describe":
        kind, text = ("right", "right") if right else ("wrong", f"wrong: it is {asked.truth}")
        verdict = f'<span class="verdict {kind}">{escape(text)}</span>'
    return f"""<div class="side" data-spin="{spin}"{" hidden" if spin == "on" else ""}>
<div class="question">{question}</div><p class="label">answer</p>
<div class="words">{words or "(no answer)"}</div>{verdict}
<p class="facts">confidence {100 * found.confidence:.0f} % &middot; <span class="share"></span></p></div>"""


def _interest(heat: Heatmap) -> float:
    """What a reader wants to see first: a word read from the image, and from one place of it."""
    word = heat.provenance["word"]
    content = len(word) > 2 and word not in GLUE
    return (content + 1e-3) * float(heat.provenance["image_share"]) * (1.0 - float(heat.patch_map.mean()))


def _word(heat: Heatmap, first: bool, lut: np.ndarray) -> str:
    scores = " ".join(f"{score:.4f}" for _, score in heat.text_scores)
    share = f"{100 * heat.provenance['image_share']:.0f} % of this word's attention is on the image"
    return (
        f'<button{" data-first" if first else ""} data-map="{_png(_glow(heat.patch_map, lut))}" '
        f'data-scores="{scores}" data-share="{share}">{escape(heat.provenance["word"])}</button>'
    )


def _glow(patch_map: np.ndarray, lut: np.ndarray) -> np.ndarray:
    """The map as [side, side, 4] colours, more opaque where it is stronger."""
    smooth = resize(patch_map, _MAP_SIDE, _MAP_SIDE)
    colours = lut[np.rint(smooth * 255).astype(np.intp)]
    alpha = np.rint(235 * smooth**0.75).astype(np.uint8)
    return np.concatenate([colours, alpha[..., None]], axis=2)


def _heads(share_LH: np.ndarray, lut: np.ndarray) -> str:
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


def _png(pixels: np.ndarray) -> str:
    """Pixels [Y, X, 3 or 4] as a data address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=False)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
