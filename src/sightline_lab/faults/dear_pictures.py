"""Small pictures inside every limit of bytes and pixels that take seconds or minutes to decode. All but the
last kind hold too much beside their pixels, which is counted before they are decoded."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable

from PIL import Image

SIDE = 1900  # of the picture with repeated scans: 3.6 megapixels


def gif_of_comments(size: int) -> bytes:
    """About `size` bytes of one-letter comments before a picture of one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes([10, 20, 30, 200, 210, 220])
    image = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00;"
    return head + b"!\xfe\x01x\x00" * (size // 5) + image


def ppm_of_comments(size: int) -> bytes:
    """Lines of comments where the pixels should be."""
    return b"P3\n100 100\n255\n" + b"#\n" * (size // 2)


def jpeg_of_exif(size: int) -> bytes:
    """Thousands of EXIF segments before a picture of 16 x 16 pixels."""
    segment = b"\xff\xe1" + struct.pack(">H", 18) + b"Exif\0\0" + bytes(10)
    plain = _jpeg(16)
    return plain[:2] + segment * (size // len(segment)) + plain[2:]


def jpeg_of_scans(size: int) -> bytes:
    """A progressive picture whose last first scan of details comes again and again."""
    segments = _segments(_jpeg(SIDE, progressive=True))
    last = max(place for place, segment in enumerate(segments) if _first_details(segment))
    copies = size // len(segments[last])
    return b"".join([*segments[:last], *[segments[last]] * copies, *segments[last:]])


def ppm_of_numbers(size: int) -> bytes:
    """A grey picture written as text: whole, and nothing but its time betrays it."""
    side = math.isqrt(size // 2)
    return b"P2 %d %d 255\n" % (side, side) + b"0 " * side**2


KINDS: dict[str, Callable[[int], bytes]] = {
    "GIF of comments": gif_of_comments, "PPM of comments": ppm_of_comments,
    "JPEG of EXIF segments": jpeg_of_exif, "JPEG of scans": jpeg_of_scans,
    "PPM of numbers": ppm_of_numbers,
}  # fmt: skip


def _jpeg(side: int, **options: bool) -> bytes:
    out = io.BytesIO()
    Image.new("L", (side, side), 128).save(out, "JPEG", **options)
    return out.getvalue()


def _segments(data: bytes) -> list[bytes]:
    """The marker segments of a JPEG in order, each with the coded pixels that follow it."""
    starts = [0]
    while starts[-1] < len(data) - 2:
        at = starts[-1]
        end = at + 2 if data[at + 1] == 0xD8 else at + 2 + int.from_bytes(data[at + 2 : at + 4])
        while data[end] != 0xFF or data[end + 1] == 0 or 0xD0 <= data[end + 1] <= 0xD7:
            end += 1
        starts.append(end)
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def _first_details(segment: bytes) -> bool:
    """Whether it is a scan of details (AC) that refines no earlier one."""
    if segment[1] != 0xDA:
        return False
    first, _, bits = segment[5 + 2 * segment[4] :][:3]
    return first > 0 and bits >> 4 == 0
