"""Row 8: hostile and broken pictures, decoded in a child whose time and memory are measured."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from sightline.data import images
from sightline_lab.faults.battery import Broken, Case, Promise

MAX_PIXELS = 4_000_000
MAX_CPU_S, MAX_GROWTH, WAIT_S = 1.0, 256 * 2**20, 20
MODES = {
    "JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "WEBP": ("RGB", "RGBA"), "BMP": ("RGB", "L", "P", "1"), "GIF": ("L", "P"), "PPM": ("RGB", "L", "1"),
}  # fmt: skip
OTHER = ("TIFF", "ICO", "TGA")  # which are not read
FORMS = (
    "as it is", "as it is", "turned", "animated", "cut", "flipped", "bomb", "other format", "polyglot",
    "no picture", "long chunk",
)  # fmt: skip
REASONS = ("empty", "format", "too_many_pixels", "truncated", "broken")
REFUSED = {"bomb": ("too_many_pixels", "broken", "truncated"), "other format": ("format",)}


def case(case: Case) -> int:
    """One picture."""
    rng = case.rng
    form = FORMS[case.index % len(FORMS)]
    data, whole = _made(form, rng)
    told = _in_child(data)
    if told.get("dead"):
        raise Broken(f"{form}: the decoder {told['dead']}")
    if told["cpu"] > MAX_CPU_S or told["growth"] > MAX_GROWTH:
        raise Broken(f"{form}: {told['cpu']:.2f} s of CPU time and {told['growth'] >> 20} MiB")
    reason = told["reason"]
    if reason and reason not in REASONS:
        raise Broken(f"{form}: {reason} is no reason for a refusal")
    if form in REFUSED and reason not in REFUSED[form]:
        raise Broken(f"{form}: expected {' or '.join(REFUSED[form])}, found {reason or 'it was accepted'}")
    if whole and reason:
        raise Broken(f"{form}: a whole picture was refused: {reason}")
    if not reason and not np.array_equal(told["pixels"], _reference(data)):
        raise Broken(f"{form}: other pixels than Pillow's own")
    return 1


def _made(form: str, rng: np.random.Generator) -> tuple[bytes, bool]:
    """The bytes, and whether they are a whole picture of an allowed kind."""
    kind = str(rng.choice(list(MODES)))
    if form == "turned":
        exif = Image.Exif()
        exif[images.ORIENTATION_TAG] = int(rng.integers(0, 10))
        return _saved(rng, "JPEG", "RGB", exif=exif), True
    if form == "animated":
        first = _picture(rng, "P", 24)
        frames = [
            first,
            *(first.rotate(int(turn)) for turn in rng.integers(0, 360, int(rng.integers(1, 30)))),
        ]
        out = io.BytesIO()
        frames[0].save(out, str(rng.choice(["GIF", "WEBP"])), save_all=True, append_images=frames[1:])
        return out.getvalue(), True
    if form == "other format":
        return _saved(rng, str(rng.choice(OTHER)), "RGB"), False
    if form == "no picture":
        size = int(rng.integers(0, 2000))
        head = rng.choice([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF", b"BM", b"<svg>"])
        return bytes(head) + rng.bytes(size), False
    if form == "bomb":
        side = int(rng.integers(2001, 2**16))
        return _png_of(side, int(rng.integers(2001, 2**16)), rng), False
    if form == "long chunk":
        text = zlib.compress(bytes(int(rng.integers(1, 5_000_000))))
        png = _saved(rng, "PNG", "RGB")
        return png[:33] + _chunk(b"zTXt", b"Comment\0\0" + text) + png[33:], False
    data = bytearray(_saved(rng, kind, str(rng.choice(MODES[kind]))))
    if form == "cut":
        return bytes(data[: int(rng.integers(0, len(data)))]), False
    if form == "flipped":
        for at in rng.integers(0, len(data), int(rng.integers(1, 6))):
            data[at] ^= 1 << int(rng.integers(0, 8))
        return bytes(data), False
    if form == "polyglot":
        return bytes(data) + b"PK\x03\x04" + rng.bytes(200), kind != "PPM"
    return bytes(data), True


def _picture(rng: np.random.Generator, mode: str, longest: int = 160) -> Image.Image:
    height, width = (int(side) for side in rng.integers(1, longest, 2))
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 2**16, (height, width), dtype=np.uint16))
    rgb = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA")
    return rgb if mode == "RGBA" else rgb.convert("RGB").convert(mode)


def _saved(rng: np.random.Generator, kind: str, mode: str, **options: Any) -> bytes:
    out = io.BytesIO()
    _picture(rng, mode).save(out, kind, **options)
    return out.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_of(width: int, height: int, rng: np.random.Generator) -> bytes:
    """A PNG whose header promises this size; its pixels are as few as it likes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(int(rng.integers(0, 100_000))))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _reference(data: bytes) -> np.ndarray:
    """Upright, over white, in 8 bits, by Pillow alone."""
    image: Image.Image = Image.open(io.BytesIO(data))
    image.load()
    if image.mode.startswith("I"):
        wide_YX = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        image = Image.fromarray((wide_YX >> 8).astype(np.uint8))
    else:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _in_child(data: bytes) -> dict[str, Any]:
    """What the decoder did in a process of its own: reason or pixels, CPU seconds, growth in bytes; dead: how
    it ended without an answer."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(WAIT_S)
            with os.fdopen(write, "wb") as pipe:
                _decode(data, pipe)
            os._exit(0)
        finally:
            os._exit(1)  # whatever was raised
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        head, answer = pipe.readline(), pipe.read()
    status = os.waitpid(child, 0)[1]
    if status or not head:
        return {"dead": f"ended with status {status}"}
    told = json.loads(head)
    if not told["reason"]:
        told["pixels"] = np.frombuffer(answer, np.uint8).reshape(told["shape"])
    return told


def _decode(data: bytes, pipe: BinaryIO) -> None:
    """A line of JSON, then the pixels."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    reason, pixels = "", np.zeros((0, 0, 3), np.uint8)
    try:
        pixels = images.decode(data, MAX_PIXELS)
    except images.ImageError as error:
        reason = error.reason
    after = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "reason": reason, "shape": pixels.shape, "growth": 1024 * (after.ru_maxrss - before.ru_maxrss),
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }  # fmt: skip
    pipe.write(json.dumps(told).encode() + b"\n" + pixels.tobytes())


PROMISE = Promise(
    8, "Pictures", "A picture is refused with a reason or decoded to the pixels of a reference; never a "
    f"crash, at most {MAX_CPU_S:g} s of CPU time and {MAX_GROWTH >> 20} MiB.", "pictures", 330, 20_000, case,
)  # fmt: skip
