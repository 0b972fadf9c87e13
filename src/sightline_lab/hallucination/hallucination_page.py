"""docs/reports/hallucination.md: which way of decoding invents least, at what price, from measured files."""

from dataclasses import dataclass
from pathlib import Path

from sightline.core.artifacts import read_json
from sightline.evaluate.result_files import read_csv
from sightline_lab.ablations.arms import DEFAULT
from sightline_lab.hallucination import hallucination_tables as tables

RESULT, FIGURES = Path("metrics/hallucination.json"), Path("metrics/hallucination.csv")
PAGE, PICTURE = Path("docs/reports/hallucination.md"), Path("docs/reports/hallucination.svg")
IDEAS = Path("lab/hallucination_decoding.yaml")
SCENES = "scenes"  # the ideas and the data of the files above; others name theirs


@dataclass(frozen=True)
class About:
    """What a result is about: its file of ideas, and its data."""

    ideas: Path
    source: str

    def named(self, path: Path) -> Path:
        """One of the files above: metrics/hallucination_flickr8k.json, metrics/hallucination_training.csv."""
        ideas = [] if self.ideas == IDEAS else [self.ideas.stem.removeprefix("hallucination_")]
        own = ideas + ([] if self.source == SCENES else [self.source])
        return path.with_stem("_".join([path.stem, *own]))

    @property
    def title(self) -> str:
        own = "Which way of decoding invents least", f"Ideas of {self.ideas}"
        return own[self.ideas != IDEAS] + ("" if self.source == SCENES else f": {self.source}")


def write(checkout: Path, about: About) -> None:
    """The page and its picture, from the result and its figures."""
    from sightline_lab.hallucination import hallucination_figures

    result = read_json(checkout / about.named(RESULT))
    figures = read_csv(checkout / about.named(FIGURES))
    hallucination_figures.draw(result, checkout / about.named(PICTURE))
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
        f"`{_command(result['call'])}` from [{files[0]}](../../{files[0]}); every figure with its interval "
        f"is in [{files[1]}](../../{files[1]}), the ideas are in [{listed}](../../{listed}).\n",
        "\n".join(findings(result)) + "\n",
        f"![CHAIR_i against objects named; heads suppressed by each idea]({about.named(PICTURE).name})\n",
        _how(result),
        "## Ideas against greedy decoding\n\nDifference in points on the same pictures, with 95 % interval. "
        "**Bold**: p below 0.05 after Holm's correction for all of this table.\n\n"
        + tables.against_greedy(result),
        *tables.model_by_model(result),
        "## Is it the choice of heads or of candidates?\n\nThe idea minus the same gate over random heads or "
        "over those that look most at the image (inverse), or minus any of the same candidates (chance); "
        "below 0, the idea invents less.\n\n" + tables.against_controls(ideas),
        f"## The goal\n\n{under} at most 0.8 of greedy's, objects named within 1 point, and fewer "
        "inventions than the random control with an interval that leaves out 0.\n\n" + tables.goal(ideas),
        "## Cost\n\nMultiply-accumulates (MACs), counted; a description's holds the pictures, memories and "
        "candidates that the idea needs, and the embeddings that choose among them. The gate itself costs no "
        "matrix product.\n\n" + tables.cost(result["ways"]),
        "## What was tried on validation\n\nThe chosen try of each idea in bold.\n\n" + tables.tries(result),
        "## Every figure\n\nPercent, but words, MCC (times 100) and CIDEr-D (hundredths). Controls and "
        "intervals: the CSV.\n\n" + tables.every(figures, set(ideas)),
        "## Heads\n\nMean share of its attention that a head gives to the image, on train; heads below 0.2 "
        "are the question readers that `protect` spares.\n\n"
        + "\n".join(
            ("" if arm == DEFAULT else f"`{arm}`:\n\n") + tables.heads(typical_LH)
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
    verb = "reduces" if len(helps) == 1 else "reduce"
    first = f"**{_listed(helps)}** {verb} inventions at no measurable price." if helps else (
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
    given = {} if call["ideas"] == IDEAS.as_posix() else {"ideas": call["ideas"]}
    options = [f"--{name.replace('_', '-')} {value}" for name, value in (given | call["options"]).items()]
    models = [f"--model {folder}" for folder in call["given"]]
    return " ".join(["sightline lab hallucination", *options, *models])


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

**What this does not say.** {several} Beam search was not tried.
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
        "as many of every arm: `arm` names the training of a way in "
        "[ablations.yaml](../../lab/ablations.yaml), each at the core-seconds that `default` takes; greedy "
        "is of `default`"
    )


def _sizes(images: dict[str, int]) -> str:
    return ", ".join(f"{count:,} pictures of `{name}`" for name, count in images.items())


def _listed(names: list[str]) -> str:
    return ", ".join(names)
