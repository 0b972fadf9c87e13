"""`sightline init`: a repository of a user's own."""

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.app import BUILD, app, say

DIR = typer.Argument(metavar="DIR", help="The folder that is made; it must not exist, or be empty.")
LAYOUTS = {
    "folder": "A folder of pictures with texts beside them, or with a metadata file.",
    "webdataset": "A folder of webdataset shards.",
    "hf": "A dataset of Hugging Face, saved on this disk, or a dataset of the hub as OWNER/NAME@COMMIT.",
    "coco": "COCO captions: a folder of the archives, or of them unpacked.",
    "vqa": "A folder of VQA-v2, GQA or POPE annotations with their pictures.",
    "flickr30k": "A folder of Flickr30k.",
}


def _layout(name: str) -> typer.models.OptionInfo:
    return typer.Option(f"--{name}", metavar="PATH", help=LAYOUTS[name])


def _column(what: str) -> typer.models.OptionInfo:
    return typer.Option(metavar="COLUMN", show_default=False, help=f"Of a table: {what}; else guessed.")


@app.command(rich_help_panel=BUILD)
def init(
    target: Annotated[Path, DIR],
    table: Annotated[Path | None, typer.Option(help="A CSV, TSV, parquet or JSON lines file.")] = None,
    folder: Annotated[str | None, _layout("folder")] = None,
    webdataset: Annotated[str | None, _layout("webdataset")] = None,
    hf: Annotated[str | None, _layout("hf")] = None,
    coco: Annotated[str | None, _layout("coco")] = None,
    vqa: Annotated[str | None, _layout("vqa")] = None,
    flickr30k: Annotated[str | None, _layout("flickr30k")] = None,
    image: Annotated[str, _column("the picture's path or address")] = "",
    caption: Annotated[str, _column("the texts, divided by commas, best first")] = "",
    id: Annotated[str, _column("what names an item")] = "",
    split: Annotated[str, _column("train, val or test")] = "",
    question: Annotated[str, _column("a question about the picture")] = "",
    answer: Annotated[str, _column("its answer")] = "",
    language: Annotated[
        str,
        typer.Option(metavar="CODE", show_default=False, help="Of a table's captions: en, de; else told."),
    ] = "",
    pictures: Annotated[
        Path | None, typer.Option(help="Of a table: the folder of its local pictures; looked for if absent.")
    ] = None,
) -> None:
    """Make a repository for your own pictures and texts: parameters, stages, git and DVC, nothing trained.

    It uses the Sightline that is installed and tracks its version. Nothing is overwritten.
    """
    from sightline.cli.new_repository import data_options, own_repository
    from sightline.core.params.data_params import ColumnParams

    layouts = {"folder": folder, "webdataset": webdataset, "hf": hf, "coco": coco, "vqa": vqa,
               "flickr30k": flickr30k}  # fmt: skip
    given = {name: value for name, value in layouts.items() if value is not None}
    if len(given) + (table is not None) != 1:
        names = ", ".join(f"--{name}" for name in ("table", *LAYOUTS))
        raise typer.BadParameter(f"give exactly one of {names}")
    own_repository.check_place(target)
    if table is not None:
        captions = data_options.split_names(caption, table) if caption else ()
        columns = ColumnParams(
            id=id, image=image, captions=captions, split=split, question=question, answer=answer
        )
        plan, said = data_options.plan_table(data_options.Table(table, columns, pictures, language), target)
    elif any((image, caption, id, split, question, answer, language, pictures)):
        raise typer.BadParameter("columns, --language and --pictures are of a table: give them with --table")
    else:
        plan, said = data_options.plan_layout(*next(iter(given.items())), target)
    for line in [*said, *own_repository.create(target, plan)]:
        say(f"init: {line}")
    say(f"try: cd {target}; sightline estimate; dvc repro")
