"""An analysis in a few lines, and as a card in Markdown to keep beside the data."""

from sightline.core import templates
from sightline.core.templates import percent
from sightline.evaluate.dataset_report.dataset_figures import PAIRS


def data_name(report: dict) -> str:
    """The name of the data: the table's file name, or the source."""
    return report["table"] or report["name"]


def lines(report: dict) -> list[str]:
    """The summary for people, a line a fact."""
    base = report["base"]
    counts = ", ".join(f"{name} {report['splits'][name]['items']:,}" for name in report["order"])
    pictures = sum(split["pictures"] for split in report["splits"].values())
    facts = [f"{data_name(report)}: {counts} items; {pictures:,} pictures"]
    spread, tokens = report["captions"][base]["words"], report["captions"][base]["tokens"]
    words = report["vocabulary"][base]
    line = f"captions: {spread['mean']:.1f} words on the average ({spread['min']} to {spread['max']}), "
    line += f"{words['different']:,} different words"
    if tokens:
        line += f"; {percent(tokens['cut_share'], 1)} longer than the {tokens['limit']} tokens that are read"
    facts.append(line)
    objects = report["objects"]["splits"][base]
    if objects["counts"]:
        best = max(sorted(objects["counts"]), key=objects["counts"].__getitem__)
        facts.append(
            f"things: {len(objects['counts'])} kinds, {objects['per_item']:.1f} an item; most often {best}, "
            f"{percent(objects['counts'][best] / objects['items'])}"
        )
    for pair in report["objects"]["across"][:4]:
        figures = pair["splits"][base]
        mark = ", built in" if pair["built_in"] else ""
        facts.append(
            f"habit: {pair['given']} -> {pair['then']} in {percent(figures['share'])} "
            f"of {figures['given']:,} "
            f"({percent(pair['base'])} of all{mark})"
        )
    questions = report["questions"].get(base)
    facts.append(
        f"questions: {sum(row['n'] for row in questions.values()):,} in {base}"
        if questions
        else "questions: none, as no item of train has a picture on this disk"
    )
    facts += [f"cannot teach: {sentence}" for sentence in report["cannot_teach"]]
    if guess := _best_guess(report):
        facts.append(guess)
    gone = report["refused"] | report["left_out"]
    named = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in gone.items())
    return [*facts, f"left out: {named or 'nothing'}"]


def _best_guess(report: dict) -> str:
    """Where the question alone gives away most, beyond the most frequent answer; "" if nowhere."""
    gains = [
        (row["train_question_share"] - row["majority"]["share"], split, kind)
        for split, kinds in report["questions"].items()
        for kind, row in kinds.items()
        if "train_question_share" in row
    ]
    gain, split, kind = max(gains, default=(0, "", ""))
    if gain <= 0:
        return ""
    row = report["questions"][split][kind]
    same_question, majority = percent(row["train_question_share"]), percent(row["majority"]["share"])
    return (
        f"guessing: {kind} of {split}: {same_question} right by what train answers to the same question, "
        f"{majority} by the most frequent answer ({row['n']:,} questions)"
    )


def card(report: dict) -> str:
    """The analysis in Markdown, short enough to keep beside the data."""
    order = report["order"]
    question_splits = [name for name in order if name in report["questions"]]
    kinds = sorted({kind for name in question_splits for kind in report["questions"][name]} - {"describe"})
    return templates.render(
        "sightline.evaluate", "dataset.md", report=report, base=report["base"], title=data_name(report),
        order=[f"`{name}`" for name in order],
        question_splits=[f"`{name}`" for name in question_splits], lines=lines(report),
        splits=[_split(report, name) for name in order], colors=report["colors"],
        pairs=[_pair(pair, order) for pair in report["objects"]["across"][:PAIRS]],
        kinds=[
            [kind, *(_guess(report["questions"][name].get(kind)) for name in question_splits)]
            for kind in kinds
        ],
    )  # fmt: skip


def _split(report: dict, name: str) -> list[str]:
    split, spread = report["splits"][name], report["captions"][name]["words"]
    numbers = [f"{split[key]:,}" for key in ("items", "pictures", "captions")]
    mean = f"{spread['mean']:.1f}" if spread["n"] else "-"
    different = f"{report['vocabulary'][name]['different']:,}"
    return [f"`{name}`", *numbers, mean, different, f"{split.get('questions', 0):,}"]


def _pair(pair: dict, order: list[str]) -> list[str]:
    name = f"{pair['given']} → {pair['then']}" + (" (built in)" if pair["built_in"] else "")
    return [name, percent(pair["base"]), *(percent(pair["splits"][name]["share"]) for name in order)]


def _guess(row: dict | None) -> str:
    if not row:
        return "-"
    majority = f"{100 * row['majority']['share']:.1f}"
    same = row.get("train_question_share")
    return majority if same is None else f"{majority} / {100 * same:.1f}"
