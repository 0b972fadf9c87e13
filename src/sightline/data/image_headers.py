"""What an encoded picture holds beside its pixels, counted before a decoder reads it.

Decoders have no limit for it: a file of allowed size and few pixels may hold a million comments, thousands of
frames, or the same pixels in thousands of scans. The walks here go from length to length and look at no
content, and they end at the first limit that is passed.
"""

import re
from collections.abc import Callable, Iterator

# About ten times what encoders and cameras write, and little enough to read in a fraction of a second.
MOST = {
    "segments": 1_000,  # of a JPEG; a profile or a map of depth takes one for each 64 KiB
    "scans": 500,  # of a JPEG, each a part of the pixels' bits
    "chunks": 50_000,  # of a PNG or WebP; some encoders make one of each 8 KiB
    "blocks": 20_000,  # of a GIF before its first frame, at most 255 bytes each
    "frames": 10_000,  # that are announced; of them the first is decoded
    "comments": 1_000,  # of a PPM
    "bytes of header": 1 << 16,  # of a PPM
    "bytes of metadata": 16 << 20,  # texts, profiles, EXIF: as they are stored
}
JPEG_MARK = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # of a segment with a length, or the end
START_OF_SCAN, END_OF_IMAGE, COMMENT, APPLICATION = 0xDA, 0xD9, 0xFE, range(0xE0, 0xF0)
PNG_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")
WEBP_METADATA = (b"ICCP", b"EXIF", b"XMP ")
NUMBER = rb"(?:(?:\s|#[^\r\n]*[\r\n])++[0-9]++)"  # with the blanks and comments before it
PPM_HEADER = re.compile(rb"P(?:[14]%b{2}|[2356]%b{3})[\s#]" % (NUMBER, NUMBER))
Parts = Iterator[tuple[str, int]]  # (a key of MOST, how many)


def excess(data: bytes) -> str:
    """What a picture has too much of ("has more than 1,000 segments"); empty for others, also for bytes that
    are no picture."""
    counts = dict.fromkeys(MOST, 0)
    for magic, walk in WALKS.items():
        if data.startswith(magic):
            for part, count in walk(data):
                counts[part] += count
                if counts[part] > MOST[part]:
                    return f"has more than {MOST[part]:,} {part}"
    return ""


def _jpeg(data: bytes) -> Parts:
    """The segments up to the end of the first picture (ITU-T T.81, annex B)."""
    at = 2
    while (found := JPEG_MARK.search(data, at)) and found[1][0] != END_OF_IMAGE:
        mark, size = found[1][0], int.from_bytes(data[found.end() : found.end() + 2])
        yield ("scans", 1) if mark == START_OF_SCAN else ("segments", 1)
        if mark == COMMENT or mark in APPLICATION:
            yield "bytes of metadata", size
        at = found.end() + size


def _png(data: bytes) -> Parts:
    at, kind = 8, b""
    while at + 8 <= len(data) and kind != b"IEND":
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        yield "chunks", 1
        if kind == b"fcTL":
            yield "frames", 1
        if kind in PNG_METADATA:
            yield "bytes of metadata", size
        at += 12 + size


def _webp(data: bytes) -> Parts:
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        yield "chunks", 1
        if kind == b"ANMF":
            yield "frames", 1
        if kind in WEBP_METADATA:
            yield "bytes of metadata", size
        at += 8 + size + size % 2


def _gif(data: bytes) -> Parts:
    """What comes before the first frame; a decoder skips bytes that mean nothing one by one (GIF89a)."""
    colors = 3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0
    at = 13 + colors
    while at < len(data) and data[at] not in b",;":
        yield "blocks", 1
        at += 1
        if data[at - 1] == ord("!"):
            at += 1
            while at < len(data) and data[at]:
                yield "blocks", 1
                yield "bytes of metadata", data[at]
                at += 1 + data[at]
            at += 1


def _ppm(data: bytes) -> Parts:
    if not PPM_HEADER.match(data[: MOST["bytes of header"]]):
        yield "bytes of header", len(data)
    elif data[1] in b"123":  # written as text, which may hold comments between the pixels
        yield "comments", data.count(b"#")


WALKS: dict[bytes, Callable[[bytes], Parts]] = {
    b"\xff\xd8\xff": _jpeg, b"\x89PNG\r\n\x1a\n": _png, b"RIFF": _webp, b"GIF8": _gif,
    **{b"P%d" % number: _ppm for number in range(1, 7)},
}  # fmt: skip
