"""Silhouettes and shading of the twelve kinds, in integers only: the same bytes on any machine.

A kind is drawn on a 960 x 960 unit square (x right, y down), sampled SUPERSAMPLE times per pixel and side.
Light comes from the upper left. Shade 128 shows the colour itself, less darkens it, more whitens it.
`zoom`: pixels per pixel and side of the picture that models read (1); larger ones are for people.

Letters: Y, X rows and columns of samples or pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

SUPERSAMPLE = 4
ZOOM_SUPERSAMPLE = 2  # of a zoomed one, which is scaled down where it is displayed
UNIT = 960
SIDES = {"small": 13, "large": 22}  # pixels of the square a kind is drawn in
ONE = 1024  # fixed-point 1.0
LIGHT = (-4, -4, 7)  # integer length 9
HALFWAY = (-241, -241, 966)  # between light and viewer, in 1/1024
SQUARES = np.arange(8192, dtype=np.int64) ** 2

Part = tuple[np.ndarray, np.ndarray]  # mask_YX bool, shade_YX int64


@dataclass(frozen=True)
class Template:
    """One kind in one size, cropped to the pixels it touches: alpha_YX 0..256, shade_YX 0..255."""

    alpha_YX: np.ndarray
    shade_YX: np.ndarray

    @property
    def solid_YX(self) -> np.ndarray:
        """Pixels at least half covered: the ones that count for visibility."""
        return self.alpha_YX >= 128


def integer_sqrt(values: np.ndarray) -> np.ndarray:
    """Floor of the square root of values below 8191 squared."""
    return np.searchsorted(SQUARES, values, side="right") - 1


def light(nx: np.ndarray, ny: np.ndarray, nz: np.ndarray, gloss: int = 110) -> np.ndarray:
    """Blinn-Phong shade of normals in any common scale (Blinn 1977, Models of light reflection)."""
    length = np.maximum(integer_sqrt(nx * nx + ny * ny + nz * nz), 1)
    nx, ny, nz = (ONE * n // length for n in (nx, ny, nz))
    diffuse = np.maximum(LIGHT[0] * nx + LIGHT[1] * ny + LIGHT[2] * nz, 0) // 9
    glint = np.clip((HALFWAY[0] * nx + HALFWAY[1] * ny + HALFWAY[2] * nz) // ONE, 0, ONE)
    for _ in range(5):  # to the 32nd power
        glint = glint * glint // ONE
    return 44 + 96 * diffuse // ONE + gloss * glint // ONE


def depth(mask_YX: np.ndarray, parts: int) -> np.ndarray:
    """Euclidean distance to the nearest sample outside the mask, in 1/parts of a sample, rounded down."""
    padded = np.pad(mask_YX, 1)
    side = np.arange(padded.shape[1])
    before = np.maximum.accumulate(np.where(padded, 0, side), axis=1)
    after = np.minimum.accumulate(np.where(padded, side[-1], side)[:, ::-1], axis=1)[:, ::-1]
    row_YX = np.minimum(side - before, after - side) ** 2
    square_YX = row_YX.copy()
    for y, row_X in enumerate(row_YX):
        np.minimum(square_YX, row_X + ((side - y) ** 2)[:, None], out=square_YX)
    return integer_sqrt(parts * parts * square_YX)[1:-1, 1:-1]


def smooth(values_YX: np.ndarray, times: int) -> np.ndarray:
    """Box blur, 3 x 3, repeated."""
    for _ in range(times):
        padded = np.pad(values_YX, 1, mode="edge")
        total_YX = sum(
            padded[dy : dy + len(values_YX), dx : dx + len(values_YX)] for dy in range(3) for dx in range(3)
        )
        values_YX = np.asarray(total_YX // 9)
    return values_YX


class Sketch:
    """The sample grid of one size, with the operations that cover and shade it."""

    def __init__(self, side: int, zoom: int = 1):
        self.side = side
        self.samples = side * zoom * supersample(zoom)
        centre = (2 * np.arange(self.samples, dtype=np.int64) + 1) * UNIT // (2 * self.samples)
        self.x_YX, self.y_YX = np.meshgrid(centre, centre)

    def ellipse(self, cx: int, cy: int, rx: int, ry: int) -> np.ndarray:
        return ((self.x_YX - cx) * ry) ** 2 + ((self.y_YX - cy) * rx) ** 2 <= (rx * ry) ** 2

    def polygon(self, *points: tuple[int, int]) -> np.ndarray:
        """Even-odd rule, edges compared by cross-multiplication."""
        inside = np.zeros(self.x_YX.shape, dtype=bool)
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            spans = (self.y_YX >= y0) & (self.y_YX < y1)
            inside ^= spans & ((self.x_YX - x0) * (y1 - y0) < (self.y_YX - y0) * (x1 - x0))
        return inside

    def box(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        return self.polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))

    def flat(self, mask: np.ndarray, shade: int, slope: int = 0) -> Part:
        """One plane; slope darkens it towards the lower right."""
        return mask, shade - slope * (self.x_YX + self.y_YX - UNIT) // UNIT

    def round(self, mask: np.ndarray, radius: int, gloss: int = 110) -> Part:
        """Inflated like a cushion: a rounded bevel of the given radius (units)."""
        finer = self.samples // (self.side * SUPERSAMPLE)  # samples per sample of the picture for models
        parts = 4 * finer**2  # heights in so many parts of a sample, so that a finer slope has no steps
        radius = max(parts * radius * self.samples // UNIT, parts)
        rest = radius - np.minimum(depth(mask, parts), radius)
        height = integer_sqrt(radius * radius - rest * rest)
        height = smooth(height, finer**2 * (self.side * SUPERSAMPLE // 24))
        padded = np.pad(height, 1, mode="edge")
        slope_x = padded[1:-1, 2:] - padded[1:-1, :-2]
        slope_y = padded[2:, 1:-1] - padded[:-2, 1:-1]
        return mask, light(-slope_x, -slope_y, np.full_like(slope_x, 2 * parts), gloss)

    def barrel(self, mask: np.ndarray, tilt: int = 0, gloss: int = 90) -> Part:
        """Round about a vertical axis, row by row; tilt leans the normals up (1/1024 of the radius)."""
        x_YX = np.where(mask, self.x_YX, UNIT)
        left = x_YX.min(axis=1, keepdims=True)
        right = np.where(mask, self.x_YX, 0).max(axis=1, keepdims=True)
        half = np.maximum((right - left) // 2, 1)
        nx = np.clip(self.x_YX - (left + right) // 2, -half, half)
        nz = integer_sqrt(half * half - nx * nx)
        return mask, light(nx, -tilt * half // ONE + 0 * nx, nz, gloss)


def ball(s: Sketch) -> list[Part]:
    dx_YX, dy_YX = s.x_YX - 480, s.y_YX - 480
    dz_YX = integer_sqrt(np.maximum(450**2 - dx_YX**2 - dy_YX**2, 0))
    return [(s.ellipse(480, 480, 450, 450), light(dx_YX, dy_YX, dz_YX, gloss=120))]


def cube(s: Sketch) -> list[Part]:
    return [
        s.flat(s.polygon((480, 40), (900, 235), (480, 440), (60, 235)), 172, 30),
        s.flat(s.polygon((60, 235), (480, 440), (480, 930), (60, 710)), 116, 24),
        s.flat(s.polygon((480, 440), (900, 235), (900, 710), (480, 930)), 66, 24),
    ]


def cone(s: Sketch) -> list[Part]:
    body = s.polygon((480, 20), (890, 800), (70, 800)) | s.ellipse(480, 800, 410, 135)
    return [s.barrel(body, tilt=420)]


def ring(s: Sketch) -> list[Part]:
    return [s.round(s.ellipse(480, 480, 455, 455) & ~s.ellipse(480, 480, 225, 225), 115)]


def star(s: Sketch) -> list[Part]:
    points = (
        (480, 10),
        (612, 328),
        (947, 357),
        (693, 579),
        (770, 915),
        (480, 737),
        (190, 915),
        (267, 579),
        (13, 357),
        (348, 328),
    )
    return [s.round(s.polygon(*points), 330, gloss=60)]


def heart(s: Sketch) -> list[Part]:
    lobes = s.ellipse(260, 290, 238, 240) | s.ellipse(700, 290, 238, 240)
    point = s.polygon((480, 210), (690, 180), (912, 400), (480, 930), (48, 400), (270, 180))
    return [s.round(lobes | point, 260)]


def moon(s: Sketch) -> list[Part]:
    return [s.round(s.ellipse(470, 480, 460, 460) & ~s.ellipse(740, 400, 390, 390), 220)]


def cross(s: Sketch) -> list[Part]:
    return [s.round(s.box(330, 30, 630, 930) | s.box(30, 330, 930, 630), 120, gloss=70)]


def mug(s: Sketch) -> list[Part]:
    body = s.box(60, 200, 690, 800) | s.ellipse(375, 800, 315, 125) | s.ellipse(375, 200, 315, 125)
    return [
        s.round(s.ellipse(690, 500, 245, 270) & ~s.ellipse(690, 500, 125, 150), 70),
        s.barrel(body),
        s.flat(s.ellipse(375, 200, 315, 125), 176),
        s.flat(s.ellipse(375, 208, 245, 82), 40),
    ]


def tree(s: Sketch) -> list[Part]:
    crown = s.ellipse(480, 270, 260, 250) | s.ellipse(265, 430, 235, 215) | s.ellipse(695, 430, 235, 215)
    return [
        s.flat(s.polygon((410, 560), (550, 560), (600, 950), (360, 950)), 58, 30),
        s.round(crown, 240, gloss=60),
    ]


def house(s: Sketch) -> list[Part]:
    return [
        s.flat(s.box(130, 400, 830, 930), 150, 40),
        s.flat(s.polygon((480, 30), (940, 450), (20, 450)), 76, 24),
        s.flat(s.box(400, 610, 570, 930), 30),
    ]


def boat(s: Sketch) -> list[Part]:
    return [
        s.flat(s.box(450, 20, 500, 700), 40),
        s.flat(s.polygon((520, 50), (880, 600), (520, 600)), 200, 40),
        s.flat(s.polygon((430, 150), (430, 600), (150, 600)), 165, 40),
        s.barrel(s.polygon((20, 660), (940, 660), (740, 930), (220, 930)), tilt=-200, gloss=40),
    ]


DRAWINGS: dict[str, Callable[[Sketch], Sequence[Part]]] = {
    f.__name__: f for f in (ball, cube, cone, ring, star, heart, moon, cross, mug, tree, house, boat)
}


def supersample(zoom: int) -> int:
    """Samples per pixel and side."""
    return SUPERSAMPLE if zoom == 1 else ZOOM_SUPERSAMPLE


@cache
def template(kind: str, size: str, zoom: int = 1) -> Template:
    """Template of a kind in a size; drawn once. A zoomed one fills the same box and is as bright as the one
    that models read, whose few integers make it a little brighter than its light."""
    covered_YX, shade_YX = _drawn(kind, size, zoom)
    read_YX, read_shade_YX = _drawn(kind, size, 1)
    if zoom > 1:
        read = (read_YX * read_shade_YX).sum() * covered_YX.sum()
        shade_YX = np.minimum(shade_YX * read // ((covered_YX * shade_YX).sum() * read_YX.sum()), 255)
    rows, columns = np.flatnonzero(read_YX.any(axis=1)), np.flatnonzero(read_YX.any(axis=0))
    crop = np.s_[zoom * rows[0] : zoom * (rows[-1] + 1), zoom * columns[0] : zoom * (columns[-1] + 1)]
    return Template(covered_YX[crop] * 256 // supersample(zoom) ** 2, shade_YX[crop])


@cache
def _drawn(kind: str, size: str, zoom: int) -> tuple[np.ndarray, np.ndarray]:
    """Covered samples of every pixel of the square, and their mean shade."""
    sketch = Sketch(SIDES[size], zoom)
    mask = np.zeros(sketch.x_YX.shape, dtype=bool)
    shade = np.zeros(sketch.x_YX.shape, dtype=np.int64)
    for part_mask, part_shade in DRAWINGS[kind](sketch):
        mask |= part_mask
        shade = np.where(part_mask, np.clip(part_shade, 0, 255), shade)
    pixels, samples = zoom * SIDES[size], supersample(zoom)
    blocks = (pixels, samples, pixels, samples)
    covered_YX = mask.reshape(blocks).sum(axis=(1, 3))
    return covered_YX, (shade * mask).reshape(blocks).sum(axis=(1, 3)) // np.maximum(covered_YX, 1)
