"""Chooses settings on the validation splits, then reads the test splits once: the hallucination report.

A decoding config has the name of its idea; a control is named `<idea> <control>`; `greedy` is always
included. Several models (trainings with other seeds) are pooled: their counts are added per picture before
pictures are resampled. So an interval covers other pictures, not other trainings: three trainings are too few
to resample, and Student's interval over three would hold nearly any difference. The effect of the seed is
reported apart: every model has its difference, and a verdict needs the same sign in all of them.
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
from sightline_lab.hallucination.parallel_runner import AnswersByConfig, ParallelRunner

RESAMPLES = 10_000  # so that a p-value survives its correction for all ideas
ROLES = {USUAL: ("val", "test"), SHIFTED: ("shift_val", "shift_test")}  # role -> to choose on, to report
UNIFORM = "uniform_test"  # reported without controls
TYPICAL_ITEMS, WATCHED_ITEMS = 200, 50  # pictures over which heads are watched
COLUMNS = ["split", "way", "family", "type", "metric", "value", "low", "high", "n", "pictures"]
BATCH = 100  # rows decoded at a time: in PyTorch large batches save most of the time
Echo = Callable[[str], None]


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

    def roles(self, index: int) -> dict[str, str]:
        """Role -> split, to choose on (index 0) or to report on (1)."""
        usual, shifted = ROLES[USUAL][index], ROLES[SHIFTED][index]
        return {USUAL: usual, SHIFTED: shifted if self.has(shifted) else usual}


def run(
    runner: ParallelRunner, study: Study, ideas: list[Idea], macs: dict[str, dict[str, int]], echo: Echo
) -> tuple[dict, list[dict]]:
    """(the result, tidy rows of every figure). macs: by arm, those of a picture, a memory and a token, and of
    a picture's and a text's embedding where there are candidates (compress.model_cost)."""
    typical = runner.measure_typical(study.read("train", TYPICAL_ITEMS))
    echo(f"typical image mass of the heads measured on {TYPICAL_ITEMS} pictures of train")
    searched, chosen = search(runner, study, ideas, echo)
    configs: dict[str, DecodingConfig] = {"greedy": GREEDY, **chosen}
    for idea in ideas:
        configs |= {f"{idea.name} {kind}": control(chosen[idea.name], kind) for kind in idea.controls}
    pooled, single, rows, sizes = report(runner, study, configs, set(chosen), echo)
    watched = study.read(study.roles(0)[SHIFTED], WATCHED_ITEMS)
    gated = {name: config for name, config in chosen.items() if config.gated}
    suppression = dict(zip(gated, runner.suppression(watched, list(gated.values())), strict=True))
    result = {
        "models": len(single),
        "images": sizes,
        "resamples": RESAMPLES,
        "seed": study.seed,
        "roles": {"choose": study.roles(0), "report": study.roles(1)},
        "search": searched,
        "heads": {
            "typical_image_mass": {arm: of_arm[0] for arm, of_arm in typical.items()},
            "silenced_share": suppression,
        },
        "ways": {name: _summary(config, macs[config.arm], rows, name) for name, config in configs.items()},
        "ideas": _verdicts(pooled, single, ideas),
        "macs": macs,
    }
    return result, rows


def search(
    runner: ParallelRunner, study: Study, ideas: list[Idea], echo: Echo
) -> tuple[dict[str, Any], dict[str, DecodingConfig]]:
    """Every try of every idea on the questions of the rule; (figures of all, chosen config of each idea)."""
    tries = list(dict.fromkeys([GREEDY, *(config for idea in ideas for config in idea.configs)]))
    names = {config: str(index) for index, config in enumerate(tries)}
    groups: Groups = {}
    sizes = {}
    roles = study.roles(0)
    for name in dict.fromkeys(roles.values()):
        split = narrowed(study.read(name, study.search_items), _of_rule(name, roles))
        sizes[name] = len(split.lines)
        echo(f"{name}: {len(tries)} configs, {len(split.lines)} pictures, {len(split.triples)} questions")
        scored, _ = _score(
            study, split, {names[config]: config for config in tries}, runner.answers(split, tries)
        )
        for label, config_groups in scored.items():
            groups |= {(label, role): config_groups for role, of_role in roles.items() if of_role == name}
    base, chosen, listed, p_values = names[GREEDY], {}, {}, []
    greedy = comparison.values(groups, base)
    for idea in ideas:
        figures = [comparison.values(groups, names[config]) for config in idea.configs]
        index = comparison.choose(figures, greedy)
        chosen[idea.name] = idea.configs[index]
        gaps = {
            test.figure: test
            for test in comparison.paired_differences(groups, names[idea.configs[index]], base)
        }
        gap = gaps[f"{SHIFTED} chair chair_i"]
        p_values.append(gap.p)
        listed[idea.name] = {
            "chosen": index,
            "allowed": comparison.excess(figures[index], greedy) == 0,
            "chair_i_minus_greedy": [scoring.rounded(x) for x in (gap.value, gap.low, gap.high)],
            "tries": [
                {
                    "settings": config.changes(),
                    "figures": values,
                    "excess_loss": scoring.rounded(comparison.excess(values, greedy)),
                }
                for config, values in zip(idea.configs, figures, strict=True)
            ],
        }
        echo(f"{idea.name}: {chosen[idea.name].changes()}")
    for entry, p in zip(listed.values(), holm(p_values), strict=True):
        entry["p_holm"] = float(f"{p:.2g}")
        fewer = entry["chair_i_minus_greedy"][0] < 0 and p < comparison.SIGNIFICANT
        entry["supported"] = bool(entry["allowed"] and fewer)
    return {"images": sizes, "greedy": greedy, "ideas": listed}, chosen


def report(
    runner: ParallelRunner, study: Study, configs: dict[str, DecodingConfig], ideas: set[str], echo: Echo
) -> tuple[Groups, list[Groups], list[dict], dict[str, int]]:
    """Every config on the test splits, read once; (groups by role of all models together, of each model, tidy
    rows of all together, pictures of each split)."""
    pooled: Groups = {}
    single: list[Groups] = []
    rows: list[dict] = []
    sizes = {}
    roles = study.roles(1)
    for name in dict.fromkeys([roles[USUAL], roles[SHIFTED], *([UNIFORM] if study.has(UNIFORM) else [])]):
        split = study.read(name, study.items)
        sizes[name] = len(split.lines)
        labels = {"greedy", *ideas} if name == UNIFORM else set(configs)
        reported = {label: config for label, config in configs.items() if label in labels}
        echo(f"{name}: {len(reported)} configs, {len(split.lines)} pictures, {len(split.triples)} questions")
        scored, apart = _score(
            study, split, reported, runner.answers(split, list(dict.fromkeys(reported.values())))
        )
        single = single or [{} for _ in apart]
        for role in (role for role, of_role in roles.items() if of_role == name):
            for groups, of_model in zip([pooled, *single], [scored, *apart], strict=True):
                groups |= {(label, role): config_groups for label, config_groups in of_model.items()}
        for label, config_groups in scored.items():
            for group in config_groups:
                rows += scoring.figure_rows(group, {"split": name, "way": label, "family": group.family})
    return pooled, single, rows, sizes


def _score(
    study: Study, split: Split, configs: dict[str, DecodingConfig], answers: list[AnswersByConfig]
) -> tuple[dict[str, list[scoring.Group]], list[dict[str, list[scoring.Group]]]]:
    """(groups of every named config, all models together; of each model, without resamples)."""
    rng = np.random.default_rng(derive_seed(study.seed, "bootstrap", split.name))
    weights_RC = resamples(len(split.lines), RESAMPLES, rng)
    lexicon = split_contents.lexicon(study.vqa)
    done: dict[tuple[str, ...], list[scoring.Group]] = {}
    apart: list[dict[str, list[scoring.Group]]] = []
    for of_model in answers:
        for texts in map(tuple, of_model.values()):  # equal answers are scored once
            if texts not in done:
                done[texts] = scoring.answer_groups(split, list(texts), lexicon, weights_RC)
        apart.append({name: done[tuple(of_model[config])] for name, config in configs.items()})
    pooled = {name: comparison.pool([of_model[name] for of_model in apart]) for name in configs}
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


def _summary(config: DecodingConfig, macs: dict[str, int], rows: list[dict], name: str) -> dict[str, Any]:
    """Settings and cost of a decoding config. A description's cost: pictures, memories, then tokens of its
    mean length in words plus the end, on `test`, of every beam or candidate, and the candidates' embeddings;
    attention over earlier words is left out."""
    words = next(row["value"] for row in rows if row["way"] == name and row["metric"] == "words")
    views = {"none": (1, 1), "noise": (2, 2), "no_image": (1, 2)}[config.contrast]
    once = views[0] * macs["image"] + views[1] * macs["memory"]
    token = config.passes * macs["token"]
    written = config.beams * config.candidates
    chosen = config.candidates > 1 and config.choice == "likeness"
    guide = macs["embed_image"] + config.candidates * macs["embed_text"] if chosen else 0
    return {
        "settings": config.changes(),
        "passes_per_token": config.passes,
        "macs_per_token": token,
        "macs_per_description": round(once + written * token * (words + 1) + guide),
    }


def _verdicts(groups: Groups, single: list[Groups], ideas: list[Idea]) -> dict[str, Any]:
    by_idea = {
        idea.name: comparison.paired_differences(groups, idea.name, "greedy", single) for idea in ideas
    }
    corrected = comparison.corrected(by_idea)
    verdicts = {}
    for idea in ideas:
        random = f"{idea.name} random" if "random" in idea.controls else None
        verdicts[idea.name] = {
            "why": idea.why,
            "verdict": comparison.verdict(by_idea[idea.name], corrected[idea.name]),
            "primaries": [
                {**test.asdict(), "p": float(f"{test.p:.2g}"), "p_holm": float(f"{p:.2g}")}
                for test, p in zip(by_idea[idea.name], corrected[idea.name], strict=True)
            ],
            "controls": {
                kind: [
                    test.asdict()
                    for test in comparison.paired_differences(groups, idea.name, f"{idea.name} {kind}")
                ]
                for kind in idea.controls
            },
            "goal": comparison.goal(groups, idea.name, random),
        }
    return verdicts
