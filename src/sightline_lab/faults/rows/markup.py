"""Row 27: markup in every text that a page shows.

A text and its twin, in which every sign that HTML reads is a dot, must give the same page but for the signs.
"""

from __future__ import annotations

import contextlib
import csv
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sightline.core import packaged_project
from sightline.core.params import loader
from sightline.core.params.generation import Spin
from sightline.core.preprocessing import Seen
from sightline.data import images
from sightline.evaluate.dataset_report import analysed_corpus, corpus_statistics, dataset_page
from sightline.explain import explain_items, explained_items
from sightline.explain.heatmap import Explanation, Heatmap
from sightline.inference.answering import Answer
from sightline.search import results_page
from sightline.search.index_writer import Block, IndexWriter
from sightline.search.item_index import Entry, ItemIndex
from sightline.serve.batch_model import Reply
from sightline.serve.ui import ask_tab, compare_tab, search_tab, svg_charts, ui_layout
from sightline.serve.ui.ui_images import Example
from sightline_lab.faults.battery import Broken, Case, Promise

DOT, SIGNS = ".", "<>&\"'`="
PARTS = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(2)>", '" onmouseover="alert(3)',
    "' onfocus='alert(4)",
    "</title><svg onload=alert(5)>", "</style><style>*{display:none}</style>", "</script><script>alert(6)//",
    "<!--", "-->", "]]>", "<![CDATA[", "&lt;b&gt;", "&#60;i&#62;", "&quot;&gt;", "<iframe srcdoc='<b>'>",
    "<a href=javascript:alert(7)>", "<base href=//example.org>", "<meta http-equiv=refresh content=0>",
    "{{ 7 * 7 }}", "{% raw %}", "${7*7}", "`alert(8)`", "<b", "<", "&", '"', "'", "=", "</div></article>",
    "<input autofocus>", "<textarea>", "<plaintext>", "\\x3cb\\x3e", "%3Cb%3E", "<math><mtext>", "\u2028<u>",
)  # fmt: skip
WORDS = ("red", "ball", "left", "of", "a", "cube", "two")
TEXTS, SIDE, WIDTH = 12, 24, 4  # texts of a case, sides of pictures, width of vectors
SPLITS = ("train", "train", "val", "test")
SHOWN = 2  # of the texts: on every page in whole
PLACEHOLDERS = tuple(f"zq{chr(97 + number)}zq" for number in range(TEXTS))
Measured = tuple[dict[str, Any], list[dict[str, Any]]]
Attributes = tuple[tuple[str, str], ...]
Part = tuple[str, str, Attributes]  # kind, text or name, attributes
PNG = images.encode(np.zeros((2, 2, 3), np.uint8), "png")[0]


def prepare(scratch: Path) -> Measured:
    """Figures and examples of a table with placeholders for captions, ids, names of pictures, questions and
    answers, and with rows that are refused: what the page of a data set shows."""
    rows: list[list[str]] = [["id", "caption", "image", "split", "question", "answer"]]
    for number, text in enumerate(PLACEHOLDERS):
        Image.new("RGB", (SIDE, SIDE), (20 * number, 9, 9)).save(scratch / f"{number}.png")
        split, picture = SPLITS[number % len(SPLITS)], f"{number}.png"
        rows.append([f"{text} {number}", f"A red ball {text}", picture, split, f"What is {text}?", text])
        rows.append([f"gone {number} {text}", "A blue cup", f"gone {text}", split, "", ""])
    table = scratch / "items.csv"
    with open(table, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    own = {"profile": "own", "data.path": str(table), "data.pictures": str(scratch)}
    params = loader.load_params(packaged_project.folder() / "params.yaml", own)
    with contextlib.redirect_stderr(io.StringIO()):
        corpus = analysed_corpus.table(table, params, scratch / "corpus")
        report = corpus_statistics.measure(corpus)
    shown = {"table": PLACEHOLDERS[0], "cannot_teach": list(PLACEHOLDERS)}
    return report | shown, corpus_statistics.examples(corpus)


def case(case: Case) -> int:
    """Texts drawn from PARTS on every page."""
    rng = case.rng
    texts = [f"{_text(rng)} {number}" for number in range(TEXTS)]  # no two have the same twin
    twins = [_dotted(text) for text in texts]
    hostile = pages(case.scratch / "hostile", case.prepared, texts)
    plain = pages(case.scratch / "plain", case.prepared, twins)
    for name, page in hostile.items():
        found, expected = _elements(page), _elements(plain[name])
        told = [
            [(kind, _dotted(value), _values(more)) for kind, value, more in page]
            for page in (found, expected)
        ]
        if told[0] != told[1]:
            at = next((i for i, pair in enumerate(zip(*told, strict=False)) if pair[0] != pair[1]), -1)
            raise Broken(f"{name}: expected {told[1][at]}, found {told[0][at]}; of {texts}")
        shown = "".join(value for kind, value, _ in found if kind == "text")
        if hidden := [text for text in texts[:SHOWN] if text not in shown]:
            raise Broken(f"{name}: {hidden} are not shown")
    return len(hostile)


def _text(rng: np.random.Generator) -> str:
    parts = [str(part) for part in rng.choice(PARTS, int(rng.integers(1, 4)))]
    words = [str(word) for word in rng.choice(WORDS, int(rng.integers(1, 4)))]
    text = str(rng.choice(["", " "])).join(rng.permutation([*parts, *words]))
    return "".join(char.upper() if rng.random() < 0.05 else char for char in text).strip()


def pages(scratch: Path, measured: Measured, texts: list[str]) -> dict[str, str]:
    """Every kind of page that shows texts of others, as HTML, with these texts in all of its places."""
    scratch.mkdir()
    return {
        "explanations": _explanations(scratch, texts),
        "results": _results(scratch, texts),
        "dataset report": _dataset(scratch, measured, texts),
        "served page": _served(texts),
    }


def _explanations(scratch: Path, texts: list[str]) -> str:
    """Also the page of failures and that of `sightline explain`, which one template writes."""
    rgb, whole = np.zeros((SIDE, SIDE, 3), np.uint8), Seen(SIDE, SIDE, 0, 0, SIDE, SIDE)
    boxes = [(text, (2, 2, 9, 9)) for text in texts]
    flat = np.full((3, 3), 0.5)
    heats = [
        Heatmap(flat, np.full((SIDE, SIDE), 0.5), [(text, 0.5), ("is", 0.5)],
                {"method": "m", "word": text, "image_share": 0.5}, flat, whole)
        for text in texts
    ]  # fmt: skip
    told = [Explanation(texts[0], texts[1], 0.5, words, np.zeros((1, 2))) for words in (heats, heats[:1], [])]
    items = [
        explained_items.Item(f"item{number}", rgb, rgb, kind, texts[2], texts[3], boxes)
        for number, kind in enumerate(("describe", texts[4], texts[5]))
    ]
    cards = [
        explain_items.heatmap_page.Card(item, [one, one], [None, False])
        for item, one in zip(items, told, strict=True)
    ]
    words = explain_items.heatmap_page.Words(
        texts[6], texts[7], [texts[8], explain_items.settings(Spin(keep=0.5, alpha=0.5, layers=(0,)))],
        texts[9], texts[10], texts[11], texts[0],
    )  # fmt: skip
    out = scratch / "explained.html"
    explain_items.heatmap_page.write(out, cards, words, "magma")
    return out.read_text(encoding="utf-8")


def _results(scratch: Path, texts: list[str]) -> str:
    entries = [
        Entry(f"{text} {number}", text if number % 2 else "", [text], True, True, text if number % 3 else "")
        for number, text in enumerate(texts)
    ]
    unit_NE = np.eye(TEXTS, WIDTH, dtype=np.float32)
    unit_NE[WIDTH:, 0] = 1
    with IndexWriter(scratch / "index", WIDTH) as writer:
        writer.add(Block(entries, unit_NE, unit_NE, [PNG] * TEXTS))
        writer.finish("Flat", "a" * 64, texts[0])
    index = ItemIndex(scratch / "index", "a" * 64)
    out = scratch / "results.html"
    results_page.write(out, texts[1], None, index, index.search(unit_NE[:1], TEXTS, "fused")[0])
    return out.read_text(encoding="utf-8")


def _dataset(scratch: Path, measured: Measured, texts: list[str]) -> str:
    report, examples = _filled(measured, texts)
    drawn = {name: scratch / "drawn.png" for name in ("lengths", "zipf", "pairs", "across")}
    (scratch / "drawn.png").write_bytes(PNG)
    dataset_page.write(scratch / "data.html", report, examples, drawn)
    return (scratch / "data.html").read_text(encoding="utf-8")


def _filled(value: Any, texts: list[str]) -> Any:
    """The same with texts in the place of placeholders."""
    if isinstance(value, dict):
        return {_filled(key, texts): _filled(part, texts) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(part, texts) for part in value]
    if isinstance(value, str):
        for placeholder, text in zip(PLACEHOLDERS, texts, strict=True):
            value = value.replace(placeholder, text)
    return value


def _served(texts: list[str]) -> str:
    """What the tabs of the server's page put into it."""
    url = images.data_url(PNG, "png")
    words = [{"word": text, "question": [(text, 1.0)], "image_share": 0.5, "map": [[0.5]]} for text in texts]
    evidence: dict[str, Any] = {
        "explanation": words, "out_of_domain": True, "question_out_of_domain": True, "confidence": 0.5,
        "sure": False, "silenced_heads": 0.5,
    }  # fmt: skip
    hits: list[dict[str, Any]] = [{"id": text, "score": 0.5, "text": text, "from": text} for text in texts]
    answers = [Answer(text, [1], 0.5, 0.5, True, True, None, None, [1], "greedy", []) for text in texts]
    rows = [
        compare_tab.Row(answer.text, Reply(answer, [], np.zeros(1), 0.0, 1, 1), 1, 1.0) for answer in answers
    ]
    cards = [search_tab.card(rank, hit, url, search_tab.roots(texts[0])) for rank, hit in enumerate(hits)]
    return "".join(
        [
            *(ask_tab.message(text) + ask_tab.waiting(text, text) for text in texts),
            ask_tab.finished_answer(evidence, texts[0], texts[1]),
            ask_tab.finished_answer(evidence | {"explanation": []}, texts[2], texts[3]),
            ui_layout.chips(texts),
            ask_tab.PARTS.pick([Example(url, url, text, texts) for text in texts]),
            ask_tab.PARTS.grid(texts[4], cards),
            ask_tab.PARTS.variants(rows, dict.fromkeys(texts, texts[5])),
            ask_tab.PARTS.table(
                texts, [((text, text), [text, (text, text)], None) for text in texts], texts[6]
            ),
            svg_charts.lines({text: [(0.0, 1.0), (1.0, 2.0)] for text in texts}, texts[7], texts[8]),
        ]
    )


class _Reader(HTMLParser):
    """Everything that a page holds, in its order: elements with their attributes, texts, comments."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Part] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(("element", tag, tuple((name, value or "") for name, value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(("end", tag, ()))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "text":  # the parser may part a text at any sign
            data = self.found.pop()[1] + data
        self.found.append(("text", data, ()))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", data, ()))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("declaration", decl, ()))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("unknown", data, ()))

    def handle_pi(self, data: str) -> None:
        self.found.append(("instruction", data, ()))


def _elements(page: str) -> list[Part]:
    """What an HTML parser finds in a page."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.found


def _values(attributes: Attributes) -> Attributes:
    return tuple((name, _dotted(value)) for name, value in attributes)


def _dotted(text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, SIGNS), DOT))


PROMISE = Promise(
    27, "Markup", "Markup in captions, labels, ids, names of files, questions and answers is shown as text "
    "on every page: no element, attribute or comment is new, as an HTML parser reads it.", "pages", 60, 1000,
    case, prepare,
)  # fmt: skip
