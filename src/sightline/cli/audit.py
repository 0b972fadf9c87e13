"""`sightline audit`: how far any vision-language model can be trusted, and two of them compared."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli.app import TRUST, app, say

if TYPE_CHECKING:
    from sightline.audit.answerer import Answerer
    from sightline.audit.audit_items import Audit, Items
    from sightline.audit.endpoint_answerer import Budget
    from sightline.audit.endpoint_connection import Connection
    from sightline.audit.white_box import OpenModel

BATCH = 8
ENDPOINT = "An endpoint"  # panel of --help
MODEL = typer.Argument(
    help="A bundle, a folder of a transformers model, OWNER/NAME on the Hugging Face Hub with --revision, or "
    "with --against a finished audit.",
)
DATA = typer.Option(
    help="scenes (64 pixels a side; scenes:4 and scenes:8 draw them so many times finer), or SOURCE:PATH "
    "with one of table, folder, vqa (also POPE's files), coco, webdataset, flickr8k, flickr30k.",
)


@app.command(rich_help_panel=TRUST)
def audit(
    out: Annotated[Path, typer.Option("-o", help="Folder of the audit; an unfinished one goes on.")],
    model: Annotated[str | None, MODEL] = None,
    data: Annotated[str, DATA] = "scenes",
    items: Annotated[int, typer.Option(min=2, help="How many pictures.")] = 100,
    seed: Annotated[int, typer.Option(help="Which pictures; equal seeds ask the same.")] = 0,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of the pictures; default: beside PATH.")
    ] = None,
    words: Annotated[
        Path | None, typer.Option(help="CHAIR's word list: a kind a line, its names separated by commas.")
    ] = None,
    answer_tokens: Annotated[
        int, typer.Option(min=1, help="Longest short answer; a description may have four times as many.")
    ] = 64,
    revision: Annotated[str | None, typer.Option(help="Commit on the Hub, 40 digits.")] = None,
    white_box: Annotated[
        bool,
        typer.Option(
            "--white-box", help="Also open a local model: SPIN, VCD, PAI with controls, attention, maps."
        ),
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Questions that a local model answers together.")] = BATCH,
    answers: Annotated[
        Path | None,
        typer.Option(help="Published answers to score, with --data pope:LABELS, pope or chair:ANNOTATIONS."),
    ] = None,
    against: Annotated[Path | None, typer.Option(help="An earlier audit: MODEL is compared with it.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(rich_help_panel=ENDPOINT, help="Its address: https://HOST/v1.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--model", rich_help_panel=ENDPOINT, help="The model there.")
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(rich_help_panel=ENDPOINT, help="The environment variable that holds the key."),
    ] = None,
    connections: Annotated[
        int, typer.Option(min=1, max=64, rich_help_panel=ENDPOINT, help="Requests at a time.")
    ] = 4,
    rate: Annotated[
        float, typer.Option(min=0, rich_help_panel=ENDPOINT, help="Most requests a minute; 0: no limit.")
    ] = 0.0,
    timeout: Annotated[
        float, typer.Option(min=1, rich_help_panel=ENDPOINT, help="Of one try, seconds.")
    ] = 120.0,
    price_in: Annotated[
        float, typer.Option(min=0, rich_help_panel=ENDPOINT, help="Of a million tokens read.")
    ] = 0.0,
    price_out: Annotated[
        float, typer.Option(min=0, rich_help_panel=ENDPOINT, help="Of a million tokens written.")
    ] = 0.0,
    max_cost: Annotated[
        float | None, typer.Option(min=0, rich_help_panel=ENDPOINT, help="Stop before this audit costs more.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=ENDPOINT, help="Stop before it takes more tokens.")
    ] = None,
) -> None:
    """Audit a vision-language model: what it invents, whether it looks, what its confidence is worth.

    MODEL, or --endpoint with --model, or published --answers. Every answer is kept in the folder:
    interrupted, the same command goes on. An endpoint is sent the pictures; nothing else leaves this machine.
    """
    from sightline.audit import probes, run_audit
    from sightline.audit.endpoint_answerer import Budget

    if answers is not None:
        _published(answers, data, words, out)
        return
    if (model is None) == (endpoint is None):
        raise typer.BadParameter("give a MODEL, or --endpoint URL with --model NAME")
    if against is not None:
        _compare(model, against, out)
        return
    if max_cost is not None and not (price_in or price_out):
        raise typer.BadParameter("--max-cost needs the prices: --price-in and --price-out")
    if white_box and endpoint is not None:
        raise typer.BadParameter("--white-box opens a local MODEL: what an endpoint computes cannot be seen")
    budget = Budget(price_in, price_out, max_cost, max_tokens)
    connection = None if endpoint is None else _connection(endpoint, name, key_env, rate, timeout)
    with run_audit.folder(out) as folder:
        if connection is not None:
            answerer = _endpoint(connection, str(name), connections, budget, folder)
        else:
            answerer = _local(str(model), revision, batch)
        opened = _opened(str(model), revision, answerer, answer_tokens) if white_box else None
        drawn = _items(data, items, seed, pictures, words)
        asked = probes.audit(drawn)
        say(
            f"audit: {len(asked.asked.pictures)} pictures, {len(asked.asked.questions)} questions, "
            f"{len(asked.requests(answer_tokens))} requests to {answerer.identity.name}"
        )
        report = run_audit.run(asked, answerer, folder, answer_tokens, budget)
        if opened is not None:
            _open(asked, drawn, opened, folder, answer_tokens)
    for verdict in report.verdicts:
        say(f"audit: {verdict.part}: {verdict.sentence}")
    say(f"audit: wrote {out}; open {out / run_audit.PAGE}, it needs no network")
    say(f"try: sightline audit {out} --against ANOTHER_AUDIT -o difference")


def _published(answers: Path, data: str, words: Path | None, out: Path) -> None:
    from sightline.audit import published_answers
    from sightline.core.atomic_io import check_output

    metric, _, where = data.partition(":")
    if metric == "pope":
        scored = published_answers.score_pope(answers, Path(where) if where else None)
    elif metric != "chair" or not where:
        raise typer.BadParameter("--answers goes with --data pope:LABELS, pope, or chair:ANNOTATIONS")
    elif words is None:
        raise typer.BadParameter("CHAIR needs --words FILE, its word list")
    else:
        scored = published_answers.score_chair(answers, Path(where), words)
    check_output(out / published_answers.FILE, b'"figures"')
    published_answers.write(out, scored)
    for each in scored.figures:
        say(
            f"audit: read as {each.rule}: {each.figure} {each.value:.1f} [{each.low:.1f}, {each.high:.1f}] "
            f"of {each.cases}"
        )
    say(f"audit: wrote {out / published_answers.FILE}")


def _items(data: str, count: int, seed: int, pictures: Path | None, words: Path | None) -> "Items":
    from sightline.audit import scene_items, source_items

    source, _, where = data.partition(":")
    if source == "scenes":
        if pictures or words:
            raise typer.BadParameter("--pictures and --words are for data of your own, not for scenes")
        if where and not where.isdigit():
            raise typer.BadParameter(f"--data {data}: expected scenes, scenes:4 or scenes:8")
        return scene_items.draw(count, seed, int(where or 1))
    if not where:
        raise typer.BadParameter(f"--data {data}: expected scenes or SOURCE:PATH, such as table:items.csv")
    return source_items.read(source, Path(where), pictures, words, count, seed)


def _connection(
    endpoint: str, name: str | None, key_env: str | None, rate: float, timeout: float
) -> "Connection":
    from sightline.audit.endpoint_connection import Connection

    if name is None:
        raise typer.BadParameter("--endpoint needs --model NAME, as the endpoint calls the model")
    key = os.environ.get(key_env, "") if key_env else ""
    if key_env and not key:
        raise typer.BadParameter(f"--key-env {key_env}: the environment has no such variable, or it is empty")
    return Connection(endpoint, key, rate, timeout)


def _endpoint(
    connection: "Connection", name: str, connections: int, budget: "Budget", folder: Path
) -> "Answerer":
    from sightline.audit import run_audit
    from sightline.audit.endpoint_answerer import EndpointAnswerer

    spent = list(run_audit.kept_replies(folder).values())
    return EndpointAnswerer(connection, name, connections, budget, spent)


def _local(model: str, revision: str | None, batch: int) -> "Answerer":
    from sightline.audit.bundle_answerer import BundleAnswerer
    from sightline.core.replace_folder import MANIFEST

    if revision is None and (Path(model) / MANIFEST).is_file():
        return BundleAnswerer(Path(model), batch)
    from sightline.audit.transformers_answerer import TransformersAnswerer

    return TransformersAnswerer(model, revision, batch)


def _opened(model: str, revision: str | None, answerer: "Answerer", answer_tokens: int) -> "OpenModel":
    from sightline.audit import open_model

    if answerer.identity.form == "bundle":
        return open_model.of_bundle(Path(model))
    return open_model.of_transformers(model, revision, answerer.identity, answer_tokens)


def _open(asked: "Audit", drawn: "Items", opened: "OpenModel", out: Path, answer_tokens: int) -> None:
    """The white-box part of an audit."""
    from sightline.audit import white_box, white_box_page

    pairs = zip(drawn.pictures, drawn.boxes, strict=bool(drawn.boxes))
    boxes = {picture.digest: found for picture, found in pairs}
    made = white_box.run(asked, boxes, opened, out, answer_tokens)
    white_box_page.write(out / white_box_page.PAGE, made)
    for line in made.left_out:
        say(f"audit: white box: left out: {line}")
    say(f"audit: white box: wrote {out / white_box_page.PAGE}")


def _compare(model: str | None, against: Path, out: Path) -> None:
    from sightline.audit import audit_difference, audit_page, run_audit
    from sightline.audit.audit_difference import Finished
    from sightline.core import artifacts
    from sightline.core.atomic_io import check_output

    if model is None:
        raise typer.BadParameter(
            "--against compares two finished audits: sightline audit AFTER --against BEFORE"
        )
    after, before = (
        Finished(asked, replies, report.model)
        for asked, replies, report in (run_audit.read(Path(model)), run_audit.read(against))
    )
    made = audit_difference.compare(after, before)
    out.mkdir(parents=True, exist_ok=True)
    check_output(out / "difference.json", b'"changes"')
    audit_page.write_difference(out, made)
    artifacts.write_json(out / "difference.json", made.model_dump())
    for change in made.changes:
        if change.verdict != "no difference shown":
            say(
                f"audit: {change.part}, {change.kind}: {change.metric} {change.before:.1f} to "
                f"{change.after:.1f} ({change.difference:+.1f} [{change.low:+.1f}, {change.high:+.1f}], "
                f"p {change.p_holm:.4f}): {change.verdict}"
            )
    shown = sum(change.verdict != "no difference shown" for change in made.changes)
    say(
        f"audit: {shown} of {len(made.changes)} figures differ, on {made.questions} questions both were asked"
    )
    say(f"audit: wrote {out}; open {out / 'difference.html'}")
