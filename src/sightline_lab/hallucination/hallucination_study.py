"""Chooses settings on the validation splits, then reads the test splits once: the hallucination report.

A way's name is its idea's; a control is named `<idea> <control>`; `greedy` is always there. Several models
(trainings of other seeds) are pooled: what they said about a picture is counted together before pictures are
resampled. So an interval is about other pictures, not about other trainings: three of those are too few to
resample, and Student's interval over three would hold nearly any difference. What a training's chance does is
asked apart: every model's own difference is reported, and a verdict needs the same sign in all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.runtime import derive_seed
from sightline.evaluate import scoring, split_contents
from sightline.evaluate.bootstrap import holm, resamples
from sightline.evaluate.split_contents import Split
from sightline_lab.hallucination import comparison
from sightline_lab.hallucination.comparison import SHIFTED, USUAL, Groups
from sightline_lab.hallucination.decode_runner import narrowed
from sightline_lab.hallucination.decoding_configs import GREEDY, DecodingConfig, Idea, control
from sightline_lab.hallucination.parallel_runner import ParallelRunner, ResponseMessage

RESAMPLES = 10_000  # so that a p-value survives its correction for all ideas
ROLES = {USUAL: ("val", "test"), SHIFTED: ("shift_val", "shift_test")}  # role -> to choose on, to report
BESIDE = "uniform_test"  # reported without controls
TYPICAL_ITEMS, WATCHED_ITEMS = 200, 50  # pictures over which heads are watched
COLUMNS = ["split", "way", "family", "type", "metric", "value", "low", "high", "n"]
BATCH = 100  # rows decoded at a time: in PyTorch large batches save most of the time
Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """The data, and how much of it: pictures per split (0: all)."""

    raw: Path
    vqa: Path
    search_items: int
    items: int
    seed: int

    def read(self, name: str, items: int) -> Split:
        return split_contents.read(self.raw, self.vqa, name, items)

    def has(self, name: str) -> bool:
        path = self.vqa / f"{name}.jsonl"
        return path.is_file() and path.stat().st_size > 0

    def roles(self, place: int) -> dict[str, str]:
        """Role -> split, to choose on (place 0) or to report on (1)."""
        usual, shifted = ROLES[USUAL][place], ROLES[SHIFTED][place]
        return {USUAL: usual, SHIFTED: shifted if self.has(shifted) else usual}


def run(
    crew: ParallelRunner, study: Study, ideas: list[Idea], macs: dict[str, dict[str, int]], say: Say
) -> tuple[dict, list[dict]]:
    """(the result, tidy rows of every figure). macs: by arm, those of a picture, a memory and a token, and of
    a picture's and a text's embedding where there are candidates (compress.cost)."""
    typical = crew.measure_typical(study.read("train", TYPICAL_ITEMS))
    say(f"usual image mass of the heads measured on {TYPICAL_ITEMS} pictures of train")
    searched, chosen = search(crew, study, ideas, say)
    ways: dict[str, DecodingConfig] = {"greedy": GREEDY, **chosen}
    for idea in ideas:
        ways |= {f"{idea.name} {kind}": control(chosen[idea.name], kind) for kind in idea.controls}
    pooled, single, rows, sizes = report(crew, study, ways, set(chosen), say)
    watched = study.read(study.roles(0)[SHIFTED], WATCHED_ITEMS)
    gated = {name: way for name, way in chosen.items() if way.gated}
    silenced = dict(zip(gated, crew.silenced(watched, list(gated.values())), strict=True))
    result = {
        "models": len(single),
        "images": sizes,
        "resamples": RESAMPLES,
        "seed": study.seed,
        "roles": {"choose": study.roles(0), "report": study.roles(1)},
        "search": searched,
        "heads": {
            "typical_image_mass": {arm: of_arm[0] for arm, of_arm in typical.items()},
            "silenced_share": silenced,
        },
        "ways": {name: _way(way, macs[way.arm], rows, name) for name, way in ways.items()},
        "ideas": _ideas(pooled, single, ideas),
        "macs": macs,
    }
    return result, rows


def search(
    crew: ParallelRunner, study: Study, ideas: list[Idea], say: Say
) -> tuple[dict[str, Any], dict[str, DecodingConfig]]:
    """Every try of every idea on what the rule reads; (figures of all, the chosen way of each idea)."""
    tries = list(dict.fromkeys([GREEDY, *(way for idea in ideas for way in idea.ways)]))
    names = {way: str(place) for place, way in enumerate(tries)}
    groups: Groups = {}
    sizes = {}
    roles = study.roles(0)
    for name in dict.fromkeys(roles.values()):
        split = narrowed(study.read(name, study.search_items), _of_rule(name, roles))
        sizes[name] = len(split.lines)
        say(f"{name}: {len(tries)} ways, {len(split.lines)} pictures, {len(split.triples)} questions each")
        found, _ = _scored(study, split, {names[way]: way for way in tries}, crew.answers(split, tries))
        for way, of_way in found.items():
            groups |= {(way, role): of_way for role, of_role in roles.items() if of_role == name}
    base, chosen, listed, p_values = names[GREEDY], {}, {}, []
    greedy = comparison.values(groups, base)
    for idea in ideas:
        figures = [comparison.values(groups, names[way]) for way in idea.ways]
        place = comparison.choose(figures, greedy)
        chosen[idea.name] = idea.ways[place]
        gaps = {test.figure: test for test in comparison.against(groups, names[idea.ways[place]], base)}
        gap = gaps[f"{SHIFTED} chair chair_i"]
        p_values.append(gap.p)
        listed[idea.name] = {
            "chosen": place,
            "allowed": comparison.excess(figures[place], greedy) == 0,
            "chair_i_minus_greedy": [scoring.rounded(x) for x in (gap.value, gap.low, gap.high)],
            "tries": [
                {
                    "settings": way.changes(),
                    "figures": own,
                    "excess_loss": scoring.rounded(comparison.excess(own, greedy)),
                }
                for way, own in zip(idea.ways, figures, strict=True)
            ],
        }
        say(f"{idea.name}: {chosen[idea.name].changes()}")
    for found, p in zip(listed.values(), holm(p_values), strict=True):
        found["p_holm"] = float(f"{p:.2g}")
        fewer = found["chair_i_minus_greedy"][0] < 0 and p < comparison.SIGNIFICANT
        found["supported"] = bool(found["allowed"] and fewer)
    return {"images": sizes, "greedy": greedy, "ideas": listed}, chosen


def report(
    crew: ParallelRunner, study: Study, ways: dict[str, DecodingConfig], ideas: set[str], say: Say
) -> tuple[Groups, list[Groups], list[dict], dict[str, int]]:
    """Every way on the test splits, read once; (groups by role of all models together, of each model, tidy
    rows of all together, pictures of each split)."""
    pooled: Groups = {}
    single: list[Groups] = []
    rows: list[dict] = []
    sizes = {}
    roles = study.roles(1)
    for name in dict.fromkeys([roles[USUAL], roles[SHIFTED], *([BESIDE] if study.has(BESIDE) else [])]):
        split = study.read(name, study.items)
        sizes[name] = len(split.lines)
        asked = {way: how for way, how in ways.items() if name != BESIDE or way in {"greedy", *ideas}}
        say(f"{name}: {len(asked)} ways, {len(split.lines)} pictures, {len(split.triples)} questions each")
        found, apart = _scored(study, split, asked, crew.answers(split, list(dict.fromkeys(asked.values()))))
        single = single or [{} for _ in apart]
        for role in (role for role, of_role in roles.items() if of_role == name):
            for groups, of_model in zip([pooled, *single], [found, *apart], strict=True):
                groups |= {(way, role): of_way for way, of_way in of_model.items()}
        for way, of_way in found.items():
            for group in of_way:
                rows += scoring.figure_rows(group, {"split": name, "way": way, "family": group.family})
    return pooled, single, rows, sizes


def _scored(
    study: Study, split: Split, ways: dict[str, DecodingConfig], said: list[ResponseMessage]
) -> tuple[dict[str, list[scoring.Group]], list[dict[str, list[scoring.Group]]]]:
    """(groups of every named way, all models together; of each model, without what was resampled)."""
    rng = np.random.default_rng(derive_seed(study.seed, "bootstrap", split.name))
    weights_RC = resamples(len(split.lines), RESAMPLES, rng)
    lexicon = split_contents.lexicon(study.vqa)
    done: dict[tuple[str, ...], list[scoring.Group]] = {}
    apart: list[dict[str, list[scoring.Group]]] = []
    for of_model in said:
        for texts in map(tuple, of_model.values()):  # ways that say the same are scored once
            if texts not in done:
                done[texts] = scoring.answer_groups(split, list(texts), lexicon, weights_RC)
        apart.append({name: done[tuple(of_model[way])] for name, way in ways.items()})
    pooled = {name: comparison.pool([of_model[name] for of_model in apart]) for name in ways}
    return pooled, [
        {name: [comparison.total(group) for group in groups] for name, groups in of_model.items()}
        for of_model in apart
    ]


def _of_rule(split: str, roles: dict[str, str]) -> Callable[[str], bool]:
    """Which types of questions the rule needs of a split."""
    here = {role for role, name in roles.items() if name == split}

    def wanted(kind: str) -> bool:
        shifted = kind in ("describe", "pope_adversarial")
        return (shifted and SHIFTED in here) or (kind != "describe" and "pope" not in kind and USUAL in here)

    return wanted


def _way(way: DecodingConfig, macs: dict[str, int], rows: list[dict], name: str) -> dict[str, Any]:
    """Settings and cost of a way. A description's cost: pictures, memories, then tokens of its mean length in
    words plus the end, on `test`, of every candidate, and the candidates' embeddings; attention over earlier
    words is left out."""
    words = next(row["value"] for row in rows if row["way"] == name and row["metric"] == "words")
    views = {"none": (1, 1), "noise": (2, 2), "no_image": (1, 2)}[way.contrast]
    once = views[0] * macs["image"] + views[1] * macs["memory"]
    token = way.passes * macs["token"]
    chosen = way.candidates > 1 and way.choice == "likeness"
    guide = macs["embed_image"] + way.candidates * macs["embed_text"] if chosen else 0
    return {
        "settings": way.changes(),
        "passes_per_token": way.passes,
        "macs_per_token": token,
        "macs_per_description": round(once + way.candidates * token * (words + 1) + guide),
    }


def _ideas(groups: Groups, single: list[Groups], ideas: list[Idea]) -> dict[str, Any]:
    by_idea = {idea.name: comparison.against(groups, idea.name, "greedy", single) for idea in ideas}
    corrected = comparison.corrected(by_idea)
    found = {}
    for idea in ideas:
        random = f"{idea.name} random" if "random" in idea.controls else None
        found[idea.name] = {
            "why": idea.why,
            "verdict": comparison.verdict(by_idea[idea.name], corrected[idea.name]),
            "primaries": [
                {**test.asdict(), "p": float(f"{test.p:.2g}"), "p_holm": float(f"{p:.2g}")}
                for test, p in zip(by_idea[idea.name], corrected[idea.name], strict=True)
            ],
            "controls": {
                kind: [test.asdict() for test in comparison.against(groups, idea.name, f"{idea.name} {kind}")]
                for kind in idea.controls
            },
            "goal": comparison.goal(groups, idea.name, random),
        }
    return found
