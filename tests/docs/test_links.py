"""Every relative link of the documents leads to a file, and its anchor to a heading, in the work tree."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "guide" / "tutorial.ipynb"
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "docs/**/*.ipynb",
        "data/*.md",
        "metrics/*.md",
        "models/*.md",
        "plots/*.md",
    )
    for path in ROOT.glob(pattern)
)


def markdown(path: Path) -> str:
    """The prose of a document; code blocks are left out, because brackets there are no links."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def links(path: Path) -> list[str]:
    """Targets of links and pictures that stay in this repository."""
    found = re.findall(r"\]\(([^()\s]+(?:\([^()\s]*\))?)\)", re.sub(r"`[^`\n]*`", "", markdown(path)))
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(path: Path) -> set[str]:
    """What `#...` may name: headings as GitHub spells them, and elements with an id."""
    text = markdown(path)
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", text, flags=re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    spelled = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain]
    return {*spelled, *re.findall(r'<a id="([^"]+)"', text)}


def broken(path: Path) -> list[str]:
    """The links of a document that lead nowhere."""
    nowhere = []
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        lost = not target.exists()
        if lost or (anchor and target.suffix in (".md", ".ipynb") and anchor not in anchors(target)):
            nowhere.append(link)
    return nowhere


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    assert broken(ROOT / document) == []


def test_broken_links_and_anchors_are_found(tmp_path):
    (tmp_path / "there.md").write_text("# A heading, it is\n\n## With `code`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-heading-it-is) [c](there.md#with-code) [d](https://example.org/x.md)\n"
        "[e](gone.md) ![f](gone.png) [g](there.md#other) [h](#nowhere)\n"
        "```\n[i](code.md)\n```\n`[j](code.md)`\n"
    )
    assert broken(page) == ["gone.md", "gone.png", "there.md#other", "#nowhere"]
