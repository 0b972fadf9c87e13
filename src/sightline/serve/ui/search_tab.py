"""The tab *Search*: items nearest to words or to a picture, with the matching words marked."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline.explain.heatmap_figures import GLUE
from sightline.search.item_index import ItemIndex
from sightline.serve.api_error import ApiError
from sightline.serve.batch_model import Model
from sightline.serve.safety.screen import ALLOWED, REFUSED_SEARCH
from sightline.serve.service import Service
from sightline.serve.ui.ask_tab import PARTS, deadline, decided, message, refused
from sightline.serve.ui.ui_images import DisplayedImage, Thumbs

RESULTS = 12
MAX_QUERY = 300  # characters
NEAREST = 5  # words that explain what a picture query matched
CANDIDATES = 48  # words of the results' captions that are compared with the picture
WORD = re.compile(r"\w+")
COMMON = GLUE | frozenset("a an in on at of to is it left right top bottom middle".split())


async def by_words(service: Service, thumbs: Thumbs, text: str) -> str:
    """Results for a query in words; the words they share with it are marked."""
    text = text.strip()[:MAX_QUERY]
    if not text:
        return message("Type what you look for, or give a picture.", "bad")
    until = deadline(service)
    try:
        asked = await service.judged_search(text, until)
        if asked.refused:
            return refused(REFUSED_SEARCH, service.decided(asked))
        embed_E = (await service.embed_texts([text], until))[0]
        hits, shown = await service.search(embed_E, RESULTS, "fused", until)
        above = decided(service.decided(asked, shown))
        return above + await _grid(service, thumbs, hits, roots(text), f"Nearest to “{text}”", until)
    except ApiError as error:
        return message(f"No results: {error.message}.", "bad")


async def by_picture(service: Service, thumbs: Thumbs, displayed: DisplayedImage) -> str:
    """Results for a picture; the caption words nearest to it are named and marked."""
    until = deadline(service)
    try:
        embed_E, score = (await service.embed_pixels([displayed.picture.pixels_CYX], until))[0]
        hits, shown = await service.search(embed_E, RESULTS, "fused", until)
        near = await nearest_words(service, embed_E, [hit["text"] for hit in hits], until)
        title = f"Nearest to your picture; it is close to the words: {', '.join(near)}" if near else (
            "Nearest to your picture")  # fmt: skip
        warning = decided(service.decided(shown))
        if service.ood_verdict(score)["out_of_domain"]:
            warning += message("This picture looks unlike those the model was trained on: "
                               "what it finds may mean nothing.", "warn")  # fmt: skip
        return warning + await _grid(service, thumbs, hits, roots(" ".join(near)), title, until)
    except ApiError as error:
        return message(f"No results: {error.message}.", "bad")


async def like(service: Service, thumbs: Thumbs, name: str) -> str:
    """Neighbours of one of the items."""
    until = deadline(service)
    try:
        hits, shown = await service.similar(name, RESULTS, "fused", until)
        text = await service.aside(until, _heading, service.item_index(), name)
        heading = ALLOWED
        if service.screen is not None:
            text, heading = service.screen.caption(text)
        above = decided(service.decided(shown, heading))
        return above + await _grid(service, thumbs, hits, roots(text), f"More like “{text}”", until)
    except ApiError as error:
        return message(f"No results: {error.message}.", "bad")


def _heading(index: ItemIndex, name: str) -> str:
    number = index.find(name)
    return name if number is None else index.entry(number).heading or name


async def nearest_words(
    service: Service, embed_E: np.ndarray, texts: Sequence[str], until: float
) -> list[str]:
    """The words of some captions whose embeddings lie nearest to a picture's, best first."""
    words = list(dict.fromkeys(
        word for text in texts for word in WORD.findall(text.lower()) if word not in COMMON
    ))[:CANDIDATES]  # fmt: skip
    if not words:
        return []
    scores = np.stack(await service.embed_texts(words, until)) @ embed_E
    return [words[index] for index in np.argsort(-scores, kind="stable")[:NEAREST]]


def roots(text: str) -> set[str]:
    """What two texts are compared by: their words, small, without a plural s; common words left out."""
    return {_root(word) for word in WORD.findall(text.lower()) if word not in COMMON}


def _root(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def marked(text: str, wanted: set[str]) -> str:
    """`text` as HTML with the wanted words marked."""
    parts, last = [], 0
    for match in WORD.finditer(text):
        if _root(match[0].lower()) in wanted:
            parts += [(text[last : match.start()], False), (match[0], True)]
            last = match.end()
    return PARTS.marks([*parts, (text[last:], False)])


async def _grid(
    service: Service, thumbs: Thumbs, hits: list[dict[str, Any]], wanted: set[str], title: str, until: float
) -> str:
    if not hits:
        return message("The index is empty.")

    def draw() -> str:
        index = service.item_index()
        cards = (card(rank, hit, thumbs.get(index, hit["id"]), wanted) for rank, hit in enumerate(hits, 1))
        return PARTS.grid(title, cards)

    return await service.aside(until, draw)


def card(rank: int, hit: dict[str, Any], thumb: str | None, wanted: set[str]) -> str:
    """One result: picture or placeholder, similarity, the text with matching words marked."""
    return PARTS.result(rank, hit, thumb, marked(hit["text"], wanted))


def start(model: Model, thumbs: Thumbs) -> str:
    """The message before the first search, of a model that searches."""
    assert model.index is not None
    index = model.index.item_index()
    return message(start_text(index.what, thumbs.any(index)))


def start_text(what: str, pictures: bool) -> str:
    without = (
        " The index ships their words and vectors only; run from the checkout that built the model to see "
        "the pictures."
    )
    return f"{what} to search. Type words, or give a picture.{'' if pictures else without}"
