"""What a picture holds beside its pixels is counted in its bytes: too much is refused before it is decoded,
and no real picture is."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sightline.data import image_headers
from sightline.data.image_headers import MOST, excess
from sightline.data.images import ImageError, decode
from sightline_lab.faults import dear_pictures
from tests.data.test_images import exif, odd_pictures, picture, save

LIMIT = 10_000_000
PNG, JPEG, WEBP, PPM = (save(picture(), kind) for kind in ("PNG", "JPEG", "WEBP", "PPM"))
GIF = dear_pictures.gif_of_comments(0)  # one pixel, nothing before it


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def segment(mark, data=b""):
    return bytes([0xFF, mark]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments):
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def png(*chunks):
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def webp(*chunks):
    return WEBP + b"".join(kind + struct.pack("<I", len(data)) + data for kind, data in chunks)


def gif(*blocks):
    return GIF[:19] + b"".join(blocks) + GIF[19:]


def animated(kind, frames, **options):
    """Frames that differ: an encoder leaves out those that repeat the one before."""
    first, *more = (Image.new("RGB", (4, 4), (n % 256, n // 256, 7)) for n in range(frames))
    out = io.BytesIO()
    first.save(out, kind, save_all=True, append_images=more, **options)
    return out.getvalue()


FULL = {  # part -> pictures that hold as many as are taken, and one with one more
    "segments": lambda n: jpeg(*[segment(0xE2)] * (n - 10)), "scans": lambda n: JPEG[:-2] + segment(0xDA) * n,
    "chunks": lambda n: png(*[chunk(b"prIv")] * n), "frames": lambda n: png(*[chunk(b"fcTL")] * n),
    "blocks": lambda n: gif(*[b"!\xfe\x01x\0"] * (n // 2)), "comments": lambda n: b"P2 1 1 9\n" + b"#\n" * n,
    "bytes of header": lambda n: b"P6 1 #" + b"x" * n + b"\n1 255\nabc",
    "bytes of metadata": lambda n: png(chunk(b"tEXt", bytes(n))),
}  # fmt: skip


def test_there_is_a_picture_for_every_limit():
    assert FULL.keys() == MOST.keys()


@pytest.mark.parametrize("part", FULL)
def test_a_limit_is_where_it_is_said(part):
    most = MOST[part]
    assert excess(FULL[part](most // 2)) == ""
    assert excess(FULL[part](most + 20)) == f"has more than {most:,} {part}"


@pytest.mark.parametrize("data", [
    jpeg(segment(0xFE, bytes(65_000)) * 260), png(chunk(b"iCCP", bytes(17 << 20))),
    webp((b"EXIF", bytes(17 << 20))), gif(*[b"!\xff" + (b"\xff" + bytes(255)) * 19_990 + b"\0"] * 4),
], ids=["JPEG", "PNG", "WEBP", "GIF"])  # fmt: skip
def test_metadata_counts_in_every_format(data):
    assert "bytes of metadata" in excess(data) or "blocks" in excess(data)


@pytest.mark.parametrize("name,data", odd_pictures().items())
def test_real_pictures_pass(name, data):
    assert excess(data) == ""


@pytest.mark.parametrize("data", [
    save(picture(), "JPEG", progressive=True), save(picture(), "JPEG", restart_marker_rows=1),
    save(picture(), "JPEG", exif=exif(6, "x" * 60_000), icc_profile=bytes(3 << 20)),
    jpeg(*[segment(0xE1, bytes(65_000))] * 100),  # a map of depth of 6 MB, as phones write it
    JPEG + b"\xff\xda" * 9_000, JPEG + JPEG,  # after the end: nobody reads it
    animated("GIF", 300), animated("PNG", 300), animated("WEBP", 300, lossless=True),
    save(picture(), "GIF", comment=b"x" * 50_000), b"P3\n# made by hand\n1 1\n# nine\n255\n9 9 9\n",
    save(np.zeros((900, 900, 3), np.uint8), "PPM"), save(picture(), "BMP"),
    b"P4 1024 1024\n" + b"9" * (1 << 17),  # one bit a pixel: the first of them look like a number
    b"P5 400 400 # grey\n255\n" + b"8" * 160_000,
], ids=str)  # fmt: skip
def test_what_cameras_and_encoders_write_passes(data):
    assert excess(data) == ""
    assert decode(data, LIMIT).shape[2] == 3


@pytest.mark.parametrize("kind", [kind for kind in dear_pictures.KINDS if kind != "PPM of numbers"])
def test_a_dear_picture_is_known_by_its_header(kind):
    data = dear_pictures.KINDS[kind](6 << 20)
    start = time.process_time()
    assert excess(data).startswith("has more than ")
    assert time.process_time() - start < 0.5  # measured 0.02 s; to decode it takes 6 s to minutes


@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"P3", b"P6 "]
    ),
    st.binary(max_size=400),
)
def test_any_bytes_are_counted_to_an_end(magic, data):
    assert excess(magic + data) == "" or "has more than" in excess(magic + data)


@pytest.mark.parametrize("magic", image_headers.WALKS)
@pytest.mark.parametrize(
    "piece", [b"\xff", b"\0", b"#", b"!", b" ", b"\xff\xe0\0\0", b"1 ", b"#\n", b",", b"\xff\xda\0\2"]
)
def test_no_bytes_make_the_count_long(magic, piece):
    data = magic + piece * ((2 << 20) // len(piece))
    start = time.process_time()
    excess(data)
    assert time.process_time() - start < 0.5  # the whole budget is 1 s; measured 0.08 s at most


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "PPM"])
def test_a_cut_picture_is_counted_as_far_as_it_goes(kind):
    data = save(picture(), kind)
    for length in range(len(data)):
        assert excess(data[:length]) == ""


def test_a_picture_that_passes_may_still_be_refused():
    with pytest.raises(ImageError):
        decode(PNG[:40], LIMIT)
    assert excess(PNG[:40]) == ""
