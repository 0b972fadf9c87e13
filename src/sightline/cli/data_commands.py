"""`sightline index`, `dataset-report` and `out-of-domain`: a user's own items, tables and pictures."""

import json
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import AS_JSON, BUNDLE, DATA, MAX_PIXELS, app, open_session, say

TABLE = "A table: CSV, TSV, JSON lines or parquet."
PICTURES = typer.Option(help="Folder that its pictures lie in; default: that of the table.")
MAX_REFUSED = 5  # rows that are named


@app.command(rich_help_panel=DATA)
def index(
    out: Annotated[Path, typer.Option("-o", help="Folder of the index.")],
    table: Annotated[Path | None, typer.Argument(help=TABLE)] = None,
    pictures: Annotated[Path | None, PICTURES] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Keep what the index holds; equal ids are replaced.")
    ] = False,
    delete: Annotated[list[str] | None, typer.Option(help="Take this id out; may be given again.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch pictures from the internet.")] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Make a search index of your own items from a table, or change one.

    Without --add or --delete an index in the folder is replaced. A search meanwhile reads the old index or
    the new one, whole.
    """
    from sightline.search import user_index

    if table is None and not delete:
        raise typer.BadParameter("give a table, or --delete ID")
    session = open_session(bundle)
    with ExitStack() as held:
        held.enter_context(user_index.writing(out))
        kept = user_index.open_user_index(out, session.search_digest()) if add or delete else None
        rows = (
            held.enter_context(user_index.read_table(table, pictures, MAX_PIXELS, fetch)) if table else None
        )
        made = user_index.make(out, session, kept, rows, delete or ())
    refused = rows.rejected if rows else {}
    listed = user_index.refused_rows(out) if refused else []
    done = {
        "index": str(out),
        "items": len(made),
        "with_picture": made.counts["image"],
        "encoded": len(rows.items) if rows else 0,
        "deleted": len(set(delete or ())),
        "refused": refused,
        "refused_rows": listed[:MAX_REFUSED],
        "factory": made.vectors("fused").factory,
    }
    if as_json:
        say(json.dumps(done, sort_keys=True))
        return
    say(
        f"index: {done['items']} items in {out} ({done['with_picture']} with a picture; "
        f"{done['encoded']} encoded, {done['deleted']} deleted)"
    )
    for reason, count in sorted(refused.items()):
        say(f"index: {count} refused: {reason}")
    for row in listed[:MAX_REFUSED]:
        say(f"index: refused {row['id']}: {row['detail']}")
    if listed:
        say(f"index: all {len(listed)} refused rows and pictures are in {out / user_index.REFUSED}")
    say(f'try: sightline search "a red ball" --index {out}, or sightline serve --index {out}')


@app.command(rich_help_panel=DATA)
def dataset_report(
    table: Annotated[Path | None, typer.Argument(help=f"{TABLE} Default: the built data.")] = None,
    pictures: Annotated[Path | None, PICTURES] = None,
    out: Annotated[Path | None, typer.Option("-o", help="Folder; default: plots/analysis.")] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Describe a dataset and its biases: a page, figures and a data card."""
    from sightline.core.params import loader
    from sightline.evaluate.dataset_report import analysed_corpus, dataset_card, write_report

    here = checkout_files.root()
    out = out or here / "plots" / "analysis"
    settings = loader.load_params(
        here / "params.yaml",
        {"profile": "own", "data.path": str(table), "data.pictures": str(pictures or table.parent)}
        if table
        else None,
    )
    with tempfile.TemporaryDirectory() as scratch:
        if table is None:
            data = analysed_corpus.built(here / "data", settings)
        else:
            data = analysed_corpus.table(table, settings, Path(scratch))
        report = write_report.run(data, out)
    if as_json:
        say(json.dumps(report, sort_keys=True))
        return
    for line in dataset_card.lines(report):
        say(line)
    say(f"dataset-report: wrote {out}; open {out / 'index.html'}")
    say("try: sightline index items.csv -o FOLDER, or `dvc repro` to train on this data")


@app.command(rich_help_panel=DATA)
def out_of_domain(
    pictures: Annotated[Path, typer.Argument(help="A folder or a zip archive of pictures.")],
    out: Annotated[Path | None, typer.Option("-o", help="Also write the figures to this JSON file.")] = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Count which of your pictures are out of domain for the model, compared with its test pictures."""
    from sightline.core import progress
    from sightline.core.artifacts import read_json, write_json
    from sightline.core.atomic_io import check_output
    from sightline.data.image_folder import read
    from sightline.data.shards import Items
    from sightline.evaluate.ood_detection import compare
    from sightline.inference.out_of_domain import OODDetector, split_pictures

    if out is not None:
        check_output(out, b'"own_pictures"')
    session, raw = open_session(bundle), checkout_files.root() / "data" / "raw"
    folders = session.folder, raw
    model_source, raw_source = (read_json(folder / "config.json")["source"] for folder in folders)
    if model_source != raw_source:
        raise checkout_files.CheckoutError(
            f"{raw} holds {raw_source}, the model was trained on {model_source}: run `dvc checkout` for its "
            "profile"
        )
    detector = OODDetector.load(session.folder)
    refused: list[str] = []
    test_pictures = split_pictures(Items(raw), "test", MAX_PIXELS)
    user_pictures = (rgb for _, rgb in progress.track(read(pictures, MAX_PIXELS, refused), "pictures"))
    result = compare(partial(detector.scores, session), detector.bound, test_pictures, user_pictures)
    for line in refused:
        say(f"sightline: {line}", err=True)
    result = {"name": pictures.name, "unreadable": len(refused), **result}
    if out is not None:
        write_json(out, result)
    if as_json:
        say(json.dumps(result, sort_keys=True))
        return
    say(
        f"out-of-domain: {result['warned']['value']:.1f} % of {result['pictures']} pictures would get the "
        f"warning, {result['false_alarm']['value']:.1f} % of {result['own_pictures']} test pictures do; "
        f"AUROC {result['auroc']['value']:.2f} %" + (f"; wrote {out}" if out else "")
    )
    say(f'try: sightline ask {pictures} "Is there a ball?"   (each answer says whether to trust it)')
