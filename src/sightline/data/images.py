"""Pictures from anywhere, made safe: allow-listed formats, limits checked before decoding, plain sRGB out.

Y, X: rows and columns; every picture in memory is RGB uint8 [Y, X, 3].
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM")
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
JPEG_QUALITY = 92
ORIENTATION_TAG = 0x0112
# EXIF orientation -> the operation that sets the picture upright (EXIF 2.32, table 6)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PNG_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# JPEG segments without private data: tables, frames, restart interval, JFIF (E0), Adobe colour transform (EE)
JPEG_SEGMENTS = {0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xE0, 0xEE}


class ImageError(ValueError):
    """A refused picture. `reason`: empty | format | too_many_pixels | truncated | broken."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def decode(data: bytes, max_pixels: int, name: str = "") -> np.ndarray:
    """Encoded bytes -> upright sRGB uint8 [Y, X, 3].

    Of an animation the first frame; transparency over white; a colour profile is applied, or ignored if it is
    broken, as browsers do.
    Raises ImageError (with a reason code) for everything else that cannot be read completely.
    """
    return np.array(_decode(data, max_pixels, name))


def size(data: bytes, max_pixels: int, name: str = "") -> tuple[int, int]:
    """(width, height) as the header says, before the picture is turned upright; nothing is decoded.

    Raises ImageError as `decode` does."""
    with _opened(data, max_pixels, name) as image:
        return image.size


def shrink(rgb: np.ndarray, side: int) -> np.ndarray:
    """Scales [Y, X, 3] down so that its longer side is `side` pixels; never enlarges."""
    size = _fit(rgb.shape[1], rgb.shape[0], side)
    if size == (rgb.shape[1], rgb.shape[0]):
        return rgb
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))


def encode(rgb: np.ndarray, ext: str = "png") -> tuple[bytes, str]:
    """[Y, X, 3] -> (encoded bytes without metadata, extension). "png" loses nothing, "jpg" suits photos."""
    out = io.BytesIO()
    if ext == "png":
        Image.fromarray(rgb).save(out, "PNG", optimize=False)
    else:
        Image.fromarray(rgb).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue(), ext


def prepare(data: bytes, max_pixels: int, side: int, name: str = "") -> tuple[bytes, str]:
    """Encoded bytes from outside -> (bytes to keep, extension): fully decodable, at most `side`, no metadata.

    A small JPEG or PNG that holds nothing but pixels keeps its bytes; anything else is encoded again.
    Raises ImageError.
    """
    rgb = decode(data, max_pixels, name)
    if max(rgb.shape[:2]) <= side and _only_pixels(data):
        return data, "jpg" if data[:2] == b"\xff\xd8" else "png"
    return encode(shrink(rgb, side), "jpg")


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= side:
        return width, height
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _decode(data: bytes, max_pixels: int, name: str) -> Image.Image:
    with _opened(data, max_pixels, name) as image:
        image.load()
        return _to_srgb(image)


@contextmanager
def _opened(data: bytes, max_pixels: int, name: str) -> Iterator[Image.Image]:
    """The picture with its header read and its size checked; what fails inside becomes an ImageError."""
    who = f"picture {name}" if name else "the picture"
    if not data:
        raise ImageError("empty", f"{who} is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise ImageError(
                    "too_many_pixels",
                    f"{who} has {image.width} x {image.height} pixels, data.max_pixels allows {max_pixels}",
                )
            yield image
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("too_many_pixels", f"{who}: {error}; data.max_pixels allows {max_pixels}") from error
    except UnidentifiedImageError as error:
        if data.startswith(MAGIC):
            raise ImageError("broken", f"{who}: its header cannot be read") from error
        raise ImageError("format", f"{who} is not one of {', '.join(FORMATS)}") from error
    except MemoryError:
        raise
    except Exception as error:  # hostile bytes raise nearly anything inside Pillow's parsers
        cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise ImageError("truncated" if cut else "broken", f"{who} cannot be decoded: {error}") from error


def _to_srgb(image: Image.Image) -> Image.Image:
    upright = UPRIGHT.get(_orientation(image))
    profile = image.info.get("icc_profile")
    if image.mode == "F":
        raise ImageError("format", "floating-point pictures are not supported")
    if image.mode.startswith("I"):  # 16 bits: keep the upper 8, as Pillow does for 16-bit colour
        wide_YX = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        image, profile = Image.fromarray((wide_YX >> 8).astype(np.uint8)), None
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _apply_profile(image, profile)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    return image if upright is None else image.transpose(upright)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels: the picture stays as stored
        return 1


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _only_pixels(data: bytes) -> bool:
    """Whether this decodable JPEG or PNG has no metadata, profile or comment, and nothing after its end."""
    if data[:2] == b"\xff\xd8":
        return _jpeg_only_pixels(data)
    return data[:8] == b"\x89PNG\r\n\x1a\n" and _png_only_pixels(data)


def _png_only_pixels(data: bytes) -> bool:
    position, kind = 8, b""
    while position + 12 <= len(data):
        kind = data[position + 4 : position + 8]
        if kind not in PNG_CHUNKS:
            return False
        position += 12 + int.from_bytes(data[position : position + 4])
        if kind == b"IEND":
            break
    return kind == b"IEND" and position == len(data)


def _jpeg_only_pixels(data: bytes) -> bool:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] in JPEG_SEGMENTS:
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    if data[position : position + 2] != b"\xff\xda":
        return False
    # Inside coded pixels FF is followed by 00 or a restart mark, so the first of these is a real segment.
    mark = re.compile(rb"\xff[\xd9\xe0-\xef\xfe]").search(data, position)
    return mark is not None and data[mark.start() :] == b"\xff\xd9"
