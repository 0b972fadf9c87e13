"""How a picture becomes the input of an image tower: a noun that towers carry, training, export and sessions
follow (`data/transforms.py`), and `preprocessor_config.json` writes down in the words of transformers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

# The names of Pillow's filters, each with the number that preprocessor_config.json has for it.
RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
CENTRE = "center_crop_rounding"  # the one key that transformers does not know, and ignores
KEYS = ("crop_size", "image_mean", "image_std", "resample", "size")

MAX_SIDE = 4096  # pixels of an input: a batch of larger ones fits no memory
Channels = tuple[float, float, float]


class Seen(NamedTuple):
    """The part of a picture of `height` x `width` pixels that a model sees, in those pixels."""

    height: int
    width: int
    top: int
    left: int
    rows: int
    columns: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts it out of an array [Y, X, ...]."""
        return slice(self.top, self.top + self.rows), slice(self.left, self.left + self.columns)


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, /255, normalise.

    `image_size`: side of the input, pixels. `mean`, `std`: of the channels, whose values are 0 to 1 before.
    `resize`: what the shorter side becomes (`squash`: both sides, whatever the picture's shape) before the
    centre square is cut out, at least `image_size`. `interpolation`: a filter of Pillow, which smooths when
    shrinking. `rounding`: of the place of the square where the rest is odd; torchvision and timm take the
    nearest (half to even), transformers the lower.
    """

    image_size: int
    mean: Channels
    std: Channels
    resize: int
    interpolation: str
    squash: bool
    rounding: Literal["nearest", "down"]

    def __post_init__(self) -> None:
        if self.interpolation not in RESAMPLE:
            raise ValueError(
                f"preprocessing: interpolation is {self.interpolation!r}, expected {', '.join(RESAMPLE)}"
            )
        whole = type(self.image_size) is int and type(self.resize) is int
        if not whole or not 0 < self.image_size <= self.resize <= MAX_SIDE:
            raise ValueError(
                f"preprocessing: resized to {self.resize} pixels before a square of {self.image_size} is cut "
                f"out, expected at least that many, and at most {MAX_SIDE}"
            )
        if self.rounding not in ("nearest", "down"):
            raise ValueError(f"preprocessing: {CENTRE} is {self.rounding!r}, expected nearest or down")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"preprocessing: mean {self.mean}, std {self.std}, expected three numbers each, std above 0"
            )

    @classmethod
    def plain(cls, size: int, mean: Sequence[float], std: Sequence[float]) -> Preprocessing:
        """The centre square of the whole picture: shorter side to `size`, bicubic."""
        return cls(size, _channels(mean), _channels(std), size, "bicubic", squash=False, rounding="nearest")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Of what `to_config` wrote. Raises ValueError for what is missing or of another form."""
        missing = [key for key in KEYS if not isinstance(config, Mapping) or key not in config]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}; rerun the stage that wrote it")
        try:
            return cls._of_values(config)
        except (ArithmeticError, KeyError, TypeError) as error:
            raise ValueError(f"no preprocessing of pictures ({type(error).__name__}: {error})") from error

    @classmethod
    def _of_values(cls, config: Mapping[str, Any]) -> Preprocessing:
        size, names = config["size"], {number: name for name, number in RESAMPLE.items()}
        squash = "shortest_edge" not in size
        sides = {size["height"], size["width"]} if squash else {size["shortest_edge"]}
        crop = {config["crop_size"]["height"], config["crop_size"]["width"]}
        if len(sides) > 1 or len(crop) > 1 or config["resample"] not in names:
            raise ValueError(
                f"size is {size}, crop_size {config['crop_size']}, resample {config['resample']!r}; expected "
                "squares and a filter of Pillow, 0 to 5"
            )
        return cls(
            crop.pop(), _channels(config["image_mean"]), _channels(config["image_std"]), sides.pop(),
            names[config["resample"]], squash, config.get(CENTRE, "nearest"),
        )  # fmt: skip

    def to_config(self) -> dict[str, Any]:
        """preprocessor_config.json: the CLIPImageProcessorPil of transformers reads it and gives the same
        pixels, but where `rounding` is nearest and the rest odd: it begins the square one pixel earlier."""
        size = self.image_size
        square, shorter = {"height": self.resize, "width": self.resize}, {"shortest_edge": self.resize}
        config = {
            "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True,
            "do_resize": True, "size": square if self.squash else shorter,
            "resample": RESAMPLE[self.interpolation],
            "do_center_crop": True, "crop_size": {"height": size, "width": size},
            "do_rescale": True, "rescale_factor": 1 / 255,
            "do_normalize": True, "image_mean": list(self.mean), "image_std": list(self.std),
        }  # fmt: skip
        return config if self.rounding == "nearest" else config | {CENTRE: self.rounding}

    def at(self, size: int) -> Preprocessing:
        """The same for inputs of another size, with the same share of the picture."""
        return replace(self, image_size=size, resize=size * self.resize // self.image_size)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The sides of such a picture before the crop. In whole numbers a side may fall short of what it is
        by one; so do those of torchvision, timm and transformers."""
        if self.squash:
            return self.resize, self.resize
        short = min(height, width)
        return int(self.resize * height / short), int(self.resize * width / short)

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """The upper left corner of the square in a picture of these sides, already resized."""
        rest = height - self.image_size, width - self.image_size
        if self.rounding == "down":
            return rest[0] // 2, rest[1] // 2
        return round(rest[0] / 2), round(rest[1] / 2)

    def seen(self, height: int, width: int) -> Seen:
        """The part of a picture of these sides that the model sees."""
        sides = (height, width) if self.squash else (min(height, width),) * 2
        rows, columns = (max(1, round(side * self.image_size / self.resize)) for side in sides)
        return Seen(height, width, (height - rows) // 2, (width - columns) // 2, rows, columns)


def _channels(values: Sequence[float]) -> Channels:
    red, green, blue = values if len(values) == 3 else (*values,) * 3
    for value in (red, green, blue):
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"preprocessing: a channel has {value!r}, expected a finite number")
    return red, green, blue
