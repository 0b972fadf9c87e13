"""The pictures nearest to words, in the order of their cosine plus `description_weight` times the
log-probability that the answering model describes the picture so (`described` of the evaluation).

The model reads the small pictures that the index keeps. N pictures, E embedding width.
"""

import numpy as np

from sightline.data import images
from sightline.inference.session import Session
from sightline.search.item_index import CURE, Hit, ItemIndex
from sightline.search.vector_index import SearchIndexError

KIND = "image"  # the vectors whose results are put in another order
MOST = 50  # pictures: a decoder pass each
BATCH = 10
MAX_PIXELS = 1 << 22  # of a small picture


def check(session: Session, index: ItemIndex) -> None:
    """Raises SearchIndexError for a model that does not describe, and for an index without pictures."""
    if not session.answers:
        raise SearchIndexError("re-ranking: this model only searches; take one that answers too")
    if not index.has_thumbnails:
        raise SearchIndexError(
            "re-ranking: the index keeps no pictures to read again; make it by `sightline index TABLE -o "
            "FOLDER` of a table with pictures, or set index.thumbnails and run `dvc repro index`"
        )


def search(
    session: Session, index: ItemIndex, text: str, embed_E: np.ndarray, k: int, count: int
) -> list[Hit]:
    """The `k` best pictures for a text and its unit embedding: the `count` nearest, in the order in which the
    model would describe them so, then the others. A hit's score stays its cosine. Raises as `check`."""
    check(session, index)
    hits = index.search(embed_E[None], max(k, count), KIND)[0]
    return [*order(session, index, text, hits[:count]), *hits[count:]][:k]


def order(session: Session, index: ItemIndex, text: str, hits: list[Hit]) -> list[Hit]:
    """The hits, best first. Raises SearchIndexError where the index keeps no picture of one."""
    if not hits:
        return []
    pictures = [_picture(index, hit) for hit in hits]
    every_N = np.arange(len(hits))
    described_N = session.score_captions(pictures, [text], every_N, np.zeros_like(every_N), BATCH)
    score_N = np.array([hit.score for hit in hits]) + session.settings.description_weight * described_N
    return [hits[number] for number in np.argsort(-score_N, kind="stable")]


def _picture(index: ItemIndex, hit: Hit) -> np.ndarray:
    jpeg = index.thumbnail(hit.entry)
    if jpeg is None:
        raise SearchIndexError(f"re-ranking: the index keeps no picture of {hit.id!r}; {CURE}")
    return images.decode(jpeg, MAX_PIXELS, hit.id)
