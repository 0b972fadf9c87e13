"""`sightline ask` and `search`: answers about pictures, and the items nearest to words or to a picture."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import (
    AS_JSON,
    BUNDLE,
    FETCH,
    SPIN,
    USE,
    app,
    check_domain,
    open_session,
    say,
    warn_of_question,
)

if TYPE_CHECKING:
    import numpy as np

    from sightline.core.params.generation import Generation, Spin
    from sightline.inference.session import Session
    from sightline.search.item_index import ItemIndex

INDEX = typer.Option(help="An index made by `sightline index`; default: the model's own.")
PICTURES = typer.Argument(
    metavar="PICTURE|QUESTION",
    show_default=False,
    help="Files, folders, zip archives or, with --fetch, https addresses of pictures, then one question. "
    "Default: an example that ships with the model, and a description of it.",
)
BATCH = 8  # pictures that are answered together


class Kind(StrEnum):
    """Vectors of an item: of its picture, of its text, of both."""

    image = "image"
    text = "text"
    fused = "fused"


@app.command(rich_help_panel=USE)
def ask(
    pictures: Annotated[list[str] | None, PICTURES] = None,
    spin: Annotated[bool | None, SPIN] = None,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="Keep, of so many descriptions, the one most similar.")
    ] = None,
    contrast: Annotated[
        float | None, typer.Option(min=0.0, help="Strength of visual contrastive decoding.")
    ] = None,
    retrieve: Annotated[
        int, typer.Option(min=0, help="Read the captions of so many similar pictures with the question.")
    ] = 0,
    index: Annotated[Path | None, INDEX] = None,
    fetch: Annotated[bool, FETCH] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Answer a question about pictures, one or many. With --json a line for each of them.

    A description is made as the bundle says (`generation` in its generation.json), or as `--candidates` and
    `--contrast` do.
    """
    from sightline.cli import picture_input
    from sightline.data.questions.prompt_template import DESCRIBE

    if index is not None and not retrieve:
        raise typer.BadParameter("--index is what --retrieve reads: give both")
    session = open_session(bundle)
    session.require_answers()
    sources, question = split(pictures or [])
    sources, question = sources or [example(session.folder)], question or DESCRIBE
    overrides = {"candidates": candidates, "contrast": contrast}
    overrides = {name: value for name, value in overrides.items() if value is not None}
    if overrides and question != DESCRIBE:
        raise typer.BadParameter(
            f"--candidates and --contrast are for descriptions: ask {DESCRIBE!r} or nothing, not {question!r}"
        )
    warn_of_question(session, question)
    if session.question_is_cut(question):
        warn_of_cut("question", session.settings.max_question)
    generation = session.settings.generation
    if overrides:
        generation = generation.replaced(method="greedy", **overrides)
    item_index, row = open_index(session, index) if retrieve else None, {}
    refused: list[str] = []
    settings = AskSettings(question, generation, session.spin(spin), item_index, retrieve)
    for batch in batches(picture_input.read_all(sources, fetch, refused), BATCH):
        for row in answer_rows(session, batch, settings):
            say(json.dumps(row) if as_json else "\n".join(answer_lines(row)))
    for line in refused:
        say(f"sightline: {line}", err=True)
    if refused:
        raise typer.Exit(2)
    if not as_json:
        say(f'try: sightline explain "{row["image"]}" "{question}"')


@dataclass(frozen=True)
class AskSettings:
    """The question for every picture and its settings: decoding, heads, how many captions of which index."""

    question: str
    generation: "Generation"
    spin: "Spin"
    item_index: "ItemIndex | None"
    retrieve: int


def answer_rows(
    session: "Session", named: list[tuple[str, "np.ndarray"]], settings: AskSettings
) -> Iterator[dict]:
    """The row that `--json` prints for each (name, picture, uint8 [Y, X, 3])."""
    images = [image for _, image in named]
    hits: list[list] = [[] for _ in images]
    if settings.item_index:
        hits = settings.item_index.similar_pictures(session.embed_images(images), settings.retrieve)
    answers = session.answer(
        images, [settings.question] * len(images), settings.generation, settings.spin,
        captions=[[hit.text for hit in near] for near in hits], batch_size=1 if len(images) == 1 else BATCH,
    )  # fmt: skip
    for (name, image), answer, near in zip(named, answers, hits, strict=True):
        likeness = {text: round(value, 4) for text, value in answer.candidates}
        verdict = check_domain(session, image, name)
        yield {
            "image": name,
            "question": settings.question,
            "answer": answer.text,
            "decoding": answer.decoding,
            "confidence": round(answer.confidence, 4),
            # Confidences are of pictures as in training.
            "sure": False if verdict.get("out_of_domain") else answer.sure,
            **({"candidates": likeness} if likeness else {}),
            **({"retrieved": result_rows(near)} if settings.retrieve else {}),
            "question_out_of_domain": session.question_is_unlike(settings.question),
            "question_cut": session.question_is_cut(settings.question),
            **verdict,
        }


def warn_of_cut(what: str, tokens: int) -> None:
    say(f"sightline: only the first {tokens} tokens of this {what} are read: shorten it", err=True)


def split(arguments: list[str]) -> tuple[list[str], str | None]:
    """(pictures, question): the last argument is the question unless it names a picture."""
    from sightline.cli import picture_input

    if arguments and not picture_input.names_picture(arguments[-1]):
        return arguments[:-1], arguments[-1]
    return arguments, None


def example(folder: Path) -> str:
    """The path of a picture that ships with the model in `folder`."""
    examples = sorted((folder / "examples").glob("*.png"))
    if not examples:
        raise checkout_files.CheckoutError("this model ships no example picture: give the path of one")
    return str(examples[0])


def batches(rows: Iterable, size: int) -> Iterator[list]:
    """Lists of up to `size` rows. The rows are read as they are needed: a folder may not fit in memory."""
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


def answer_lines(row: dict) -> Iterator[str]:
    """The lines printed for one answer."""
    doubt = "not sure, " if row["sure"] is False else ""
    yield f"image: {row['image']}"
    yield f"Q: {row['question']}"
    yield f"A: {row['answer']}   ({doubt}confidence {row['confidence']:.2f})"
    for text, like in sorted(row.get("candidates", {}).items(), key=lambda other: -other[1]):
        yield f"likeness {like:.3f}  {text}"
    for hit in row.get("retrieved", []):
        yield f"read: {hit['score']:.3f}  {hit['id']}  {hit['text']}"


@app.command(rich_help_panel=USE)
def search(
    query: Annotated[str, typer.Argument(help="Words, or a picture: a file or, with --fetch, an address.")],
    k: Annotated[int, typer.Option(min=1, help="How many results.")] = 5,
    kind: Annotated[Kind, typer.Option(help="Which vectors of the items are searched.")] = Kind.fused,
    rerank: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Words, --kind image: the N nearest pictures in the order in which the model would describe "
            "them so.",
        ),
    ] = 0,
    index: Annotated[Path | None, INDEX] = None,
    page: Annotated[
        Path | None, typer.Option(help="Also write the results with their pictures as a web page.")
    ] = None,
    fetch: Annotated[bool, FETCH] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Find the items of an index that are nearest to words or to a picture."""
    from sightline.cli import picture_input
    from sightline.search import reranking

    if rerank and (kind is not Kind.image or picture_input.names_picture(query)):
        words = "it puts pictures in order for words: give words, and --kind image"
        raise typer.BadParameter(words, param_hint="--rerank")
    session, picture = open_session(bundle), None
    if picture_input.names_picture(query):
        picture = picture_input.read(query, fetch)
        embeds, notes = session.embed_images([picture]), check_domain(session, picture, query)
    else:
        embeds, notes = session.embed_texts([query]), {"query_cut": session.text_is_cut(query)}
        if notes["query_cut"]:
            warn_of_cut("query", session.settings.max_text)
    item_index = open_index(session, index)
    if rerank:
        hits = reranking.search(session, item_index, query, embeds[0], k, rerank)
    else:
        hits = item_index.search(embeds, k, kind.value)[0]
    rows = result_rows(hits)
    if page is not None:
        from sightline.search import results_page

        asked = None if picture is None else picture_input.displayed(query, picture, results_page.QUERY_SIDE)
        results_page.write(page, query, asked, item_index, hits)
    if as_json:
        say(json.dumps({"query": query, "searched": item_index.what, "results": rows, **notes}))
        return
    for rank, row in enumerate(rows, 1):
        say(f"{rank:2d}  {row['score']:.3f}  {row['id']}  {row['text']}")
        if row["from"]:
            say(f"           {row['from']}")
    nearest = f"the {len(rows)} nearest to the {'words' if picture is None else 'picture'}"
    say(f"search: {nearest} of {item_index.what} in {index or session.folder / 'index'}")
    if page is not None:
        say(f"search: wrote {page}; open it in a browser, it needs no network")
    elif item_index.has_thumbnails:
        say("try: --page results.html shows the pictures")
    if index is None:
        say("try: sightline index items.csv -o FOLDER, then search --index FOLDER: your own items")


def open_index(session, index: Path | None):
    """The items of an index folder, or the model's own."""
    from sightline.search.item_index import ItemIndex
    from sightline.search.user_index import open_user_index

    digest = session.search_digest()
    return open_user_index(index, digest) if index else ItemIndex(session.folder / "index", digest)


def result_rows(hits) -> list[dict]:
    return [
        {"id": hit.id, "score": round(hit.score, 4), "text": hit.text, "from": hit.source} for hit in hits
    ]
