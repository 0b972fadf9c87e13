"""Summary of the runs of the arms: means, paired differences to `default`, verdicts, the page.

A difference is paired by seed: the same pictures, the same questions, another arm. Its 95 % interval is
Student's, over the seeds.
"""

import math
from dataclasses import dataclass

from sightline.cli.readme_tables import row
from sightline_lab.ablations.arms import DEFAULT, STAGES

STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # 1 to 9 degrees of freedom
LOWER_IS_BETTER = ("chair_i",)
NAMES = {
    "answers": "answers, mean of types",
    "chair_i": "CHAIR_i",
    "recall": "objects named",
    "text_to_image_r1": "text to image R@1",
    "image_to_text_r1": "image to text R@1",
    "text_to_image_reranked_r1": "re-ranked R@1",
    "text_to_image_described_r1": "re-ranked by description R@1",
    "image_to_text_reranked_r1": "image to text re-ranked R@1",
    "swapped_kind": "swapped kind",
}
HEADLINES = {"answers": "answers", "text_to_image_r1": "search"}  # figure -> what its verdict is about


@dataclass(frozen=True)
class Spread:
    """Values by seed, their mean, and half of the mean's 95 % interval (None for one seed)."""

    values: list[float]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def deviation(self) -> float:
        """Sample standard deviation; 0 for one seed."""
        if len(self.values) == 1:
            return 0.0
        return math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (len(self.values) - 1))

    @property
    def half(self) -> float | None:
        freedom = len(self.values) - 1
        if freedom == 0:
            return None
        return STUDENT_95[min(freedom, len(STUDENT_95)) - 1] * self.deviation / math.sqrt(freedom + 1)

    @property
    def text(self) -> str:
        """The mean to one decimal; with several seeds also the standard deviation."""
        return f"{self.mean:.1f}" + (f" ± {self.deviation:.1f}" if len(self.values) > 1 else "")

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.half is not None and abs(self.mean) > self.half


def values(result: dict, arm: str, figure: str) -> Spread:
    return Spread([run["figures"][figure] for run in result["arms"][arm]["runs"].values()])


def difference(result: dict, arm: str, figure: str) -> Spread:
    """`arm` minus `default` by seed, points."""
    pairs = zip(values(result, arm, figure).values, values(result, DEFAULT, figure).values, strict=True)
    return Spread([value - base for value, base in pairs])


def verdict(gap: Spread, figure: str) -> str:
    """The effect of the part that an arm leaves out: helps, hurts, no difference, ..."""
    if not any(gap.values):
        return "not involved"
    if gap.half is None:
        return "one seed"
    if not gap.clear:
        return "no difference"
    return "hurts" if (gap.mean > 0) != (figure in LOWER_IS_BETTER) else "helps"


def other_arms(result: dict) -> list[str]:
    """Every arm but `default`, the largest loss of accuracy first."""
    names = [name for name in result["arms"] if name != DEFAULT]
    return sorted(names, key=lambda name: (difference(result, name, "answers").mean, name))


def page(result: dict) -> str:
    """docs/reports/ablations.md."""
    arms, changed = result["arms"], other_arms(result)
    seeds = ", ".join(map(str, result["seeds"]))
    names = list(arms[DEFAULT]["runs"][str(result["seeds"][0])]["figures"])
    text = f"""# What each part is worth

Written by `sightline lab study --scale {result["scale"]:g} --seeds {len(result["seeds"])}` from \
[metrics/ablations.json](../../metrics/ablations.json); the arms are in \
[ablations.yaml](../../lab/ablations.yaml).

Profile `{result["profile"]}`, {result["scale"]:g} times its epochs of fine-tuning, the stages before it \
whole, seeds {seeds}. A seed draws its own pictures, initialisation and batches. All figures are of the fp32 \
model on (at most) the first {result["pictures"]} pictures of `val`, percent; nothing here has seen `test`. \
Every arm was given the same core-seconds: what an epoch costs was measured first, and an arm that saves \
trains longer (the epochs are below). The figure kept from a run is its best evaluation on `val`, for every \
arm alike.

**Rule.** A part *helps* where leaving it out makes the figure worse and the 95 % interval of the paired \
difference over the seeds (Student) leaves out 0; it *hurts* where the figure gets better; otherwise the \
study sees *no difference*, which with few seeds does not say that there is none. *Not involved*: the \
figure is the same in every seed. One in twenty such intervals is wrong by chance.

![Difference of every arm to the default, a dot a seed](ablations.svg)

"""
    text += row("arm", "answers %", "difference", "part, for answers", "R@1 %", "difference",
                 "part, for search", "core-seconds planned", "achieved") + _rule(9)  # fmt: skip
    for name in (DEFAULT, *changed):
        cells = []
        for figure in HEADLINES:
            spread = values(result, name, figure)
            cells.append(spread.text)
            if name == DEFAULT:
                cells += ["", ""]
            else:
                gap = difference(result, name, figure)
                cells += [_gap(gap), verdict(gap, figure)]
        spent = Spread([sum(run["core_seconds"].values()) for run in arms[name]["runs"].values()])
        planned = sum(arms[name]["planned_core_seconds"].values())
        text += row(_title(name), *cells, f"{planned:.0f}", f"{spent.mean:.0f}")
    if len(result["seeds"]) > 1:
        text += "\n± is the standard deviation over the seeds, [ ] the mean difference's 95 % interval.\n"
    else:
        text += "\nOne seed: how far another would differ is unknown, so the rule gives no verdict.\n"
    text += "\n## Every figure, difference to the default in points\n\nBold: the interval leaves out 0.\n\n"
    text += row("figure", "default", *map(_title, changed)) + _rule(2 + len(changed))
    for figure in names:
        base = values(result, DEFAULT, figure)
        gaps = [difference(result, name, figure) for name in changed]
        cells = [f"**{gap.mean:+.1f}**" if gap.clear else f"{gap.mean:+.1f}" for gap in gaps]
        text += row(NAMES.get(figure, figure), base.text, *cells)
    text += "\n## The arms\n\n"
    text += row("arm", "what it changes", *(f"{stage} epochs" for stage in STAGES)) + _rule(5)
    for name in (DEFAULT, *changed):
        epochs = [f"{arms[name]['changes'][f'{stage}.epochs']:g}" for stage in STAGES]
        text += row(_title(name), arms[name]["why"], *epochs)
    text += "\n## What an epoch costs\n\nOne process of one thread, measured before the runs.\n\n"
    text += row("stage and what is changed", "fixed, core-seconds", "an epoch, core-seconds") + _rule(3)
    for name, cost in result["calibration"].items():
        text += row(f"`{name}`", f"{cost['fixed']:.1f}", f"{cost['per_epoch']:.1f}")
    return text


def _title(name: str) -> str:
    return name.replace("-", " ")


def _gap(gap: Spread) -> str:
    if gap.half is None:
        return f"{gap.mean:+.1f}"
    return f"{gap.mean:+.1f} [{gap.mean - gap.half:+.1f}, {gap.mean + gap.half:+.1f}]"


def _rule(columns: int) -> str:
    return "| --- |" + " ---: |" * (columns - 1) + "\n"
