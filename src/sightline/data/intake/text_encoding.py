"""The encoding of a text file: a byte order mark, valid UTF-8, or what charset-normalizer takes it for."""

import codecs
from pathlib import Path

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
CHUNK = 1 << 20
SAMPLE = 1 << 18  # bytes of lines that are not ASCII, by which another encoding is told
CANDIDATES = (  # the legacy encodings of the WHATWG encoding standard: what programs still write
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "iso8859_2",
    "iso8859_3", "iso8859_4", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8", "iso8859_10", "iso8859_13",
    "iso8859_14", "iso8859_15", "iso8859_16", "koi8_r", "koi8_u", "mac_roman", "cp866", "cp874", "gb18030",
    "big5", "euc_jp", "shift_jis", "cp932", "euc_kr", "cp949",
)  # fmt: skip
NUL_SHARE = 0.2  # of a text without a mark: UTF-16 of mostly Latin letters has half


def encoding_of(path: Path) -> str:
    """The codec of a text file. A file with some bad lines among good UTF-8 is UTF-8."""
    with open(path, "rb") as file:
        start = file.read(4096)
        for mark, name in MARKS.items():
            if start.startswith(mark):
                return name
        even, odd = start[::2].count(0), start[1::2].count(0)
        if max(even, odd) > NUL_SHARE * len(start) and min(even, odd) < max(even, odd) / 10:
            return "utf-16-le" if odd > even else "utf-16-be"
        file.seek(0)
        good, bad, sample = 0, 0, bytearray()
        while lines := file.readlines(CHUNK):
            for line in lines:
                if line.isascii():
                    continue
                try:
                    line.decode("utf-8")
                    good += 1
                except UnicodeDecodeError:
                    bad += 1
                    sample += line[: SAMPLE - len(sample)]
    if bad <= good:
        return "utf-8"
    return _guess(bytes(sample))


def _guess(sample: bytes) -> str:
    """The likeliest encoding of lines that are not UTF-8; of several that are as likely, Western Europe's."""
    from charset_normalizer import from_bytes  # a search imports this room and reads no table

    matches = list(from_bytes(sample, cp_isolation=list(CANDIDATES)))
    if not matches:
        return "utf-8"
    best = matches[0]
    alike = [it for it in matches if (it.chaos, it.coherence) == (best.chaos, best.coherence)]
    western = any("cp1252" in (it.encoding, *it.could_be_from_charset) for it in alike)
    return "cp1252" if western else best.encoding
