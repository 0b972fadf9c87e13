"""What a drawing asks a product for: paints, parts, and the geometry of its design."""

from dataclasses import dataclass

import numpy as np

from sightline_lab.catalogue.canvas import Canvas, Paint, oval
from sightline_lab.catalogue.products import Product
from sightline_lab.catalogue.vocabulary import RGB

METAL = Paint((196, 190, 176), "metal")
DARK = Paint((56, 52, 50), "rubber")


@dataclass(frozen=True)
class Look:
    """A product with the random numbers that its design has, whatever its colour."""

    product: Product
    rng: np.random.Generator
    pitch: float
    slant: int

    def between(self, low: float, high: float) -> float:
        """A length of the design."""
        return float(self.rng.uniform(low, high))

    def main(self, round: bool = False) -> Paint:
        """The surface of the product."""
        product = self.product
        second = product.second.rgb if product.second else None
        return Paint(
            product.shade.rgb, product.material, second, product.pattern, self.pitch, self.slant, round
        )

    def plain(self, darker: float = 1.0, round: bool = False) -> Paint:
        """The product's colour without its pattern, darkened for inner sides and folds."""
        return Paint(scaled(self.product.shade.rgb, darker), self.product.material, round=round)

    def part(self, name: str, material: str = "", round: bool = False) -> Paint:
        """The surface of a part that has a colour of its own."""
        shade = self.product.parts[name].shade
        assert shade is not None, f"the part {name} has no colour of its own"
        return Paint(shade.rgb, material, round=round)

    def has(self, name: str) -> bool:
        """Whether the picture shows the part."""
        return name in self.product.parts

    def count(self, name: str) -> int:
        """How many of the part it shows."""
        return self.product.parts[name].count if self.has(name) else 0

    @property
    def seam(self) -> RGB:
        """A colour that is seen as a line on the product."""
        dark = sum(self.product.shade.rgb) < 200
        rgb = self.product.shade.rgb
        return lighter(rgb, 0.35) if dark else scaled(rgb, 0.66)


def scaled(rgb: RGB, factor: float) -> RGB:
    """The colour, darker."""
    return (int(rgb[0] * factor), int(rgb[1] * factor), int(rgb[2] * factor))


def lighter(rgb: RGB, share: float) -> RGB:
    """The colour, mixed with so much white."""
    return (
        int(rgb[0] + (255 - rgb[0]) * share),
        int(rgb[1] + (255 - rgb[1]) * share),
        int(rgb[2] + (255 - rgb[2]) * share),
    )


def button(canvas: Canvas, center: tuple[float, float], paint: Paint, radius: float = 0.012) -> None:
    """A round button with a thread in its middle."""
    canvas.ellipse(center, (radius, radius), paint)
    canvas.seam(oval(center, (radius * 0.3, radius * 0.3)), scaled(paint.rgb, 0.5))


def buckle(canvas: Canvas, center: tuple[float, float], half: float) -> None:
    """A metal frame with a pin."""
    x, y = center
    outer = [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    inner = [(x + (a - x) * 0.55, y + (b - y) * 0.55) for a, b in outer]
    canvas.fill(outer, METAL, holes=[inner])
    canvas.line([(x - half, y), (x + half * 0.6, y)], half * 0.25, METAL)


def star(center: tuple[float, float], radius: float) -> list[tuple[float, float]]:
    """The outline of a star with five points."""
    angles = np.deg2rad(np.arange(10) * 36 - 90)
    return [
        (
            center[0] + float(np.cos(a)) * radius * (1 if i % 2 == 0 else 0.45),
            center[1] + float(np.sin(a)) * radius * (1 if i % 2 == 0 else 0.45),
        )
        for i, a in enumerate(angles)
    ]


def heart(center: tuple[float, float], radius: float) -> list[tuple[float, float]]:
    """The outline of a heart."""
    t = np.linspace(0, 2 * np.pi, 50)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [
        (center[0] + float(a) * radius / 16, center[1] + float(b) * radius / 16)
        for a, b in zip(x, y, strict=True)
    ]
