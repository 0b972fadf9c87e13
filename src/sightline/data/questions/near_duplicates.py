"""Near-duplicates: one photograph encoded, scaled, cropped or brightened anew, told from a look-alike.

A picture is compared in its content: what a plain background surrounds, or all of it without one. Otherwise
everything on white is like everything else on white. Candidates are the nearest thumbnails of a later split,
by FAISS (https://arxiv.org/abs/2401.08281). A candidate is a copy if its content, laid over the other one
(Lucas and Kanade 1981, inverse compositional: Baker and Matthews 2004), differs nowhere from what the other
shows within a pixel.

Y, X, C: rows, columns, channels; N: pictures, D: numbers of a thumbnail, K: candidates of one; S: side of
compared contents; P: the three numbers of an alignment: scale, shift to the right, shift down.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np
from PIL import Image, ImageFilter

from sightline.data.images import decode

THUMBNAIL = 10  # side: coarse enough that a crop of 5 % hardly changes it
NEIGHBOURS = 3  # candidates of a picture: of 99 % of planted copies the original is among them
LIKENESS = 0.9  # cosine of the thumbnails of a pair that is looked at; planted copies found have more
EXACT_UP_TO = 1 << 17  # pictures that are searched one by one; more are sorted into lists
PROBED = 16
BLOCK = 1 << 12  # pictures asked for at a time
SEEN = 64  # longer side of the picture in which the content is looked for
RING, RING_SHARE = 12, 0.8  # levels, and the share of a picture's edge that agrees to them on a background
FAINT, FULL = 8, 24  # levels from the background: what is less is noise; what is more counts alike
SPREAD = 1.75  # half of the content's side, in standard deviations of where it is: a line is just contained
SMALLEST, LARGEST = 24, 160  # sides of compared contents: of the smaller picture, so that no blur is compared
COARSE = 48  # side that tells most pairs apart
MARGIN = 0.08  # of the side: an edge that a crop or an alignment may have taken away is not compared
STEPS = 6  # of the alignment at most, at each of two sides
SETTLED = 0.002  # of the side: an alignment that moves less is done
ALIGNED_AT = (16, 32)
REACH = 0.15  # largest change of scale, and shift as a share of the side, that an alignment finds
CONTRAST = 50.0  # standard deviation, levels: fainter contents have their differences enlarged to it
TOLERANCE = 10.0  # levels that compression changes
SMOOTH = ImageFilter.GaussianBlur(0.8)


@dataclass(frozen=True)
class Limits:
    """What a copy keeps. correlation: of the laid-over contents, at least; gain: one contrast over the other,
    at most; difference: levels, mean of the worst small area, at most. docs/reports/duplicates.md measures
    them."""

    correlation: float = 0.9
    gain: float = 1.35
    difference: float = 10.0


LIMITS = Limits()


@dataclass(frozen=True)
class Content:
    """Where the content of a picture is: a square around (across, down), in pixels, that may reach beyond the
    picture; the colour of the background is there."""

    picture: Image.Image
    across: float
    down: float
    side: float
    background: tuple[int, int, int]

    def shown(self, side: int) -> np.ndarray:
        """The content, float32 [side, side, 3]."""
        left, top = self.across - self.side / 2, self.down - self.side / 2
        right, bottom = left + self.side, top + self.side
        picture = self.picture
        pad = max(0, int(np.ceil(max(-left, -top, right - picture.width, bottom - picture.height))))
        if pad:
            canvas = Image.new("RGB", (picture.width + 2 * pad, picture.height + 2 * pad), self.background)
            canvas.paste(picture, (pad, pad))
            picture = canvas
        box = (left + pad, top + pad, right + pad, bottom + pad)
        return np.asarray(picture.resize((side, side), Image.Resampling.BOX, box), dtype=np.float32)


def content(rgb_YXC: np.ndarray) -> Content:
    """The content of a picture (uint8): its middle where the edge is not plain or nothing is on it.

    The square is laid by mean and spread of what differs from the background. A threshold would jump with
    every encoding, most of all around white things on white.
    """
    picture = Image.fromarray(rgb_YXC)
    scale = SEEN / max(picture.size)
    small = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BOX)
    small_YXC = np.asarray(small, dtype=np.float32)
    ring_RC = np.concatenate([small_YXC[0], small_YXC[-1], small_YXC[:, 0], small_YXC[:, -1]])
    background_C = np.median(ring_RC, axis=0)
    plain = float((np.abs(ring_RC - background_C).max(axis=1) <= RING).mean())
    weight_YX = np.clip(np.abs(small_YXC - background_C).max(axis=2) - FAINT, 0.0, FULL - FAINT)
    total = float(weight_YX.sum())
    red, green, blue = (int(level) for level in background_C)
    if plain < RING_SHARE or total < (FULL - FAINT) * SEEN / 4:
        middle = picture.width / 2, picture.height / 2
        return Content(picture, *middle, float(min(picture.size)), (red, green, blue))
    across, wide = _spread(weight_YX.sum(axis=0) / total, picture.width)
    down, high = _spread(weight_YX.sum(axis=1) / total, picture.height)
    return Content(picture, across, down, 2 * SPREAD * (wide + high) ** 0.5, (red, green, blue))


def _spread(share_n: np.ndarray, pixels: int) -> tuple[float, float]:
    """Mean and variance, in pixels, of what is distributed so over a side."""
    at_n = (np.arange(len(share_n)) + 0.5) * pixels / len(share_n)
    middle = float(share_n @ at_n)
    return middle, float(share_n @ (at_n - middle) ** 2) + 1.0


def thumbnail(rgb_YXC: np.ndarray) -> np.ndarray:
    """The content of a picture as [D] bytes."""
    return content(rgb_YXC).shown(THUMBNAIL).astype(np.uint8).reshape(-1)


def thumbnails(shard: tuple[list[tuple[str, bytes]], int]) -> np.ndarray:
    """[n, D] bytes of some pictures (name, encoded bytes); beside them the most pixels that one may have."""
    pictures, max_pixels = shard
    return np.stack([thumbnail(decode(data, max_pixels, name)) for name, data in pictures])


def candidates(thumbnails_ND: np.ndarray, ranks_N: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs (picture, one of a higher rank) whose thumbnails are alike; per picture at most NEIGHBOURS.

    By picture, then by likeness. Memory grows with the number of pictures; time with its square up to
    EXACT_UP_TO pictures, and with its power of 1.5 beyond.
    """
    for rank in np.unique(ranks_N)[:-1]:
        asking_n, asked_m = np.flatnonzero(ranks_N == rank), np.flatnonzero(ranks_N > rank)
        index = _index(thumbnails_ND, asked_m)
        for start in range(0, len(asking_n), BLOCK):
            block_n = asking_n[start : start + BLOCK]
            likeness_nK, position_nK = index.search(
                standardised(thumbnails_ND[block_n]), min(NEIGHBOURS, len(asked_m))
            )
            for row, column in zip(*np.nonzero((likeness_nK >= LIKENESS) & (position_nK >= 0)), strict=True):
                yield int(block_n[row]), int(asked_m[position_nK[row, column]])


def _index(thumbnails_ND: np.ndarray, asked_m: np.ndarray) -> faiss.Index:
    width = thumbnails_ND.shape[1]
    index: faiss.Index = faiss.IndexFlatIP(width)
    if len(asked_m) > EXACT_UP_TO:
        lists = round(4 * len(asked_m) ** 0.5)
        sorted_index = faiss.IndexIVFFlat(index, width, lists, faiss.METRIC_INNER_PRODUCT)
        sorted_index.nprobe = PROBED
        every = max(1, len(asked_m) // (64 * lists))
        sorted_index.train(standardised(thumbnails_ND[asked_m[::every]]))
        index = sorted_index
    for start in range(0, len(asked_m), BLOCK):
        index.add(standardised(thumbnails_ND[asked_m[start : start + BLOCK]]))
    return index


def standardised(bytes_ND: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1, so that a gain and an offset common to all channels are gone. A row that
    varies by less than a level is 0, and like nothing."""
    rows_ND = bytes_ND.astype(np.float32)
    rows_ND -= rows_ND.mean(axis=1, keepdims=True)
    length_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return np.divide(
        rows_ND, length_N1, out=np.zeros_like(rows_ND), where=length_N1 > rows_ND.shape[1] ** 0.5
    )


@dataclass(frozen=True)
class Comparison:
    """See Limits. The difference of a pair that the others rule out is not measured."""

    correlation: float
    gain: float = np.inf
    difference: float = np.inf

    def same(self, limits: Limits = LIMITS) -> bool:
        """Whether the pair is one photograph."""
        return (
            self.correlation >= limits.correlation
            and self.gain <= limits.gain
            and self.difference <= limits.difference
        )


def compare(one: Content, other: Content, limits: Limits = LIMITS) -> Comparison:
    """How far the content of one picture is that of another: at COARSE, and at full size if it passes."""
    side = int(np.clip(min(one.side, other.side), SMALLEST, LARGEST))
    coarse = min(COARSE, side)
    first = _compared(one.shown(coarse), other.shown(coarse), limits)
    if coarse == side or not first.same(limits):
        return first
    full = _compared(one.shown(side), other.shown(side), limits)
    return Comparison(full.correlation, full.gain, max(first.difference, full.difference))


def _compared(one_SSC: np.ndarray, other_SSC: np.ndarray, limits: Limits) -> Comparison:
    alignment_P = align(one_SSC, other_SSC)
    other_SSC = np.stack([_laid_over(other_SSC[..., channel], alignment_P) for channel in range(3)], -1)
    inner = _inner(len(one_SSC))
    one_SSC, mean, spread = _centred(one_SSC, inner)
    other_SSC, _, other_spread = _centred(other_SSC, inner)
    both = one_SSC[inner, inner] * other_SSC[inner, inner]
    correlation = float(both.mean()) / (spread * other_spread)
    ratio = max(spread / other_spread, other_spread / spread)
    if correlation < limits.correlation or ratio > limits.gain:
        return Comparison(correlation, ratio)
    gain = CONTRAST / min(spread, CONTRAST)
    excess_SS = _beyond_a_pixel(one_SSC * gain + mean, other_SSC * (gain * spread / other_spread) + mean)
    return Comparison(correlation, ratio, _worst_area(excess_SS[inner, inner]))


def _inner(side: int) -> slice:
    edge = max(1, round(MARGIN * side))
    return slice(edge, side - edge)


def _centred(shown_SSC: np.ndarray, inner: slice) -> tuple[np.ndarray, float, float]:
    """Values without their mean, the mean, the standard deviation: of all channels together."""
    seen = shown_SSC[inner, inner]
    mean = float(seen.mean())
    return shown_SSC - mean, mean, max(float(seen.std()), 1.0)


def align(one_SSC: np.ndarray, other_SSC: np.ndarray) -> np.ndarray:
    """The [P] that lays `other` over `one`: grey, coarse to fine, for any gain and offset."""
    alignment_P = np.array([1.0, 0.0, 0.0])
    low_P, high_P = alignment_P - REACH, alignment_P + REACH
    for side in ALIGNED_AT:
        one_SS, other_SS, inner = _grey(one_SSC, side), _grey(other_SSC, side), _inner(side)
        down_SS, across_SS = np.gradient(one_SS)
        at_S = (np.arange(side) + 0.5) / side - 0.5
        grown_SS = across_SS * at_S + down_SS * at_S[:, None]
        slopes_nP = side * np.stack([grown_SS, across_SS, down_SS], -1)[inner, inner].reshape(-1, 3)
        solved_Pn = np.linalg.solve(slopes_nP.T @ slopes_nP + 1e-3 * side**2 * np.eye(3), slopes_nP.T)
        for _ in range(STEPS):
            error_n = (_laid_over(other_SS, alignment_P) - one_SS)[inner, inner].reshape(-1)
            scale, right, down = step_P = solved_Pn @ error_n
            new_scale = alignment_P[0] / (1.0 + scale)
            shift_2 = alignment_P[1:] - new_scale * np.array([right, down])
            alignment_P = np.clip(np.array([new_scale, *shift_2]), low_P, high_P)
            if np.abs(step_P).max() < SETTLED:
                break
    return alignment_P


def _grey(shown_SSC: np.ndarray, side: int) -> np.ndarray:
    """[side, side] of mean 0 and deviation 1."""
    grey = Image.fromarray(shown_SSC.mean(axis=2)).resize((side, side), Image.Resampling.BOX)
    grey_SS = np.asarray(grey, dtype=np.float32)
    return (grey_SS - grey_SS.mean()) / max(float(grey_SS.std()), 1.0)


def _laid_over(values_SS: np.ndarray, alignment_P: np.ndarray) -> np.ndarray:
    side = len(values_SS)
    scale, right, down = (float(number) for number in alignment_P)
    first = (1 - scale) / 2
    coefficients = (scale, 0.0, side * (first + right), 0.0, scale, side * (first + down))
    image = Image.fromarray(values_SS)
    moved = image.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(moved, dtype=np.float32)


def _beyond_a_pixel(one_SSC: np.ndarray, other_SSC: np.ndarray) -> np.ndarray:
    """[S, S]: by how many levels each shows what the other does not within a pixel, but for TOLERANCE. So a
    blur, or an alignment that is half a pixel off, is no difference, and a watch's other hand is one."""
    one_SSC, other_SSC = (
        np.asarray(Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).filter(SMOOTH))
        for values in (one_SSC, other_SSC)
    )
    beyond_SSC = np.maximum(_outside(one_SSC, other_SSC), _outside(other_SSC, one_SSC))
    return np.maximum(beyond_SSC.max(axis=2) - TOLERANCE, 0.0)


def _outside(one_SSC: np.ndarray, other_SSC: np.ndarray) -> np.ndarray:
    low_SSC, high_SSC = (_nearby(one_SSC, extreme).astype(np.int16) for extreme in (np.minimum, np.maximum))
    values_SSC = other_SSC.astype(np.int16)
    return np.maximum(values_SSC - high_SSC, low_SSC - values_SSC)


def _nearby(values_SSC: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The least or the greatest value within a pixel."""
    result = values_SSC.copy()
    for axis in (0, 1):
        here, there = ([slice(None)] * 2 for _ in range(2))
        here[axis], there[axis] = slice(1, None), slice(None, -1)
        first, last = tuple(here), tuple(there)
        before = result.copy()
        result[first] = extreme(result[first], before[last])
        result[last] = extreme(result[last], before[first])
    return result


def _worst_area(excess_SS: np.ndarray) -> float:
    """The largest mean over squares of a sixteenth of the side."""
    square = max(2, round(len(excess_SS) / 16))
    count = len(excess_SS) // square
    cut_SS = excess_SS[: count * square, : count * square]
    return float(cut_SS.reshape(count, square, count, square).mean(axis=(1, 3)).max())
