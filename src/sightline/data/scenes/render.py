"""Scene -> 64 x 64 RGB picture, in integers only: the same bytes on any machine.

`render` is a pure function of the scene graph: tone and noise of the background are part of it.
Objects are listed back to front. With a `zoom` the same scene is drawn in so many pixels per pixel and side:
for people; no model is trained or measured on it. Letters: Y, X rows and columns; C channels.
"""

from functools import cache

import numpy as np
from PIL import Image

from sightline.data.scenes.shapes import Template, smooth, template

SIDE = 64
ZOOMS = (4, 8)  # in which people see a scene
PAD = 8  # shadows may leave the picture
COLORS = {
    "red": (222, 44, 48),
    "orange": (248, 132, 20),
    "yellow": (250, 214, 46),
    "green": (46, 168, 70),
    "cyan": (40, 200, 214),
    "blue": (44, 88, 220),
    "purple": (136, 62, 196),
    "pink": (250, 138, 190),
}
TONES = (  # dull, so that no background takes an object's colour
    (196, 190, 178),
    (176, 186, 192),
    (186, 194, 178),
    (200, 184, 172),
    (150, 156, 164),
    (168, 160, 150),
    (150, 162, 150),
    (182, 178, 190),
)
KNOTS = 9  # of the smooth noise, per side


def render(scene: dict, zoom: int = 1) -> np.ndarray:
    """Picture of a scene graph (sample.py), uint8 [64 * zoom, 64 * zoom, 3]."""
    pad = PAD * zoom
    plain_YXC = enlarged(background(scene["tone"], scene["noise"]), zoom)
    canvas_YXC = np.pad(plain_YXC, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    for item in scene["objects"]:
        left, top = pad + zoom * item["box"][0], pad + zoom * item["box"][1]
        shadow_YX = shadow(item["kind"], item["size"], zoom)
        window = canvas_YXC[top - 3 * zoom :, left - 3 * zoom :][: shadow_YX.shape[0], : shadow_YX.shape[1]]
        window -= window * shadow_YX[: window.shape[0], : window.shape[1], None] >> 8
        paint_YXC, clear_YX1 = sprite(item["kind"], item["size"], item["color"], zoom)
        window = canvas_YXC[top:, left:][: paint_YXC.shape[0], : paint_YXC.shape[1]]
        window[...] = (window * clear_YX1 + paint_YXC) >> 8
    return canvas_YXC[pad:-pad, pad:-pad].astype(np.uint8)


def enlarged(plain: np.ndarray, zoom: int) -> np.ndarray:
    """What is soft (values 0..255, [Y, X] or [Y, X, 3]) with `zoom` pixels per pixel and side, int32."""
    if zoom == 1:
        return plain.astype(np.int32)
    image, (height, width) = Image.fromarray(plain.astype(np.uint8)), plain.shape[:2]
    return np.asarray(image.resize((width * zoom, height * zoom), Image.Resampling.BICUBIC), dtype=np.int32)


def background(tone: int, noise: int) -> np.ndarray:
    """Tone with a gentle gradient, smooth blotches and fine grain, int32 [64, 64, 3]."""
    rng = np.random.Generator(np.random.PCG64(noise))
    knots = rng.integers(-14, 15, size=(KNOTS, KNOTS), dtype=np.int32)
    blotch_YX = (_spread() @ knots @ _spread().T) >> 6
    slope_y, slope_x = rng.integers(6, 15), rng.integers(-8, 9)
    ramp = np.arange(SIDE, dtype=np.int32) - SIDE // 2
    fall_YX = (-slope_y * ramp[:, None] + slope_x * ramp[None, :]) // 16
    grain_YX = rng.integers(-4, 5, size=(SIDE, SIDE), dtype=np.int32)
    light_YX = (blotch_YX + fall_YX + grain_YX).astype(np.int32)
    return np.clip(np.array(TONES[tone], dtype=np.int32) + light_YX[:, :, None], 0, 255)


@cache
def _spread() -> np.ndarray:
    """Linear interpolation from KNOTS to SIDE points, rows sum to 8."""
    step = SIDE // (KNOTS - 1)
    weights = np.zeros((SIDE, KNOTS), dtype=np.int32)
    for y in range(SIDE):
        weights[y, y // step] = step - y % step
        weights[y, y // step + 1] = y % step
    return weights


@cache
def sprite(kind: str, size: str, color: str, zoom: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour times coverage [Y, X, 3] and 256 minus coverage [Y, X, 1] of one object, int32."""
    shape: Template = template(kind, size, zoom)
    base_C = np.array(COLORS[color], dtype=np.int64)
    shade_YX1 = shape.shade_YX[:, :, None]
    dark = base_C * shade_YX1 // 128
    bright = base_C + (255 - base_C) * (shade_YX1 - 128) // 127
    paint = np.where(shade_YX1 <= 128, dark, bright) * shape.alpha_YX[:, :, None]
    return paint.astype(np.int32), (256 - shape.alpha_YX[:, :, None]).astype(np.int32)


@cache
def shadow(kind: str, size: str, zoom: int) -> np.ndarray:
    """Darkness 0..256 [Y, X] of the soft shadow to the lower right; starts 3 * zoom px up and left of the
    box."""
    alpha_YX = template(kind, size).alpha_YX
    height, width = alpha_YX.shape
    side = max(height, width) + 2 * PAD
    cast = np.zeros((side, side), dtype=np.int64)
    cast[5 : 5 + height, 5 : 5 + width] = alpha_YX  # two pixels to the right and down
    cast = smooth(cast, 2) * 90 // 256
    contact = np.zeros((side, side), dtype=np.int64)
    foot = alpha_YX[-2:].max(axis=0)
    contact[height + 1 : height + 4, 4 : 4 + width] = foot
    return enlarged(np.maximum(cast, smooth(contact, 1) * 130 // 256), zoom)
