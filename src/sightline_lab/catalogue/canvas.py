"""A surface to draw products on: filled outlines with colour, pattern, material and soft light.

Coordinates are shares of the picture's side, x to the right and y down. Everything is drawn larger than it is
kept and scaled down, which smooths the edges.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from sightline_lab.catalogue.vocabulary import RGB

Point = tuple[float, float]
OVERSAMPLE = 2
SHADE_SHRINK = 4  # light is smooth: computed at a quarter of the size
GLOSS = {
    "leather": 0.35, "silk": 0.4, "steel": 0.9, "metal": 0.8, "plastic": 0.5, "ceramic": 0.7, "glass": 0.9,
    "rubber": 0.25, "nylon": 0.25, "polyester": 0.15, "wood": 0.15,
}  # fmt: skip
TILE = 64


@dataclass(frozen=True)
class Paint:
    """How a surface looks."""

    rgb: RGB
    material: str = ""
    second: RGB | None = None
    pattern: str = "plain"
    pitch: float = 0.08  # of the pattern, share of the side
    slant: int = 0  # stripes: 0 lie, 1 stand, 2 are diagonal
    round: bool = False  # lit like a cylinder that stands


@dataclass(frozen=True)
class Pose:
    """Where the product stands in the picture."""

    scale: float = 1.0
    turn: float = 0.0  # degrees
    mirrored: bool = False
    shift: Point = (0.0, 0.0)

    def moved(self, down: float) -> "Pose":
        """The pose, farther down."""
        return replace(self, shift=(self.shift[0], self.shift[1] + down))


class Canvas:
    """A square white picture of `side` pixels in the making."""

    def __init__(self, side: int, pose: Pose) -> None:
        self.side, self.size, self.pose = side, side * OVERSAMPLE, pose
        self.image = Image.new("RGB", (self.size, self.size), (255, 255, 255))
        self.cover = Image.new("L", (self.size, self.size))

    def fill(self, outline: Iterable[Point], paint: Paint, holes: Sequence[Iterable[Point]] = ()) -> None:
        """Fills a closed outline, without its holes."""
        mask = Image.new("L", (self.size, self.size))
        draw = ImageDraw.Draw(mask)
        draw.polygon(self._pixels(outline), fill=255)
        for hole in holes:
            draw.polygon(self._pixels(hole), fill=0)
        self._paint(mask, paint)

    def line(self, points: Iterable[Point], width: float, paint: Paint) -> None:
        """A band of constant width with round ends."""
        mask = Image.new("L", (self.size, self.size))
        draw = ImageDraw.Draw(mask)
        pixels = self._pixels(points)
        thick = max(1, round(width * self.size * self.pose.scale))
        draw.line(pixels, fill=255, width=thick, joint="curve")
        if thick > 2:
            for x, y in (pixels[0], pixels[-1]):
                half = thick / 2
                draw.ellipse((x - half, y - half, x + half, y + half), fill=255)
        self._paint(mask, paint)

    def ellipse(self, center: Point, radii: Point, paint: Paint) -> None:
        """A filled ellipse."""
        self.fill(oval(center, radii), paint)

    def seam(self, points: Iterable[Point], rgb: RGB) -> None:
        """A thin line, without light."""
        width = max(1, round(0.006 * self.size))
        ImageDraw.Draw(self.image).line(self._pixels(points), fill=rgb, width=width, joint="curve")

    def finish(self) -> Image.Image:
        """The picture with its shadow, at its own size."""
        shadow = self.cover.resize((self.side // 2, self.side // 2), Image.Resampling.BOX)
        blurred = shadow.filter(ImageFilter.GaussianBlur(self.side * 0.012))
        soft = np.asarray(blurred, np.float32) * 0.22
        box = shadow.getbbox()
        if box:  # a darker line where it stands
            contact = Image.new("L", shadow.size)
            left, right, foot, height = box[0], box[2], box[3], self.side * 0.012
            ImageDraw.Draw(contact).ellipse((left, foot - height, right, foot + height), fill=255)
            contact = contact.filter(ImageFilter.GaussianBlur(self.side * 0.01))
            soft = np.maximum(soft, np.asarray(contact, np.float32) * 0.28)
        ground = Image.fromarray((255 - soft).clip(0, 255).astype(np.uint8))
        ground = ground.resize((self.size, self.size), Image.Resampling.BILINEAR).convert("RGB")
        ground.paste(self.image, (0, 0), self.cover)
        return ground.resize((self.side, self.side), Image.Resampling.BOX)

    def _pixels(self, points: Iterable[Point]) -> list[tuple[float, float]]:
        """Unit coordinates, posed, in pixels of the large picture."""
        at = np.array(list(points), dtype=np.float64) - 0.5
        if self.pose.mirrored:
            at[:, 0] *= -1
        angle = np.deg2rad(self.pose.turn)
        turned = at @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return [
            (float(x), float(y))
            for x, y in (turned * self.pose.scale + 0.5 + np.array(self.pose.shift)) * self.size
        ]

    def _paint(self, mask: Image.Image, paint: Paint) -> None:
        box = mask.getbbox()
        if box is None:
            return
        shape = mask.crop(box)
        surface = np.asarray(self._pattern(shape.size, paint), np.float32)
        light_YX, shine_YX = _light(shape, paint, self.size)
        lit = surface * light_YX[..., None] + shine_YX[..., None]
        self.image.paste(Image.fromarray(lit.clip(0, 255).astype(np.uint8)), box, shape)
        self.cover.paste(255, box, shape)

    def _pattern(self, size: tuple[int, int], paint: Paint) -> Image.Image:
        """Colour and pattern, without light."""
        image = Image.new("RGB", size, paint.rgb)
        if paint.second is None:
            return image
        draw = ImageDraw.Draw(image)
        pitch = max(4.0, paint.pitch * self.size)
        width, height = size
        if paint.pattern == "striped":
            _stripes(draw, size, pitch, paint.slant, paint.second)
        elif paint.pattern == "dotted":
            radius = pitch * 0.24
            for row in range(int(height / pitch) + 2):
                for column in range(int(width / pitch) + 2):
                    x, y = (column + 0.5 * (row % 2)) * pitch, row * pitch
                    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=paint.second)
        else:
            mixed = tuple((a + b) // 2 for a, b in zip(paint.rgb, paint.second, strict=True))
            _stripes(draw, size, pitch, 0, mixed)
            across = Image.new("L", size)
            _stripes(ImageDraw.Draw(across), size, pitch, 1, 255)
            both = Image.new("L", size)
            _stripes(ImageDraw.Draw(both), size, pitch, 0, 255)
            image.paste(mixed, (0, 0), across)
            image.paste(paint.second, (0, 0), Image.composite(across, Image.new("L", size), both))
        return image


def curve(points: Sequence[Point], closed: bool = True, rounds: int = 3) -> list[Point]:
    """Chaikin's corner cutting; a point named twice stays a corner nearly."""
    at = np.array(points, dtype=np.float64)
    for _ in range(rounds):
        after = np.roll(at, -1, axis=0)
        cut = np.stack([0.75 * at + 0.25 * after, 0.25 * at + 0.75 * after], axis=1)
        if closed:
            at = cut.reshape(-1, 2)
        else:
            at = np.concatenate([at[:1], cut[:-1].reshape(-1, 2), at[-1:]])
    return [(float(x), float(y)) for x, y in at]


def oval(center: Point, radii: Point, start: float = 0.0, stop: float = 360.0) -> list[Point]:
    """Points of an ellipse, or of an arc in degrees clockwise from the right."""
    angles = np.deg2rad(np.linspace(start, stop, 40))
    return [
        (center[0] + radii[0] * float(np.cos(a)), center[1] + radii[1] * float(np.sin(a))) for a in angles
    ]


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """The corners of a rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def mirrored(points: Iterable[Point]) -> list[Point]:
    """The outline's right half, given its left half from top to bottom, from bottom to top."""
    return [(1 - x, y) for x, y in reversed(list(points))]


def _stripes(draw: ImageDraw.ImageDraw, size: tuple[int, int], pitch: float, slant: int, fill) -> None:
    """Bands of half a pitch: 0 lie, 1 stand, 2 are diagonal."""
    width, height = size
    reach = (height, width, width + height)[slant]
    for start in np.arange(0, reach + pitch, pitch):
        stop = start + pitch / 2
        band = (
            [(0, start), (width, start), (width, stop), (0, stop)],
            [(start, 0), (start, height), (stop, height), (stop, 0)],
            [(start, 0), (start - height, height), (stop - height, height), (stop, 0)],
        )[slant]
        draw.polygon([(float(x), float(y)) for x, y in band], fill=fill)


def _light(shape: Image.Image, paint: Paint, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Factor and addition for a surface's colours, float32 [Y, X]: rounded edges, lit from above left."""
    width, height = shape.size
    small = shape.resize(
        (max(2, width // SHADE_SHRINK), max(2, height // SHADE_SHRINK)), Image.Resampling.BOX
    )
    blur = float(np.clip(0.14 * min(small.size), 0.8, 0.035 * size / SHADE_SHRINK))
    edge = int(3 * blur) + 1
    soft = ImageOps.expand(small, edge).filter(ImageFilter.GaussianBlur(blur))
    body_YX = np.asarray(soft, np.float32) / 255
    slope_y, slope_x = np.gradient(body_YX)
    facing_YX = ((0.5 * slope_x + 0.8 * slope_y) * 2 * blur)[edge:-edge, edge:-edge]
    inside_YX = np.clip(body_YX * 2 - 1, 0, 1)[edge:-edge, edge:-edge]
    light_YX = 0.84 + 0.16 * inside_YX + 0.26 * facing_YX
    gloss = GLOSS.get(paint.material, 0.0)
    shine_YX = 150 * gloss * np.clip(facing_YX - 0.25, 0, 1)
    if paint.round:
        across = np.linspace(-1, 1, light_YX.shape[1], dtype=np.float32)
        light_YX = light_YX * (1.06 - 0.3 * np.abs(across + 0.3) ** 2)[None, :]
        streak = np.exp(-(((across + 0.5) / 0.13) ** 2)) * inside_YX.mean()
        shine_YX = shine_YX + 110 * gloss * streak[None, :] * inside_YX
    light_YX, shine_YX = (
        np.asarray(
            Image.fromarray(each.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        )
        for each in (light_YX, shine_YX)
    )
    grain = _texture(paint.material)
    repeat = (height // TILE + 1, width // TILE + 1)
    return light_YX * np.tile(grain, repeat)[:height, :width], shine_YX


@cache
def _texture(material: str) -> np.ndarray:
    """The grain of a material as a factor, float32 [TILE, TILE]; its edges fit together."""
    rng = np.random.Generator(np.random.PCG64([7, *material.encode()]))
    noise = rng.normal(0, 1, (TILE, TILE))
    y, x = np.mgrid[0:TILE, 0:TILE]
    if material == "denim":
        grain = 0.05 * np.sin((x + y) * np.pi / 2) + 0.03 * noise
    elif material in ("wool", "straw"):
        grain = 0.07 * np.sin(x * np.pi / 4) + 0.05 * np.sin(y * np.pi / 4 + np.sin(x * np.pi / 4))
    elif material in ("canvas", "linen", "mesh"):
        grain = 0.035 * (np.sin(x * np.pi / 2) + np.sin(y * np.pi / 2)) + 0.02 * noise
    elif material == "wood":
        rows = np.cumsum(rng.normal(0, 1, TILE))
        rows -= np.linspace(0, rows[-1] - rows[0], TILE)
        grain = 0.02 * np.sin(rows * 2)[:, None] + 0.012 * noise
    elif material in ("leather", "suede", "velvet"):
        grain = 0.03 * noise
    else:
        grain = 0.006 * noise
    return (1 + grain).astype(np.float32)
