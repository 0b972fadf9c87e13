"""`sightline ask`, `search`, `domain`: a shipped model and a picture."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import AS_JSON, BUNDLE, MAX_PIXELS, app, judge, open_session, read_image

INDEX = typer.Option(help="An index made by `sightline index`; default: the model's own.")


@app.command()
def ask(
    image: Annotated[Path | None, typer.Argument(help="A picture; default: a shipped example.")] = None,
    question: Annotated[str | None, typer.Argument(help="Default: Describe the image in detail.")] = None,
    spin: Annotated[bool, typer.Option("--spin", help="Gate heads as the bundle says.")] = False,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="Of so many descriptions the one most like the picture.")
    ] = None,
    contrast: Annotated[
        float | None, typer.Option(min=0.0, help="How much it is held against the picture under noise.")
    ] = None,
    retrieve: Annotated[
        int, typer.Option(min=0, help="Read the captions of so many similar pictures of the index, too.")
    ] = 0,
    index: Annotated[Path | None, INDEX] = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Answer a question about a picture. A description is chosen as the bundle says (`generation.candidates`,
    `generation.contrast`), or as `--candidates` and `--contrast` do."""
    from sightline.data.questions.prompt_template import DESCRIBE
    from sightline.inference import describe
    from sightline.inference.session import SPIN_OFF

    if index is not None and not retrieve:
        raise typer.BadParameter("--index is what --retrieve reads: give both")

    session = open_session(bundle)
    if image is None:
        examples = sorted((session.folder / "examples").glob("*.png"))
        if not examples:
            raise checkout_files.ProjectError("this model ships no example picture: give the path of one")
        image = examples[0]
    question = question or DESCRIBE
    guide, given = describe.of_bundle(session), {"candidates": candidates, "strength": contrast}
    if given := {name: value for name, value in given.items() if value is not None}:
        guide = replace(guide, **given)
    if given and question != DESCRIBE:
        raise typer.BadParameter(
            f"--candidates and --contrast are for descriptions: ask {DESCRIBE!r} or nothing, not {question!r}"
        )
    settings = None if spin else SPIN_OFF
    picture = read_image(image)
    hits = open_index(session, index).others(session.embed_images([picture]), retrieve)[0] if retrieve else []
    captions = [hit.text for hit in hits]
    others: dict[str, float] = {}
    if question == DESCRIBE and not guide.plain:
        found = describe.describe(session, picture, question, guide, settings, captions=captions)
        likeness = (round(like, 4) for like in found.likeness_C.tolist())
        answer, others = found.answer, dict(zip(found.candidates, likeness, strict=True))
    else:
        answer = session.answer([picture], [question], spin=settings, captions=[captions])[0]
    judged = judge(session, picture)
    sure = False if judged["out_of_domain"] else answer.sure  # confidences are of pictures as in training
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "image": str(image),
                    "question": question,
                    "answer": answer.text,
                    "confidence": round(answer.confidence, 4),
                    "sure": sure,
                    **({"candidates": others} if others else {}),
                    **({"retrieved": shown(hits)} if retrieve else {}),
                    **judged,
                }
            )
        )
        return
    doubt = "not sure, " if sure is False else ""
    said = f"{answer.text}   ({doubt}confidence {answer.confidence:.2f})"
    typer.echo(f"image: {image}\nQ: {question}\nA: {said}")
    for text, like in sorted(others.items(), key=lambda other: -other[1]):
        typer.echo(f"likeness {like:.3f}  {text}")
    for row in shown(hits):
        typer.echo(f"read: {row['score']:.3f}  {row['id']}  {row['text']}")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words, or the path of a picture.")],
    k: Annotated[int, typer.Option(help="How many results.")] = 5,
    index: Annotated[Path | None, INDEX] = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Find the items of an index that are nearest to words or to a picture."""
    session = open_session(bundle)
    path, judged = Path(query), {}
    if path.is_file():
        picture = read_image(path)
        embeds, judged = session.embed_images([picture]), judge(session, picture)
    else:
        embeds = session.embed_texts([query])
    rows = shown(open_index(session, index).search(embeds, k, "fused")[0])
    if as_json:
        typer.echo(json.dumps({"query": query, "results": rows, **judged}))
        return
    for rank, row in enumerate(rows, 1):
        typer.echo(f"{rank:2d}  {row['score']:.3f}  {row['id']}  {row['text']}")


def open_index(session, index: Path | None):
    """The gallery of an index folder, or the model's own."""
    from sightline.search.item_index import Gallery
    from sightline.search.user_index import open_gallery

    digest = session.engine.search_digest()
    return open_gallery(index, digest) if index else Gallery.load(session.folder / "index", digest)


def shown(hits) -> list[dict]:
    return [{"id": hit.id, "score": round(hit.score, 4), "text": hit.text} for hit in hits]


@app.command()
def domain(
    pictures: Annotated[Path, typer.Argument(help="A folder or a zip archive of pictures.")],
    out: Annotated[Path | None, typer.Option("-o", help="Also write the figures to this JSON file.")] = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Count the pictures that the model would warn about, beside the test pictures of data/raw."""
    from sightline.core.artifacts import read_json, write_json
    from sightline.data.image_folder import read
    from sightline.data.shards import Items
    from sightline.evaluate.ood_detection import compare
    from sightline.inference.out_of_domain import Domain, pictures_of

    session, raw = open_session(bundle), checkout_files.root() / "data" / "raw"
    trained, held = (read_json(folder / "config.json")["source"] for folder in (session.folder, raw))
    if trained != held:
        raise checkout_files.ProjectError(
            f"{raw} holds {held}, the model was trained on {trained}: run `dvc checkout` for its profile"
        )
    known, refused = Domain.load(session.folder), []
    own, odd = pictures_of(Items(raw), "test", MAX_PIXELS), read(pictures, MAX_PIXELS, refused)
    found = compare(partial(known.scores, session), known.bound, own, odd)
    for line in refused:
        typer.echo(f"sightline: {line}", err=True)
    found = {"name": pictures.name, "unreadable": len(refused), **found}
    if out is not None:
        write_json(out, found)
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    typer.echo(
        f"domain: {found['warned']['value']:.1f} % of {found['pictures']} pictures would get the warning, "
        f"{found['false_alarm']['value']:.1f} % of {found['own_pictures']} test pictures do; "
        f"AUROC {found['auroc']['value']:.2f} %"
    )
