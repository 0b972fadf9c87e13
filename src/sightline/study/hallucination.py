"""docs/hallucination.md: which way of decoding invents least, and at what price, from the measured files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.artifacts import read_json
from sightline.evaluate.tables import read_csv
from sightline.study.arms import DEFAULT
from sightline.tables import row

RESULT, FIGURES = Path("metrics/hallucination.json"), Path("metrics/hallucination.csv")
PAGE, PICTURE = Path("docs/hallucination.md"), Path("docs/hallucination.svg")
DECODING, SCENES = "decoding", "scenes"  # the ideas and the data of these files; others name theirs
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
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class About:
    """What a result is about: the name of its file of ideas, and its data."""

    ideas: str
    source: str

    def named(self, path: Path) -> Path:
        """One of the files above: metrics/hallucination_flickr8k.json, docs/hallucination_training.md."""
        own = [name for name in (self.ideas, self.source) if name not in (DECODING, SCENES)]
        return path.with_stem("_".join([path.stem, *own]))

    @property
    def title(self) -> str:
        own = "Which way of decoding invents least", f"Ideas of {self.ideas}.yaml"
        return own[self.ideas != DECODING] + ("" if self.source == SCENES else f": {self.source}")


def write(checkout: Path, about: About) -> None:
    """The page and its picture, from the result and its figures."""
    from sightline.study import hallucination_pictures

    result = read_json(checkout / about.named(RESULT))
    figures = read_csv(checkout / about.named(FIGURES))
    hallucination_pictures.draw(result, checkout / about.named(PICTURE))
    text = page(result, figures, about)
    (checkout / about.named(PAGE)).write_text(text, encoding="utf-8", newline="\n")


def page(result: dict, figures: list[dict[str, str]], about: About) -> str:
    """The whole page as Markdown."""
    ideas = result["ideas"]
    files = [about.named(path) for path in (RESULT, FIGURES)]
    listed = result["call"]["ideas"]
    shifted = result["roles"]["report"]["shift"] != result["roles"]["report"]["usual"]
    under = "CHAIR_i under shift" if shifted else "CHAIR_i"
    parts = [
        f"# {about.title}\n\nWritten by "
        f"`{_command(result['call'])}` from [{files[0]}](../{files[0]}); every figure with its interval is "
        f"in [{files[1]}](../{files[1]}), the ideas are in [{listed}](../{listed}).\n",
        "\n".join(findings(result)) + "\n",
        f"![CHAIR_i against objects named; heads suppressed by each idea]({about.named(PICTURE).name})\n",
        _how(result),
        "## Ideas against greedy decoding\n\nDifference in points on the same pictures, with 95 % interval. "
        "**Bold**: p below 0.05 after Holm's correction for all of this table.\n\n" + _against_greedy(result),
        *_model_by_model(result),
        "## Is it the choice of heads?\n\nThe idea minus the same gate over random heads, or over those that "
        "look most at the image (inverse); below 0, the idea invents less.\n\n" + _against_controls(ideas),
        f"## The goal\n\n{under} at most 0.8 of greedy's, objects named within 1 point, and fewer "
        "inventions than the random control with an interval that leaves out 0.\n\n" + _goal(ideas),
        "## Cost\n\nMultiply-accumulates (MACs), counted; a description's holds the pictures and memories "
        "that the idea needs. The gate itself costs no matrix product.\n\n" + _cost(result["ways"]),
        "## What was tried on validation\n\nThe chosen try of each idea in bold.\n\n" + _tries(result),
        "## Every figure\n\nPercent, but words, MCC (times 100) and CIDEr-D (hundredths). Controls and "
        "intervals: the CSV.\n\n" + _every(figures, set(ideas)),
        "## Heads\n\nMean share of its attention that a head gives to the image, on train; heads below 0.2 "
        "are the question readers that `protect` spares.\n\n" + "\n".join(
            ("" if arm == DEFAULT else f"`{arm}`:\n\n") + _heads(typical_LH)
            for arm, typical_LH in result["heads"]["typical_image_mass"].items()
        ),
    ]
    return "\n".join(parts)


def findings(result: dict) -> list[str]:
    """The answer in plain sentences."""
    by_verdict: dict[str, list[str]] = {}
    for name, idea in result["ideas"].items():
        by_verdict.setdefault(idea["verdict"], []).append(name)
    helps = by_verdict.get("helps", [])
    first = f"**{_listed(helps)}** reduces inventions at no measurable price." if helps else (
        f"**No {_what(result)} that was tried is better than {_greedy(result)} without a price.**"
    )  # fmt: skip
    counts = f"{len(result['ideas'])} ideas, settings chosen on validation, read once on test"
    lines = [first, "", f"{counts}:", ""]
    for verdict in ("helps", "trades", "no difference", "unclear", "hurts"):
        if verdict in by_verdict:
            lines.append(f"- {verdict}: {_listed(by_verdict[verdict])}")
    reached = [name for name, idea in result["ideas"].items() if idea["goal"]["reached"]]
    lines.append(
        f"- The goal (a fifth fewer inventions) is reached by {_listed(reached)}."
        if reached
        else "- No idea reaches the goal of a fifth fewer inventions."
    )
    supported = [name for name, tried in result["search"]["ideas"].items() if tried["supported"]]
    lines.append(
        f"- Validation supports {_listed(supported)}: significantly fewer inventions, all ideas corrected "
        "for, and no other figure of the rule loses more than a point."
        if supported
        else "- Validation supports none of them as a default, so SPIN stays off."
    )
    return lines


def _command(call: dict) -> str:
    """As it was typed, with every option that decides what is found."""
    given = {} if call["ideas"] == f"{DECODING}.yaml" else {"ideas": call["ideas"]}
    options = [f"--{name.replace('_', '-')} {value}" for name, value in (given | call["options"]).items()]
    return " ".join(["sightline hallucination", *options, *(f"--model {given}" for given in call["given"])])


def _models(call: dict, count: int) -> str:
    seeds, given = _listed([str(seed) for seed in call["seeds"]]), _listed(call["given"])
    which = [f"{what} {names}" for what, names in (("seed", seeds), ("folder", given)) if names]
    return f"{'One trained model' if count == 1 else f'{count} trained models'} ({', '.join(which)})"


def _how(result: dict) -> str:
    searched, images = (_sizes(found) for found in (result["search"]["images"], result["images"]))
    roles = result["roles"]["report"]
    count, options = result["models"], result["call"]["options"]
    first, of_test = ("the first ones" if n else "all" for n in (options["search_items"], options["items"]))
    truth = (
        ""
        if roles["shift"] != roles["usual"]
        else " *CHAIR* is caption-CHAIR here: an object counts as invented that none of the picture's five "
        "captions names, so it may well be there."
    )
    several = (
        "One model of one training: another may differ."
        if count == 1
        else "An interval is about other pictures, for these trainings. They are too few to resample "
        "(Student's interval over three would hold nearly any difference), so their chance is asked apart: "
        "a difference counts as better or worse only where every model shows its sign."
    )
    return f"""## How it was measured

{_models(result["call"], count)} of the profile `{result["profile"]}`, fp32, PyTorch; \
{_weights(result)}. Settings were chosen on {searched} ({first}); the test splits were read once, on \
{images} ({of_test}). *Shift* is `{roles["shift"]}`, *usual* is `{roles["usual"]}`.{truth}

**Rule of choice.** Of an idea's tries, the lowest CHAIR_i under shift among those that lose at most a point \
of objects named, of POPE-adversarial accuracy and of short answers; where all lose more, the one that loses \
least.

**Tests.** The figures of the next table were declared beforehand. Intervals: bootstrap over pictures (what \
all models said about a picture is drawn together), \
{result["resamples"]:,} resamples. p-values come from the same resamples, corrected by Holm for all ideas \
and figures together. An idea *helps* where something is significantly better, nothing significantly worse, \
and every loss is bounded below 1 point (one-sided 95 %); it *trades* where something else gets worse or is \
not bounded; it *hurts* where something is worse and nothing better; *no difference*: nothing significant, \
all losses bounded; *unclear*: nothing significant, but a loss of a point cannot be ruled out.

**What this does not say.** {several} Descriptions are decoded greedily, by beam search nothing was tried.
"""


def _trained(result: dict) -> bool:
    """Whether ideas have trainings of their own."""
    return len(result["heads"]["typical_image_mass"]) > 1


def _what(result: dict) -> str:
    return "training or way of decoding" if _trained(result) else "way of decoding"


def _greedy(result: dict) -> str:
    return "the default training decoded greedily" if _trained(result) else "greedy decoding"


def _weights(result: dict) -> str:
    if not _trained(result):
        return "the same weights for every way"
    return (
        "as many of every arm: `arm` names the training of a way in [ablations.yaml](../ablations.yaml), "
        "each at the core-seconds that `default` takes; greedy is of `default`"
    )


def _sizes(images: dict[str, int]) -> str:
    return ", ".join(f"{count:,} pictures of `{name}`" for name, count in images.items())


def _against_greedy(result: dict) -> str:
    first = next(iter(result["ideas"].values()))["primaries"]
    text = row("idea", *(_title(test) for test in first), "verdict") + _rule(len(first) + 2)
    text += row("greedy", *(f"{test['before']:.1f}" for test in first), "")
    for name, idea in result["ideas"].items():
        cells = [
            f"**{_gap(test)}**" if test["p_holm"] < SIGNIFICANT else _gap(test) for test in idea["primaries"]
        ]
        text += row(name, *cells, idea["verdict"])
    return text


def _model_by_model(result: dict) -> list[str]:
    if result["models"] == 1:
        return []
    first = next(iter(result["ideas"].values()))["primaries"]
    text = row("idea", *map(_title, first)) + _rule(len(first) + 1)
    for name, idea in result["ideas"].items():
        cells = (", ".join(f"{gap:+.1f}" for gap in test["by_model"]) for test in idea["primaries"])
        text += row(name, *cells)
    return ["## Model by model\n\nThe same differences of each training, in points.\n\n" + text]


def _against_controls(ideas: dict[str, Any]) -> str:
    first = next(iter(ideas.values()))["primaries"]
    text = row("idea", "control", *(_title(test) for test in first)) + _rule(len(first) + 2)
    for name, idea in ideas.items():
        for kind, found in idea["controls"].items():
            text += row(name, kind, *map(_gap, found))
    return text


def _goal(ideas: dict[str, Any]) -> str:
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


def _cost(ways: dict[str, Any]) -> str:
    base = ways["greedy"]["macs_per_description"]
    text = row("way", "decoder passes a token", "MACs a token", "MACs a description", "times greedy")
    text += _rule(5)
    for name, way in ways.items():
        if name.endswith((" random", " inverse")):
            continue
        each = way["macs_per_description"]
        text += row(name, str(way["passes_per_token"]), f"{way['macs_per_token'] / 1e6:.2f} M",
                    f"{each / 1e6:.0f} M", f"{each / base:.2f}")  # fmt: skip
    return text


def _tries(result: dict) -> str:
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


def _every(figures: list[dict[str, str]], ideas: set[str]) -> str:
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


def _heads(typical_LH: list[list[float]]) -> str:
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


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _rule(columns: int) -> str:
    return "| --- |" + " ---: |" * (columns - 1) + "\n"
