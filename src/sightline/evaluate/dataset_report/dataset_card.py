"""An analysis in a few lines, and as a card in Markdown to keep beside the data."""

from sightline.core import templates
from sightline.core.templates import percent
from sightline.evaluate.dataset_report.dataset_figures import PAIRS


def called(found: dict) -> str:
    """What the data is called: the table's file name, or the source."""
    return found["table"] or found["name"]


def lines(found: dict) -> list[str]:
    """The summary for people, a line a fact."""
    base = found["base"]
    counts = ", ".join(f"{name} {found['splits'][name]['items']:,}" for name in found["order"])
    pictures = sum(split["pictures"] for split in found["splits"].values())
    told = [f"{called(found)}: {counts} items; {pictures:,} pictures"]
    spread, coded = found["captions"][base]["words"], found["captions"][base]["tokens"]
    words = found["vocabulary"][base]
    line = f"captions: {spread['mean']:.1f} words on the average ({spread['min']} to {spread['max']}), "
    line += f"{words['different']:,} different words"
    if coded:
        line += f"; {percent(coded['cut_share'], 1)} longer than the {coded['limit']} tokens that are read"
    told.append(line)
    things = found["objects"]["splits"][base]
    if things["counts"]:
        best = max(sorted(things["counts"]), key=things["counts"].__getitem__)
        told.append(
            f"things: {len(things['counts'])} kinds, {things['per_item']:.1f} an item; most often {best}, "
            f"{percent(things['counts'][best] / things['items'])}"
        )
    for pair in found["objects"]["across"][:4]:
        own = pair["splits"][base]
        mark = ", built in" if pair["built_in"] else ""
        told.append(
            f"habit: {pair['given']} -> {pair['then']} in {percent(own['share'])} of {own['given']:,} "
            f"({percent(pair['base'])} of all{mark})"
        )
    asked = found["questions"].get(base)
    told.append(
        f"questions: {sum(row['n'] for row in asked.values()):,} in {base}"
        if asked
        else "questions: none, as no item of train has a picture on this disk"
    )
    if guess := _best_guess(found):
        told.append(guess)
    gone = found["refused"] | found["left_out"]
    named = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in gone.items())
    return [*told, f"left out: {named or 'nothing'}"]


def _best_guess(found: dict) -> str:
    """Where the question alone gives away most, beyond the most frequent answer; "" if nowhere."""
    gains = [
        (row["train_question_share"] - row["majority"]["share"], split, kind)
        for split, kinds in found["questions"].items()
        for kind, row in kinds.items()
        if "train_question_share" in row
    ]
    gain, split, kind = max(gains, default=(0, "", ""))
    if gain <= 0:
        return ""
    row = found["questions"][split][kind]
    known, most = percent(row["train_question_share"]), percent(row["majority"]["share"])
    return (
        f"guessing: {kind} of {split}: {known} right by what train answers to the same question, "
        f"{most} by the most frequent answer ({row['n']:,} questions)"
    )


def card(found: dict) -> str:
    """The analysis in Markdown, short enough to keep beside the data."""
    order = found["order"]
    asked = [name for name in order if name in found["questions"]]
    kinds = sorted({kind for name in asked for kind in found["questions"][name]} - {"describe"})
    return templates.render(
        "sightline.evaluate", "dataset.md", found=found, base=found["base"], title=called(found),
        order=[f"`{name}`" for name in order], asked=[f"`{name}`" for name in asked], lines=lines(found),
        splits=[_split(found, name) for name in order], colors=found["colors"],
        pairs=[_pair(pair, order) for pair in found["objects"]["across"][:PAIRS]],
        kinds=[[kind, *(_guess(found["questions"][name].get(kind)) for name in asked)] for kind in kinds],
    )  # fmt: skip


def _split(found: dict, name: str) -> list[str]:
    split, spread = found["splits"][name], found["captions"][name]["words"]
    numbers = [f"{split[key]:,}" for key in ("items", "pictures", "captions")]
    mean = f"{spread['mean']:.1f}" if spread["n"] else "-"
    different = f"{found['vocabulary'][name]['different']:,}"
    return [f"`{name}`", *numbers, mean, different, f"{split.get('questions', 0):,}"]


def _pair(pair: dict, order: list[str]) -> list[str]:
    name = f"{pair['given']} → {pair['then']}" + (" (built in)" if pair["built_in"] else "")
    return [name, percent(pair["base"]), *(percent(pair["splits"][name]["share"]) for name in order)]


def _guess(told: dict | None) -> str:
    if not told:
        return "-"
    own = f"{100 * told['majority']['share']:.1f}"
    same = told.get("train_question_share")
    return own if same is None else f"{own} / {100 * same:.1f}"
