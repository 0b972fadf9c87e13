"""Texts of others without the signs that steer a terminal: captions, ids, names of files, messages."""

import re

# Control signs but the end of a line and the tab, separators of lines, overrides of the direction,
# halves of surrogate pairs.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """`text` with the sign for an unknown character (U+FFFD) in the place of each that steers."""
    return STEERING.sub("\ufffd", text)
