"""Encoded pictures to plain sRGB and back: allow-listed formats, pixels limited before decoding.

What is decoded here takes the time and the memory that it likes: pictures from elsewhere go through
`image_workers`, which runs this in a process with a budget. Here are those that Sightline wrote itself.

Y, X: rows and columns; every picture in memory is RGB uint8 [Y, X, 3].
"""

import base64
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM")
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
JPEG_QUALITY = 92
ORIENTATION_TAG = 0x0112
# EXIF orientation -> how the upright picture is stored: rows and columns exchanged, and which axes of the
# upright picture are then reversed (EXIF 2.32, table 6)
UPRIGHT = {
    1: (False, 1, 1), 2: (False, 1, -1), 3: (False, -1, -1), 4: (False, -1, 1),
    5: (True, 1, 1), 6: (True, 1, -1), 7: (True, -1, -1), 8: (True, -1, 1),
}  # fmt: skip
SMALL = 128  # pages enlarge pictures up to this side pixel by pixel, and hold them without loss
STRIP = 1 << 18  # pixels that are converted at once: whole pictures would be held in memory several times
# JPEG segments without private data: tables, frames, restart interval, JFIF (E0), Adobe colour transform (EE)
JPEG_SEGMENTS = {0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xE0, 0xEE}


class ImageError(ValueError):
    """A refused picture. `reason`: empty | format | too_many_pixels | truncated | broken | too_dear."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """How it travels between own processes."""
        return type(self), (self.reason, str(self))


def decode(
    data: bytes, max_pixels: int, name: str = "", sized: Callable[[int], None] | None = None
) -> np.ndarray:
    """Encoded bytes -> upright sRGB uint8 [Y, X, 3].

    Of an animation the first frame; transparency over white; a colour profile is applied, or ignored if it is
    broken, as browsers do. sized: called with the number of pixels before they are decoded.
    Raises ImageError (with a reason code) for everything else that cannot be read completely.
    """
    with _opened(data, max_pixels, name) as image:
        if sized:
            sized(image.width * image.height)
        image.load()
        return _to_srgb(image)


def shrink(rgb: np.ndarray, side: int) -> np.ndarray:
    """Scales [Y, X, 3] down so that its longer side is `side` pixels; never enlarges."""
    size = _fit(rgb.shape[1], rgb.shape[0], side)
    if size == (rgb.shape[1], rgb.shape[0]):
        return rgb
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))


def encode(rgb: np.ndarray, ext: str = "png", quality: int = JPEG_QUALITY) -> tuple[bytes, str]:
    """[Y, X, 3] -> (encoded bytes without metadata, extension). "png" loses nothing and also takes [Y, X, 4],
    "jpg" suits photos."""
    out = io.BytesIO()
    if ext == "png":
        Image.fromarray(rgb).save(out, "PNG", optimize=False)
    else:
        Image.fromarray(rgb).save(out, "JPEG", quality=quality)
    return out.getvalue(), ext


def data_url(data: bytes, kind: str) -> str:
    """An encoded picture ("png", "jpeg") as an address that a page holds in itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def picture_url(pixels: np.ndarray) -> str:
    """[Y, X, 3], or [Y, X, 4] where it is transparent, as such an address, without metadata: JPEG for what is
    larger than SMALL and opaque."""
    if pixels.shape[2] == 4 or max(pixels.shape[:2]) <= SMALL:
        return data_url(encode(pixels)[0], "png")
    return data_url(encode(pixels, "jpg")[0], "jpeg")


def prepare(
    data: bytes, max_pixels: int, side: int, name: str = "", sized: Callable[[int], None] | None = None
) -> tuple[bytes, str]:
    """Encoded bytes from outside -> (bytes to keep, extension): fully decodable, at most `side`, no metadata.

    A small JPEG that holds nothing but pixels keeps its bytes; anything else becomes one: readers of shards
    want one kind of picture. sized: as for `decode`. Raises ImageError.
    """
    rgb = decode(data, max_pixels, name, sized)
    if max(rgb.shape[:2]) <= side and data[:2] == b"\xff\xd8" and _jpeg_only_pixels(data):
        return data, "jpg"
    return encode(shrink(rgb, side), "jpg")


def label(name: str) -> str:
    """A picture in a message."""
    return f"picture {name}" if name else "the picture"


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= side:
        return width, height
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


@contextmanager
def _opened(data: bytes, max_pixels: int, name: str) -> Iterator[Image.Image]:
    """The picture with its header read and its size checked; what fails inside becomes an ImageError."""
    if not data:
        raise ImageError("empty", f"{label(name)} is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ImageError(
                    "too_many_pixels",
                    f"{label(name)} has {image.width} x {image.height} pixels, data.max_pixels allows "
                    f"{max_pixels}",
                )
            yield image
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            "too_many_pixels", f"{label(name)}: {error}; data.max_pixels allows {max_pixels}"
        ) from error
    except UnidentifiedImageError as error:
        if data.startswith(MAGIC):
            raise ImageError("broken", f"{label(name)}: its header cannot be read") from error
        raise ImageError("format", f"{label(name)} is not one of {', '.join(FORMATS)}") from error
    except MemoryError:
        raise
    except Exception as error:  # hostile bytes raise nearly anything inside Pillow's parsers
        cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise ImageError(
            "truncated" if cut else "broken", f"{label(name)} cannot be decoded: {error}"
        ) from error


def _to_srgb(image: Image.Image) -> np.ndarray:
    """Upright sRGB uint8 [Y, X, 3] of a decoded picture, strip by strip."""
    if image.mode == "F":
        raise ImageError("format", "floating-point pictures are not supported")
    exchanged, down, right = UPRIGHT.get(_orientation(image), UPRIGHT[1])
    size_YX = (image.width, image.height) if exchanged else (image.height, image.width)
    rgb_YXC = np.empty((*size_YX, 3), dtype=np.uint8)
    stored = rgb_YXC[::down, ::right]
    stored = stored.transpose(1, 0, 2) if exchanged else stored
    profile = _profile(image)
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        stored[top : top + rows] = np.asarray(_strip_to_srgb(strip, profile))
    return rgb_YXC


def _strip_to_srgb(image: Image.Image, profile: ImageCms.ImageCmsTransform | None) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits: keep the upper 8, as Pillow does for 16-bit colour
        wide_YX = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        image = Image.fromarray((wide_YX >> 8).astype(np.uint8))
    if profile:
        try:
            image = cast(Image.Image, ImageCms.applyTransform(image, profile))  # None only in place
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels: the picture stays as stored
        return 1


def _profile(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """From the picture's own colours to sRGB; None where it has no profile or a broken one."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK", "L"):
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _jpeg_only_pixels(data: bytes) -> bool:
    """Whether this decodable JPEG has no metadata, profile or comment, and nothing after its end."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] in JPEG_SEGMENTS:
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    if data[position : position + 2] != b"\xff\xda":
        return False
    # Inside coded pixels FF is followed by 00 or a restart mark, so the first of these is a real segment.
    mark = re.compile(rb"\xff[\xd9\xe0-\xef\xfe]").search(data, position)
    return mark is not None and data[mark.start() :] == b"\xff\xd9"
