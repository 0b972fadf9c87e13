"""The comment on a pull request: figures and pictures of the profile `smoke`, as `ci` collected them.

    pull_request_comment.py pictures SMOKE DIR          the pictures, checked, copied to DIR
    pull_request_comment.py text SMOKE BEFORE ADDRESS   the comment, to stdout; the pictures lie at ADDRESS

SMOKE and BEFORE (which may be missing) are folders with headline.json and pictures/*.png. They come from code
that nobody has read: names, numbers and pictures are checked, nothing else is taken over. Only the standard
library, since nothing is installed where this runs.
"""

import json
import math
import re
import shutil
import sys
from pathlib import Path

MARK = "<!-- smoke -->"  # the first line, by which the workflow finds its earlier comment
MOST_FIGURES, MOST_PICTURES, MOST_BYTES = 40, 8, 2_000_000
LOWER_IS_BETTER = ("chair_i", "megabytes")
PNG = b"\x89PNG\r\n\x1a\n"


def figures(folder: Path) -> dict[str, float]:
    """The figures by name. Raises ValueError for anything else."""
    file = _checked(folder / "headline.json")
    document = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not 0 < len(document) <= MOST_FIGURES:
        raise ValueError(f"{file}: expected 1 to {MOST_FIGURES} figures by name")
    for name, value in document.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or not number:
            raise ValueError(f"{file}: {name[:60]!r} is no name with a finite number")
    return document


def pictures(folder: Path) -> list[Path]:
    """The pictures by name. Raises ValueError for another file, or too many."""
    files = sorted((folder / "pictures").iterdir())
    if not 0 < len(files) <= MOST_PICTURES:
        raise ValueError(f"{folder / 'pictures'}: expected 1 to {MOST_PICTURES} pictures, got {len(files)}")
    for file in files:
        if not re.fullmatch(r"[a-z0-9_]{1,60}\.png", file.name) or _checked(file).read_bytes()[:8] != PNG:
            raise ValueError(f"{str(file)[-80:]!r}: expected a PNG file named by letters, digits and _")
    return files


def text(smoke: Path, before: Path, address: str) -> str:
    """The comment, in Markdown."""
    here, there = figures(smoke), figures(before) if before.exists() else {}
    lines = [MARK, "### The profile `smoke`, rebuilt", "", "| figure | default branch | here | difference |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for name in sorted(here):
        better = " (lower is better)" if name in LOWER_IS_BETTER else ""
        old, change = (
            ("-", "-") if name not in there else (_number(there[name]), _change(here[name], there[name]))
        )
        lines.append(f"| {name.replace('_', ' ')}{better} | {old} | {_number(here[name])} | {change} |")
    lines += [
        "",
        "It has 256 training pictures: these figures tell whether the pipeline works, not how good the",
    ]
    lines += ["model is. Percent, but for megabytes.", ""]
    lines += [f"![{file.stem}]({address}/{file.name}?raw=true)" for file in pictures(smoke)]
    return "\n".join(lines) + "\n"


def _checked(file: Path) -> Path:
    if file.is_symlink() or not file.is_file() or file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{str(file)[-80:]!r}: expected a file of at most {MOST_BYTES} bytes")
    return file


def _number(value: float) -> str:
    return f"{value:.2f}"


def _change(here: float, there: float) -> str:
    return "0" if _number(here) == _number(there) else f"{here - there:+.2f}"


def main(words: list[str]) -> None:
    match words:
        case ["pictures", smoke, target]:
            Path(target).mkdir()
            for file in pictures(Path(smoke)):
                shutil.copyfile(file, Path(target) / file.name)
        case ["text", smoke, before, address]:
            sys.stdout.write(text(Path(smoke), Path(before), address))
        case _:
            raise ValueError(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        sys.exit(f"pull_request_comment: {error}")
