"""An analysis in a few lines, and as a card in Markdown to keep beside the data."""

from sightline.evaluate.dataset_report.dataset_figures import PAIRS


def percent(share: float | None, digits: int = 0) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f} %"


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
    base, order = found["base"], found["order"]
    text = f"# What is in {called(found)}\n\nWritten by `sightline dataset-report`; do not edit by hand.\n\n"
    head = ["split", "items", "pictures", "captions", "words, mean", "different words", "questions"]
    rows = []
    for name in order:
        split, spread = found["splits"][name], found["captions"][name]["words"]
        numbers = [f"{split[key]:,}" for key in ("items", "pictures", "captions")]
        mean = f"{spread['mean']:.1f}" if spread["n"] else "-"
        different = f"{found['vocabulary'][name]['different']:,}"
        rows.append([f"`{name}`", *numbers, mean, different, f"{split.get('questions', 0):,}"])
    text += _markdown(head, rows)
    pairs = found["objects"]["across"][:PAIRS]
    if pairs:
        text += (
            f"\n## Habits of `{base}`\n\nWith the first thing in the picture, how often the second is there "
            f"too; anyway: how often it is in any picture of `{base}`. The pairs that most exceed chance, by "
            "the lower end of a 95 % interval.\n\n![What goes with what](pairs.png)\n\n"
        )
        rows = [
            [
                f"{pair['given']} → {pair['then']}" + (" (built in)" if pair["built_in"] else ""),
                percent(pair["base"]),
                *(percent(pair["splits"][name]["share"]) for name in order),
            ]  # fmt: skip
            for pair in pairs
        ]
        text += _markdown(["given → then", "anyway", *(f"`{name}`" for name in order)], rows)
    if found["colors"]:
        told = found["colors"]["never"]
        never = ", ".join(f"{hue} {kind}" for hue, kind in told[base])
        gaps = ", ".join(f"`{name}` {len(told[name])}" for name in order)
        text += f"\n## Kind and colour\n\nNever in `{base}`: {never or 'no pair'}. "
        text += f"Pairs missing per split: {gaps}.\n"
    if found["questions"]:
        text += (
            "\n## Questions\n\nPercent right without looking: with the split's most frequent answer / with "
            "the most frequent answer of `train` to the very same question.\n\n"
        )
        asked = [name for name in order if name in found["questions"]]
        kinds = sorted({kind for name in asked for kind in found["questions"][name]} - {"describe"})
        rows = [[kind, *(_guess(found["questions"][name].get(kind)) for name in asked)] for kind in kinds]
        text += _markdown(["type", *(f"`{name}`" for name in asked)], rows)
    text += "\n## In short\n\n" + "".join(f"- {line}\n" for line in lines(found))
    return text


def _guess(told: dict | None) -> str:
    if not told:
        return "-"
    own = f"{100 * told['majority']['share']:.1f}"
    same = told.get("train_question_share")
    return own if same is None else f"{own} / {100 * same:.1f}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"

    return line(head) + line(["---", *["---:"] * (len(head) - 1)]) + "".join(map(line, rows))
