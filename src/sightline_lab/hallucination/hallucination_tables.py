"""The tables of docs/reports/hallucination.md, as Markdown, from the measured result and figures."""

from typing import Any

from sightline.cli.readme_tables import row

NAMES = {
    "chair chair_i": "CHAIR_i",
    "chair recall": "objects named",
    "pope accuracy": "POPE-adversarial",
    "pope false_positive_rate": "false yes",
    "vqa accuracy": "answers",
}
DESCRIBED = ("chair_s", "chair_i", "recall", "words", "bleu_4", "cider_d")
POLLED = ("accuracy", "precision", "recall", "f1", "yes_rate", "false_positive_rate", "mcc", "invalid")
POLLS = ("adversarial", "popular", "random")
CONTROLS = (" random", " inverse", " chance")
SIGNIFICANT = 0.05


def against_greedy(result: dict) -> str:
    first = next(iter(result["ideas"].values()))["primaries"]
    text = row("idea", *(_title(test) for test in first), "verdict") + _rule(len(first) + 2)
    text += row("greedy", *(f"{test['before']:.1f}" for test in first), "")
    for name, idea in result["ideas"].items():
        cells = [
            f"**{_gap(test)}**" if test["p_holm"] < SIGNIFICANT else _gap(test) for test in idea["primaries"]
        ]
        text += row(name, *cells, idea["verdict"])
    return text


def model_by_model(result: dict) -> list[str]:
    if result["models"] == 1:
        return []
    first = next(iter(result["ideas"].values()))["primaries"]
    text = row("idea", *map(_title, first)) + _rule(len(first) + 1)
    for name, idea in result["ideas"].items():
        cells = (", ".join(f"{gap:+.1f}" for gap in test["by_model"]) for test in idea["primaries"])
        text += row(name, *cells)
    return ["## Model by model\n\nThe same differences of each training, in points.\n\n" + text]


def against_controls(ideas: dict[str, Any]) -> str:
    first = next(iter(ideas.values()))["primaries"]
    text = row("idea", "control", *(_title(test) for test in first)) + _rule(len(first) + 2)
    for name, idea in ideas.items():
        for kind, found in idea["controls"].items():
            text += row(name, kind, *map(_gap, found))
    return text


def goal(ideas: dict[str, Any]) -> str:
    text = row("idea", "CHAIR_i, ratio to greedy", "objects named, points", "CHAIR_i minus random", "reached")
    text += _rule(5)
    for name, idea in ideas.items():
        found = idea["goal"]
        against = found.get("chair_i_minus_random")
        text += row(
            name, f"{found['chair_i_ratio']:.2f}", f"{found['recall_difference']:+.1f}",
            "{:+.2f} [{:+.2f}, {:+.2f}]".format(*against) if against else "no control",
            "yes" if found["reached"] else "no",
        )  # fmt: skip
    return text


def cost(ways: dict[str, Any]) -> str:
    base = ways["greedy"]["macs_per_description"]
    text = row("way", "decoder passes a token", "MACs a token", "MACs a description", "times greedy")
    text += _rule(5)
    for name, way in ways.items():
        if name.endswith(CONTROLS):
            continue
        each = way["macs_per_description"]
        text += row(name, str(way["passes_per_token"]), f"{way['macs_per_token'] / 1e6:.2f} M",
                    f"{each / 1e6:.0f} M", f"{each / base:.2f}")  # fmt: skip
    return text


def tries(result: dict) -> str:
    greedy = result["search"]["greedy"]
    text = row("idea", "setting", *map(_name, greedy), "allowed") + _rule(len(greedy) + 3)
    text += row("greedy", "", *(f"{value:.1f}" for value in greedy.values()), "")
    for name, idea in result["search"]["ideas"].items():
        for place, tried in enumerate(idea["tries"]):
            setting = ", ".join(f"{key} {value}" for key, value in tried["settings"].items())
            cells = [f"{tried['figures'][key]:.1f}" if key in tried["figures"] else "" for key in greedy]
            allowed = "yes" if tried["excess_loss"] == 0 else "no"
            text += row(name, f"**{setting}**" if place == idea["chosen"] else setting, *cells, allowed)
    return text


def every(figures: list[dict[str, str]], ideas: set[str]) -> str:
    shown = [line for line in figures if line["way"] == "greedy" or line["way"] in ideas]
    cells = {
        (line["split"], line["way"], line["family"], line["type"], line["metric"]): float(line["value"])
        for line in shown
    }
    text = ""
    for split in dict.fromkeys(line["split"] for line in shown):
        of_split = [line for line in shown if line["split"] == split]
        ways = list(dict.fromkeys(line["way"] for line in of_split))
        truth = next((line["type"] for line in of_split if line["family"] == "chair"), None)
        kinds = list(dict.fromkeys(line["type"] for line in of_split if line["family"] == "vqa"))
        columns = [("vqa", kind, "accuracy", kind) for kind in kinds]
        text += f"### {split}\n\nShort answers, accuracy.\n\n" + _wide(cells, split, ways, columns) + "\n"
        if truth is not None:
            columns = [
                ("caption" if metric in ("bleu_4", "cider_d") else "chair",
                 "describe" if metric in ("bleu_4", "cider_d") else truth, metric, metric)
                for metric in DESCRIBED
            ]  # fmt: skip
            text += f"Descriptions ({truth}).\n\n" + _wide(cells, split, ways, columns) + "\n"
        for poll in POLLS:
            if any(line["family"] == "pope" and line["type"] == poll for line in of_split):
                columns = [("pope", poll, metric, metric) for metric in POLLED]
                text += f"POPE, {poll}.\n\n" + _wide(cells, split, ways, columns) + "\n"
    return text


def _wide(cells: dict, split: str, ways: list[str], columns: list[tuple[str, str, str, str]]) -> str:
    text = row("way", *(title.replace("_", " ") for *_, title in columns)) + _rule(len(columns) + 1)
    for way in ways:
        text += row(way, *(f"{cells[split, way, *key]:.1f}" for *key, _ in columns))
    return text


def heads(typical_LH: list[list[float]]) -> str:
    text = row("layer", *(f"head {head}" for head in range(len(typical_LH[0])))) + _rule(
        len(typical_LH[0]) + 1
    )
    for layer, typical_H in enumerate(typical_LH):
        text += row(str(layer), *(f"{mass:.2f}" for mass in typical_H))
    return text


def _name(figure: str) -> str:
    """'shift chair chair_i' -> 'CHAIR_i, shift'."""
    role, rest = figure.split(" ", 1)
    return f"{NAMES[rest]}, {role}"


def _title(test: dict) -> str:
    return _name(test["figure"]) + (" (lower is better)" if test["lower_is_better"] else "")


def _gap(test: dict) -> str:
    return f"{test['value']:+.1f} [{test['low']:+.1f}, {test['high']:+.1f}]"


def _rule(columns: int) -> str:
    return "| --- |" + " ---: |" * (columns - 1) + "\n"
