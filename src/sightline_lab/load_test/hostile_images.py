"""Hostile pictures from a seed: a server must refuse or answer each of them quickly and in little memory."""

import base64
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

MOST = 13_000_000  # pixels that the server takes; the worst pictures stay just below it
GOOD = (64, 48)

Draw = np.random.Generator


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def encoded(kind: str, size: tuple[int, int], mode: str = "RGB", **more) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 7).save(file, kind, **more)
    return file.getvalue()


def png_of(width: int, height: int, data: bytes, colour: int = 0) -> bytes:
    """A PNG of 8 bits that claims a size; its pixels need not be there. colour: 0 grey, 2 RGB, 6 RGBA."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _photo(draw: Draw) -> bytes:
    rgb = draw.integers(0, 256, (*GOOD[::-1], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, draw.choice(["PNG", "JPEG", "WEBP", "GIF"]))
    return file.getvalue()


def _bomb(draw: Draw) -> str:
    """Few bytes, gigabytes of pixels."""
    side = int(draw.integers(20_000, 65_000))
    return url(png_of(side, side, zlib.compress(bytes(10**6), 9)))


def _just_allowed(draw: Draw) -> str:
    """As many pixels as are taken, in a few kilobytes: the most that decoding may cost."""
    width = int(draw.integers(2_000, 6_000))
    size, kind = (width, MOST // width), draw.integers(0, 4)
    if kind == 0:
        return url(encoded("PNG", size, "RGBA", compress_level=1))
    if kind == 1:
        return url(encoded("JPEG", size, "L"), "jpeg")
    if kind == 2:
        exif = Image.Exif()
        exif[0x0112] = int(draw.integers(2, 9))
        return url(encoded("JPEG", size, exif=exif), "jpeg")
    return url(encoded("PNG", size, "P", transparency=7, compress_level=1))


def _little_of_much(draw: Draw) -> str:
    """An allowed size whose pixels are missing, after memory was taken for them."""
    width = int(draw.integers(2_000, 6_000))
    return url(png_of(width, MOST // width, zlib.compress(bytes(1_000)), int(draw.choice([0, 2, 6]))))


def _narrow(draw: Draw) -> str:
    return url(png_of(int(draw.integers(10**5, 2 * 10**6)), 5, zlib.compress(bytes(1000))))


def _cut(draw: Draw) -> str:
    data = _photo(draw)
    return url(data[: int(draw.integers(0, len(data)))])


def _flipped(draw: Draw) -> str:
    data = bytearray(_photo(draw))
    for index in draw.integers(0, len(data), 12):
        data[index] ^= int(draw.integers(1, 256))
    return url(bytes(data))


def _other_type(draw: Draw) -> str:
    kind = draw.integers(0, 5)
    data = (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"PK\x03\x04" + bytes(99),
        encoded("TIFF", GOOD), encoded("ICO", GOOD),
    )[kind]  # fmt: skip
    return url(data, str(draw.choice(["png", "jpeg", "svg+xml"])))


def _noise(draw: Draw) -> str:
    return url(draw.bytes(int(draw.integers(1, 10**6))))


def _much_noise(draw: Draw) -> str:
    """More bytes than a picture may have, or nearly so."""
    return url(draw.bytes(int(draw.integers(7 << 20, 10 << 20))))


def _animation(draw: Draw) -> str:
    frames = [Image.new("RGB", (200, 200), tuple(draw.integers(0, 256, 3).tolist())) for _ in range(60)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return url(file.getvalue(), "gif")


def _no_picture(draw: Draw) -> str:
    return str(
        draw.choice(
            ["file:///etc/passwd", "http://127.0.0.1:1/a.png", "https://[::1]/a.png", "javascript:alert(1)",
             "data:image/png;base64,***", "data:text/html;base64,PGI+", "\x00", "data:image/png,plain"]
        )
    )  # fmt: skip


KINDS: dict[str, Callable[[Draw], str]] = {
    "bombs": _bomb, "as large as allowed": _just_allowed, "pixels missing": _little_of_much,
    "narrow": _narrow, "cut off": _cut, "flipped bytes": _flipped, "another type": _other_type,
    "noise": _noise, "too many bytes": _much_noise, "animations": _animation, "no picture": _no_picture,
}  # fmt: skip


def sample(number: int) -> tuple[str, str]:
    """(kind, address) of hostile upload `number`; the kinds alternate."""
    kind = list(KINDS)[number % len(KINDS)]
    return kind, KINDS[kind](np.random.default_rng(number))
