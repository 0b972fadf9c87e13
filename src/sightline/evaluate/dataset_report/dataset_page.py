"""The page of an analysis: one offline HTML file; all text in it is escaped."""

import base64
from html import escape
from pathlib import Path

from sightline.core.html_style import CSS
from sightline.evaluate.dataset_report.dataset_card import called, percent

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:16px;padding:14px 18px}
.tile b{display:block;font-size:26px;letter-spacing:-.02em;line-height:1.25}
.tile span{color:var(--quiet);font-size:13.5px}
section.wide table{border-spacing:0;width:100%}
section.wide th,section.wide td{padding:6px 14px 6px 0;height:auto;font-size:14.5px;text-align:left;
white-space:nowrap;border-bottom:1px solid var(--line);border-radius:0}
section.wide .n{text-align:right;font-variant-numeric:tabular-nums}
section.wide .said{white-space:normal;min-width:260px}
.plot{background:#fff;border-radius:12px;margin-top:16px;padding:6px}
.plot img{width:100%;min-width:640px;max-width:1060px;display:block;margin:0 auto}
.plot.square img{max-width:820px}
.chips{display:flex;flex-wrap:wrap;gap:7px;margin-top:14px}
.chips span{background:var(--accent-soft);border-radius:8px;padding:2px 10px;font-size:14.5px}
.chips i{font-style:normal;color:var(--quiet);font-size:12.5px;margin-left:6px}
.rows{display:grid;grid-template-columns:max-content 1fr max-content;gap:5px 12px;align-items:center;
margin-top:14px;font-size:14.5px}
.rows .line{height:12px;border-radius:6px;background:var(--line);overflow:hidden}
.rows .line i{display:block;height:100%;background:var(--accent);border-radius:6px}
.parts{display:flex;height:26px;min-width:220px;border-radius:7px;overflow:hidden;gap:1px;
background:var(--line)}
.parts span{background:var(--accent-soft);font-size:12px;line-height:26px;overflow:hidden;text-align:center;
text-overflow:clip;min-width:0}
.parts span.top{background:var(--accent);color:var(--card)}
section.wide .hues td{text-align:center;border:0;padding:3px;min-width:48px}
section.wide .hues td span{display:block;border-radius:7px;padding:5px 0}
section.wide .hues .none span{border:1.5px dashed var(--bad);color:var(--bad)}
section.wide .hues th{border:0}
section.wide .hues th+th{text-align:center}
details{margin-top:18px}
summary{font-size:16px;font-weight:650;cursor:pointer}
.mark{background:var(--accent-soft);color:var(--accent);border-radius:999px;padding:1px 10px;font-size:12.5px;
font-weight:600}
.shots{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:22px;margin-top:16px}
.shots img{width:100%;border-radius:12px;display:block;background:var(--line)}
.shots img.small{image-rendering:pixelated}
.shots p{margin:6px 0 0;font-size:13.5px;color:var(--quiet);line-height:1.45}
.shots .q{color:var(--ink);font-weight:650;font-size:15px}
.shots .a{color:var(--accent);font-size:15px;margin-top:1px}
h3{font-size:16px;margin:22px 0 0}
"""


def write(path: Path, found: dict, examples: list[dict], drawn: dict[str, Path]) -> None:
    """Write the page; `drawn` are the PNG files by name, which are put into it."""
    plots = {name: _data(file.read_bytes(), "png") for name, file in drawn.items()}
    parts = [
        _tiles(found), _splits(found), _captions(found, plots), _vocabulary(found, plots),
        _objects(found, plots), _hues(found), _questions(found), _left_out(found), _examples(examples),
    ]  # fmt: skip
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>Sightline: what is in {escape(called(found))}</title><style>{CSS}{_STYLE}</style></head>
<body><header><h1>What is in {escape(called(found))}</h1>
<p class="lead">Captions, words, things and questions, counted as the pipeline reads them. A habit of the data
that is strong here is what a model can learn instead of looking.</p></header>
<main>
{"".join(parts)}
</main>
<footer><p>Every figure is in <code>analysis.json</code>, a short card for your notes in <code>data.md</code>,
both beside this page. Written by <code>sightline dataset-report</code>.</p></footer></body></html>
"""
    path.write_text(text, encoding="utf-8", newline="\n")


def _data(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(data).decode("ascii")


def _section(title: str, lead: str, *parts: str) -> str:
    inner = "\n".join(parts)
    return f'<section class="wide"><h2>{title}</h2>\n<p class="lead">{lead}</p>\n{inner}</section>\n'


def _plot(source: str, alt: str, shape: str = "") -> str:
    return f'<div class="plot scroll {shape}"><img src="{source}" alt="{alt}"></div>'


def _table(head: list[str], rows: list[list[str]], text: int = 1, kind: str = "") -> str:
    """Cells are HTML already; the first `text` columns are words, the others numbers."""
    classes = ["" if column < text else ' class="n"' for column in range(len(head))]
    titles = "".join(f"<th{c}>{cell}</th>" for c, cell in zip(classes, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{c}>{cell}</td>" for c, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table class="{kind}"><tr>{titles}</tr>{body}</table></div>'


def _tiles(found: dict) -> str:
    splits = found["splits"].values()
    base = found["base"]
    tiles = [
        (f"{sum(s['items'] for s in splits):,}", "items"),
        (f"{sum(s['pictures'] for s in splits):,}", "pictures"),
        (f"{sum(s['captions'] for s in splits):,}", "captions"),
        (f"{found['vocabulary'][base]['different']:,}", f"different words in {base}"),
        (f"{len(found['objects']['splits'][base]['counts']):,}", f"kinds of things in {base}"),
        (f"{sum(s.get('questions', 0) for s in splits):,}", "questions"),
    ]
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><b>{number}</b><span>{escape(name)}</span></div>' for number, name in tiles
    ) + "</div>\n"  # fmt: skip


def _splits(found: dict) -> str:
    rows = []
    for name in found["order"]:
        split, seen = found["splits"][name], found["pictures"][name]
        numbers = [f"{split[key]:,}" for key in ("items", "pictures", "captions")]
        rows.append([escape(name), *numbers, f"{split.get('questions', 0):,}", escape(sides(seen))])
    head = ["split", "items", "pictures", "captions", "questions", "picture size, pixels"]
    return _section("Splits", "What each part of the data holds.", _table(head, rows))


def sides(seen: dict) -> str:
    """Picture sizes of a split in words."""
    if not seen["n"]:
        return "-"
    if seen["different_sizes"] == 1:
        return "{} x {}".format(*seen["common_sizes"][0])
    width, height = seen["width"], seen["height"]
    return f"{width['min']} to {width['max']} wide, {height['min']} to {height['max']} high"


def _captions(found: dict, plots: dict[str, str]) -> str:
    base, rows = found["base"], []
    for name in found["order"]:
        told = found["captions"][name]
        spread, coded = told["words"], told["tokens"]
        if not spread["n"]:
            continue
        rows.append(
            [
                escape(name),
                f"{told['per_item']['mean']:.1f}",
                f"{spread['mean']:.1f}",
                f"{spread['min']} to {spread['max']}",
                str(coded["max"]) if coded else "-",
                percent(coded["cut_share"], 1) if coded else "-",
                percent(told["different"] / spread["n"], 1),
                percent(told.get(f"also_in_{base}_share"), 1),
            ]
        )
    head = [
        "split", "captions an item", "words, mean", "range", "longest, tokens", "cut", "different",
        f"also in {escape(base)}",
    ]  # fmt: skip
    lead = "A caption longer than the text tower reads is cut; one in two splits can be learned by heart."
    return _section("Captions", lead, _table(head, rows), _plot(plots["lengths"], "caption lengths"))


def _vocabulary(found: dict, plots: dict[str, str]) -> str:
    base = found["base"]
    told = found["vocabulary"][base]
    rows = []
    for name in found["order"]:
        words, coded = found["vocabulary"][name], found["captions"][name]["tokens"]
        numbers = [f"{words[key]:,}" for key in ("running", "different", "once")]
        unknown = percent(words.get("unknown_running_share"), 2)
        missing = percent(coded["unknown_share"], 2) if coded else "-"
        rows.append([escape(name), *numbers, unknown, missing])
    head = ["split", "words in all", "different", "used once", f"not in {escape(base)}", "unknown tokens"]
    chips = "".join(f"<span>{escape(word)}<i>{n:,}</i></span>" for word, n in told["top"])
    return _section(
        "Vocabulary", f"The most frequent words of {escape(base)}, and how much of the other splits is new.",
        f'<div class="chips">{chips}</div>', _table(head, rows), _plot(plots["zipf"], "word frequencies"),
    )  # fmt: skip


def _objects(found: dict, plots: dict[str, str]) -> str:
    base = found["base"]
    told = found["objects"]["splits"][base]
    where = found["objects"]["source"]
    if not told["counts"]:
        lead = "No caption names a thing that the question rules know, so none can be asked about."
        return _section("Things", lead)
    ranked = sorted(told["counts"].items(), key=lambda entry: (-entry[1], entry[0]))[:24]
    top = ranked[0][1]
    bars = "".join(
        f'<span>{escape(name)}</span><span class="line"><i style="width:{100 * n / top:.1f}%"></i></span>'
        f"<span>{percent(n / told['items'], 1)}</span>"
        for name, n in ranked
    )
    lead = (
        f"Things per item of {escape(base)} by the {where}: {told['per_item']:.1f} on the average, none in "
        f"{percent(told['none_share'], 1)}. Bars: percent of the items."
    )
    parts = [f'<div class="rows">{bars}</div>']
    if "pairs" in plots:
        parts += ["<h3>Pairs</h3>", _plot(plots["pairs"], "percent of pictures, pair by pair", "square")]
    rows = []
    for pair in found["objects"]["across"]:
        own = pair["splits"][base]
        mark = ' <span class="mark">built in</span>' if pair["built_in"] else ""
        arrow = f"{escape(pair['given'])} &rarr; {escape(pair['then'])}{mark}"
        rows.append(
            [
                arrow,
                f"{own['given']:,}",
                percent(own["share"]),
                percent(pair["base"]),
                f"{own['share'] / pair['base']:.1f}",
                *(percent(pair["splits"][name]["share"]) for name in found["order"][1:]),
            ]
        )
    if rows:
        head = ["given &rarr; then", "given", "then", "anyway", "lift", *map(escape, found["order"][1:])]
        note = (
            f'<h3>Habits</h3><p class="lead">The pairs of {escape(base)} that most exceed chance, by '
            "the lower end of a 95 % interval: with the first, how often the second; anyway, how often it is "
            "in any picture; lift, their ratio. A split where the figure differs tests for it.</p>"
        )
        parts += [note, _table(head, rows), _plot(plots["across"], "the strongest pairs in every split")]
    return _section("Things", lead, *parts)


def _hues(found: dict) -> str:
    if not found["colors"]:
        return ""
    told = found["colors"]
    base = found["base"]
    table = told["splits"][base]
    top = max(max(row.values()) for row in table.values())
    body = ""
    for kind in told["kinds"]:
        cells = ""
        for hue in told["colors"]:
            n = table[kind][hue]
            fill = f"color-mix(in srgb,var(--accent) {45 * n / max(top, 1):.0f}%,var(--card))"
            cells += f'<td><span style="background:{fill}">{n:,}</span></td>' if n else (
                '<td class="none"><span>0</span></td>'
            )  # fmt: skip
        body += f"<tr><th>{escape(kind)}</th>{cells}</tr>"
    head = "".join(f"<th>{escape(hue)}</th>" for hue in told["colors"])
    elsewhere = [name for name in found["order"] if len(told["never"][name]) < len(told["never"][base])]
    shown = ", ".join(elsewhere) or "no split"
    lead = (
        f"Objects of {escape(base)} of each kind and colour: {len(told['never'][base])} pairs are never "
        f"shown (dashed); {escape(shown)} has some of them."
    )
    grid = f'<div class="scroll"><table class="hues"><tr><th></th>{head}</tr>{body}</table></div>'
    return _section("Kind and colour", lead, grid)


def _questions(found: dict) -> str:
    if not found["questions"]:
        lead = (
            "No item of train has a picture on this disk, so no question was made. Remote pictures are "
            "fetched by <code>dvc repro convert</code>; after it <code>sightline dataset-report</code> "
            "without a table shows the questions too."
        )
        return _section("Questions", lead)
    lead = (
        "What one would score without looking: with the split's most frequent answer, with the most frequent "
        "answer of train to the very same question. Entropy: 100 % when all its answers are equally frequent."
    )
    parts = []
    for split in [name for name in found["order"] if name in found["questions"]]:
        rows = []
        for kind, told in found["questions"][split].items():
            if kind == "describe":
                rows.append(["describe", "free text", f"{told['n']:,}", "-", "-", "-"])
                continue
            bar = "".join(
                f'<span style="flex:{n}"{" class=top" if place == 0 else ""} '
                f'title="{escape(answer)}: {n}">{escape(answer)}</span>'
                for place, (answer, n) in enumerate(told["answers"])
            )
            bar += f'<span style="flex:{told["other"]}">others</span>' if told["other"] else ""
            rows.append(
                [
                    escape(kind),
                    f'<div class="parts">{bar}</div>',
                    f"{told['n']:,}",
                    percent(told["majority"]["share"], 1),
                    percent(told.get("train_question_share"), 1),
                    percent(told["entropy_share"]),
                ]
            )
        head = ["type", "answers", "questions", "most frequent", "same question in train", "entropy"]
        opened = " open" if split in ("train", "test") else ""
        inner = _table(head, rows, text=2)
        parts.append(f"<details{opened}><summary>{escape(split)}</summary>{inner}</details>")
    return _section("Questions", lead, *parts)


def _left_out(found: dict) -> str:
    counts = [(reason, n, "reading") for reason, n in found["refused"].items()]
    counts += [(reason, n, "questions") for reason, n in found["left_out"].items()]
    rows = [[escape(reason.replace("_", " ")), place, f"{n:,}"] for reason, n, place in counts]
    if not rows:
        return _section("Left out", "Nothing: every row was read, no picture is in two splits.")
    parts = [_table(["reason", "left out of", "items"], rows, text=2)]
    if found["refused_first"]:
        first = [
            [escape(fault["id"]), f'<div class="said">{escape(fault["detail"])}</div>']
            for fault in found["refused_first"]
        ]
        parts.append(f"<h3>The first {len(first)}</h3>" + _table(["id", "why"], first, text=2))
    lead = (
        "Rows that could not be read, pictures that could not be had (their text stays), and items of which "
        "no question is asked, as of a picture that is also in a later split."
    )
    return _section("Left out", lead, *parts)


def _examples(examples: list[dict]) -> str:
    cards = "".join(
        f'<div><img class="{"small" if shown["small"] else ""}" alt="{escape(shown["id"])}" '
        f'src="{_data(shown["bytes"], shown["format"])}"><p class="q">{escape(shown["question"])}</p>'
        f'<p class="a">{escape(shown["answer"])}</p><p>{escape(shown["captions"][0])}</p></div>'
        for shown in examples
    )
    lead = "Drawn by the seed: a question of each picture, its answer, and the first caption."
    return _section("Examples", lead, f'<div class="shots">{cards}</div>') if examples else ""
