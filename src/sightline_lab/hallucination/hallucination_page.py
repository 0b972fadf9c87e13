"""docs/reports/hallucination.md: hallucination rate and cost of each decoding config, from measured files."""

from dataclasses import dataclass
from pathlib import Path

from sightline.core import templates
from sightline.core.artifacts import read_json
from sightline.evaluate.result_files import read_csv
from sightline_lab.ablations.arms import DEFAULT

RESULT, FIGURES = Path("metrics/hallucination.json"), Path("metrics/hallucination.csv")
PAGE, PICTURE = Path("docs/reports/hallucination.md"), Path("docs/reports/hallucination.svg")
IDEAS = Path("lab/hallucination_decoding.yaml")
SCENES = "scenes"  # the ideas and the data of the files above; others name theirs
NAMES = {
    "chair chair_i": "CHAIR_i",
    "chair recall": "objects named",
    "pope accuracy": "POPE-adversarial",
    "pope false_positive_rate": "false yes",
    "vqa accuracy": "answers",
}
DESCRIBED, LIKE_CAPTIONS = ("chair_s", "chair_i", "recall", "words"), ("bleu_4", "cider_d")
POLLED = ("accuracy", "precision", "recall", "f1", "yes_rate", "false_positive_rate", "mcc", "invalid")
POLLS = ("adversarial", "popular", "random")
CONTROLS = (" random", " inverse", " chance")
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class About:
    """Identity of a result: its file of ideas and its data."""

    ideas: Path
    source: str

    def named(self, path: Path) -> Path:
        """One of the files above: metrics/hallucination_training.json, metrics/hallucination_flickr8k.csv."""
        ideas = [] if self.ideas == IDEAS else [self.ideas.stem.removeprefix("hallucination_")]
        suffixes = ideas + ([] if self.source == SCENES else [self.source])
        return path.with_stem("_".join([path.stem, *suffixes]))

    @property
    def title(self) -> str:
        titles = "Which way of decoding invents least", f"Ideas of {self.ideas}"
        return titles[self.ideas != IDEAS] + ("" if self.source == SCENES else f": {self.source}")


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
    ideas, call = result["ideas"], result["call"]
    verdicts: dict[str, list[str]] = {}
    for name, idea in ideas.items():
        verdicts.setdefault(idea["verdict"], []).append(name)
    origins = {"seed": ", ".join(map(str, call["seeds"])), "folder": ", ".join(call["given"])}
    return templates.render(
        "sightline_lab.hallucination", "hallucination.md", result=result, about=about, verdicts=verdicts,
        files=[about.named(path) for path in (RESULT, FIGURES)], picture=about.named(PICTURE).name,
        command=_command(call), origins=[f"{what} {names}" for what, names in origins.items() if names],
        reached=[name for name, idea in ideas.items() if idea["goal"]["reached"]],
        supported=[name for name, tried in result["search"]["ideas"].items() if tried["supported"]],
        ways={name: config for name, config in result["ways"].items() if not name.endswith(CONTROLS)},
        every=_figure_tables(figures, {"greedy", *ideas}), named=_named, title=_title,
        significant=SIGNIFICANT, default=DEFAULT,
        beams=any("beams" in config["settings"] for config in result["ways"].values()),
    )  # fmt: skip


def _command(call: dict) -> str:
    """The command line, with every option that affects the result."""
    ideas = {} if call["ideas"] == IDEAS.as_posix() else {"ideas": call["ideas"]}
    options = [f"--{name.replace('_', '-')} {value}" for name, value in (ideas | call["options"]).items()]
    models = [f"--model {folder}" for folder in call["given"]]
    return " ".join(["sightline lab hallucination", *options, *models])


def _figure_tables(figures: list[dict[str, str]], names: set[str]) -> dict[str, list[tuple]]:
    """Split -> tables of all its figures: (heading, titles, rows)."""
    tables: dict[str, list[tuple]] = {}
    for split in dict.fromkeys(line["split"] for line in figures if line["way"] in names):
        lines = [line for line in figures if line["split"] == split and line["way"] in names]
        kinds = {family: list(dict.fromkeys(line["type"] for line in lines if line["family"] == family))
                 for family in ("vqa", "chair", "pope")}  # fmt: skip
        columns = {"Short answers, accuracy": [("vqa", kind, "accuracy", kind) for kind in kinds["vqa"]]}
        for truth in kinds["chair"][:1]:
            columns[f"Descriptions ({truth})"] = [("chair", truth, name, name) for name in DESCRIBED] + [
                ("caption", "describe", name, name) for name in LIKE_CAPTIONS
            ]
        for poll in POLLS:
            if poll in kinds["pope"]:
                columns[f"POPE, {poll}"] = [("pope", poll, name, name) for name in POLLED]
        tables[split] = [(heading, *_table(lines, wanted)) for heading, wanted in columns.items()]
    return tables


def _table(lines: list[dict[str, str]], columns: list[tuple[str, str, str, str]]) -> tuple[list, list]:
    """Titles, and a row of figures for every decoding config. columns: (family, type, metric, title)."""
    cells = {(line["way"], line["family"], line["type"], line["metric"]): line["value"] for line in lines}
    titles = ["way", *(title.replace("_", " ") for *_, title in columns)]
    names = dict.fromkeys(line["way"] for line in lines)
    return titles, [[name, *(f"{float(cells[name, *key]):.1f}" for *key, _ in columns)] for name in names]


def _named(figure: str) -> str:
    """'shift chair chair_i' -> 'CHAIR_i, shift'."""
    role, rest = figure.split(" ", 1)
    return f"{NAMES[rest]}, {role}"


def _title(test: dict) -> str:
    return _named(test["figure"]) + (" (lower is better)" if test["lower_is_better"] else "")
