"""Row 8: hostile, broken and dear pictures, decoded as those from elsewhere; time and memory are measured."""

from __future__ import annotations

import io
import resource
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image, ImageOps

from sightline.data import image_workers, images
from sightline.data.image_workers import ImageWorkers
from sightline_lab.faults import dear_pictures
from sightline_lab.faults.battery import Broken, Case, Promise

MAX_PIXELS = 4_000_000
MAX_CPU_S, MAX_GROWTH = image_workers.CPU_S, image_workers.MEMORY
CLOCK_S = 0.2  # the kernel counts CPU time in ticks, and ending a process takes some
MODES = {
    "JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "WEBP": ("RGB", "RGBA"), "BMP": ("RGB", "L", "P", "1"), "GIF": ("L", "P"), "PPM": ("RGB", "L", "1"),
}  # fmt: skip
OTHER = ("TIFF", "ICO", "TGA")  # which are not read
FORMS = (
    "as it is", "as it is", "turned", "animated", "cut", "flipped", "bomb", "other format", "polyglot",
    "no picture", "long chunk",
)  # fmt: skip
DEAR, DEAR_EVERY = 17, 60  # each takes a second: fewer of them
REASONS = ("empty", "format", "too_many_pixels", "truncated", "broken", "too_dear")
REFUSED = {"bomb": ("too_many_pixels", "broken", "truncated"), "other format": ("format",)}


@dataclass
class Measured:
    """What decoding a picture came to. cpu_s: of the worker and of this process together; growth: bytes by
    which the worker's memory rose above that of an idle one, 0 where an earlier picture took more."""

    reason: str
    pixels: np.ndarray
    cpu_s: float
    growth: int


def prepare(scratch: Path) -> ImageWorkers:
    """The workers of all cases; they end with this process."""
    return ImageWorkers()


def case(case: Case) -> int:
    """One picture."""
    rng = case.rng
    form = "dear" if case.index % DEAR_EVERY == DEAR else FORMS[case.index % len(FORMS)]
    data, whole = _made(form, rng)
    found = _measured(case.prepared, data)
    if found.cpu_s > MAX_CPU_S + CLOCK_S or found.growth > MAX_GROWTH:
        raise Broken(f"{form}: {found.cpu_s:.2f} s of CPU time and {found.growth >> 20} MiB")
    reason = found.reason
    if reason and reason not in REASONS:
        raise Broken(f"{form}: {reason} is no reason for a refusal")
    if form in REFUSED and reason not in REFUSED[form]:
        raise Broken(f"{form}: expected {' or '.join(REFUSED[form])}, found {reason or 'it was accepted'}")
    if whole and reason:
        raise Broken(f"{form}: a whole picture was refused: {reason}")
    if not reason and not np.array_equal(found.pixels, _reference(data)):
        raise Broken(f"{form}: other pixels than Pillow's own")
    return 1


def _made(form: str, rng: np.random.Generator) -> tuple[bytes, bool]:
    """The bytes, and whether they are a whole picture of an allowed kind."""
    kind = str(rng.choice(list(MODES)))
    if form == "dear":
        name = str(rng.choice(list(dear_pictures.KINDS)))
        return dear_pictures.KINDS[name](int(rng.integers(2**19, 2**23))), False
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


def _measured(workers: ImageWorkers, data: bytes) -> Measured:
    """Decode a picture, and measure that; another one before it, so that a worker runs, a new one where the
    last one was killed."""
    workers.decode(b"P5 1 1 255\n\0", 1)
    before = {worker: (_peak(worker), worker.memory_info().rss) for worker in _running()}
    begun_s = _cpu_s()
    reason, pixels = "", np.zeros((0, 0, 3), np.uint8)
    try:
        pixels = workers.decode(data, MAX_PIXELS)
    except images.ImageError as error:
        reason = error.reason
    cpu_s = _cpu_s() - begun_s
    grown = [
        _peak(worker) - idle
        for worker, (peak, idle) in before.items()
        if worker.is_running() and _peak(worker) > peak
    ]
    return Measured(reason, pixels, cpu_s, max(grown, default=0))


def _running() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if image_workers.__name__ in child.cmdline()]


def _cpu_s() -> float:
    """CPU time of this process, of its workers, and of those that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = [worker.cpu_times() for worker in _running()]
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(it.user + it.system for it in used)


def _peak(process: psutil.Process) -> int:
    """The most memory that a process ever had; 0 where the system does not tell."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.is_file():
        return 0
    return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])


PROMISE = Promise(
    8, "Pictures", "A picture is refused with a reason or decoded to the pixels of a reference, also one "
    f"made to take minutes; never a crash, at most {MAX_CPU_S:g} s of CPU time and {MAX_GROWTH >> 20} MiB; "
    "the next picture is decoded.", "pictures", 330, 20_000, case, prepare,
)  # fmt: skip
