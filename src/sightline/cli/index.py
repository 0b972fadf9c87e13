"""`sightline index`: a search index of your own items."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.app import AS_JSON, BUNDLE, MAX_PIXELS, app, open_session


@app.command()
def index(
    out: Annotated[Path, typer.Option("-o", help="Folder of the index.")],
    table: Annotated[Path | None, typer.Argument(help="A CSV: title, description, image_url, id.")] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Keep what the index holds; equal ids are replaced.")
    ] = False,
    delete: Annotated[list[str] | None, typer.Option(help="Take this id out; may be given again.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch pictures from the internet.")] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Encode the items of a CSV once, for `sightline search --index` and `sightline serve --index`.

    Without --add or --delete an index in the folder is replaced. Who searches meanwhile reads the old index
    or the new one, whole.
    """
    from sightline.search.user_index import Catalog, encode_table, writing

    if table is None and not delete:
        raise typer.BadParameter("give a CSV, or --delete ID")
    session = open_session(bundle)
    digest, refused, encoded = session.engine.search_digest(), {}, 0
    with writing(out):
        catalog = Catalog.load(out, digest) if add or delete else None
        if delete:
            catalog = catalog.without(delete)
        if table is not None:
            new, refused = encode_table(session, table, MAX_PIXELS, fetch)
            encoded, catalog = len(new), catalog.merged(new) if catalog else new
        gallery = catalog.save(out, digest)
    found = {
        "index": str(out),
        "items": len(gallery),
        "with_picture": len(gallery.indexes["image"]),
        "encoded": encoded,
        "deleted": len(set(delete or ())),
        "refused": refused,
        "factory": gallery.indexes["fused"].factory,
    }
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    typer.echo(
        f"index: {found['items']} items in {out} ({found['with_picture']} with a picture; {encoded} encoded, "
        f"{found['deleted']} deleted)"
    )
    for reason, count in sorted(refused.items()):
        typer.echo(f"index: {count} refused: {reason}")
    typer.echo(f'try: sightline search "a red ball" --index {out}')
