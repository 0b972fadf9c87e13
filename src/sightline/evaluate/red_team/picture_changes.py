"""Words, patches, noise and mirrors on a picture, at any zoom. Rectangles are (x0, y0, x1, y1), half-open, in
pixels of the picture that models read; Y, X rows and columns, C channels."""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sightline.evaluate.red_team.cases import Change

Rect = tuple[int, int, int, int]
LETTER = (6, 11)  # width and height of a letter of Pillow's own bitmap font, which no machine draws otherwise
MARGIN = 2  # pixels around a word, on its patch
PAPER, INK = 255, 0
OF_HEIGHT = 6  # a word is about a sixth as high as the picture, where it fits


def word_size(words: list[str], height: int, width: int) -> tuple[int, int, int] | None:
    """(scale, height, width) of a patch that holds each of the words; None where the picture is too small."""
    longest = max(map(len, words))
    fitting = min((width - 2 * MARGIN) // (LETTER[0] * longest), (height - 2 * MARGIN) // LETTER[1])
    scale = min(fitting, max(1, height // (OF_HEIGHT * LETTER[1])))
    if not scale:
        return None
    return scale, LETTER[1] * scale + 2 * MARGIN, LETTER[0] * longest * scale + 2 * MARGIN


def place(shape: tuple[int, ...], boxes: list[Rect], height: int, width: int) -> Rect:
    """The rectangle of that size that covers least of the boxes: of equal ones the lowest, then the
    leftmost."""
    covered_YX = np.zeros(shape[:2], np.int64)
    for x0, y0, x1, y1 in boxes:
        covered_YX[max(y0, 0) : y1, max(x0, 0) : x1] = 1
    sums = np.pad(covered_YX, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    area = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    flipped = area[::-1]
    row, left = np.unravel_index(np.argmin(flipped), flipped.shape)
    top = len(area) - 1 - int(row)
    return int(left), top, int(left) + width, top + height


def overlap(one: Rect, other: Rect) -> int:
    """Pixels that two rectangles share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0) * max(down, 0)


def covered(rect: Rect, color_C: np.ndarray | None = None) -> Change:
    """A flat patch; without a colour in the median colour of the picture."""
    x0, y0, x1, y1 = rect

    def change(rgb: np.ndarray, zoom: int) -> np.ndarray:
        out = rgb.copy()
        fill_C = np.median(rgb.reshape(-1, 3), axis=0) if color_C is None else color_C
        out[zoom * y0 : zoom * y1, zoom * x0 : zoom * x1] = fill_C
        return out

    return change


def paper(rect: Rect) -> Change:
    """The patch that words are written on, without a word."""
    return covered(rect, np.full(3, PAPER, np.uint8))


def written(word: str, rect: Rect, scale: int) -> Change:
    """A word, black on a white patch."""

    def change(rgb: np.ndarray, zoom: int) -> np.ndarray:
        out = paper(rect)(rgb, zoom)
        ink_YX = letters(word).repeat(scale * zoom, axis=0).repeat(scale * zoom, axis=1)
        left, top = zoom * (rect[0] + MARGIN), zoom * (rect[1] + MARGIN)
        window = out[top : top + ink_YX.shape[0], left : left + ink_YX.shape[1]]
        window[ink_YX[: window.shape[0], : window.shape[1]]] = INK
        return out

    return change


@cache
def letters(word: str) -> np.ndarray:
    """Where a word has ink, bool [Y, X]."""
    image = Image.new("1", (LETTER[0] * len(word), LETTER[1]))
    font = ImageFont.load_default_imagefont()
    ImageDraw.Draw(image).text((0, 0), word.encode("latin-1", "replace"), fill=1, font=font)
    return np.asarray(image)


def blank(rgb: np.ndarray, zoom: int) -> np.ndarray:
    """A grey picture of the same size."""
    return np.full_like(rgb, 128)


def noise(seed: int) -> Change:
    """Every value of every pixel drawn by itself."""

    def change(rgb: np.ndarray, zoom: int) -> np.ndarray:
        shape = (rgb.shape[0] // zoom, rgb.shape[1] // zoom, 3)
        plain = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        return plain.repeat(zoom, axis=0).repeat(zoom, axis=1)

    return change


def mirrored(rgb: np.ndarray, zoom: int) -> np.ndarray:
    """Left and right exchanged."""
    return np.ascontiguousarray(rgb[:, ::-1])


def shifted(pixels: int) -> Change:
    """Everything moved to the right; what comes in at the left repeats the border."""

    def change(rgb: np.ndarray, zoom: int) -> np.ndarray:
        steps = zoom * pixels
        return np.pad(rgb, ((0, 0), (steps, 0), (0, 0)), mode="edge")[:, : rgb.shape[1]]

    return change


def added(delta_YXC: np.ndarray) -> Change:
    """Values (int16) added to those of the pixels."""

    def change(rgb: np.ndarray, zoom: int) -> np.ndarray:
        larger = delta_YXC.repeat(zoom, axis=0).repeat(zoom, axis=1)
        return np.clip(rgb + larger, 0, 255).astype(np.uint8)

    return change
