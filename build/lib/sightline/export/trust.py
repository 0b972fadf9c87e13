"""How far the shipped variant's short answers can be trusted, fitted on questions of `val`."""

import numpy as np

from sightline.data import images
from sightline.data.shards import Items
from sightline.data.vqa.triples import Triples
from sightline.decode.confidence import calibrated, fit_temperature, sure_above
from sightline.export.session import SPIN_OFF, Session

QUESTIONS = 2000
BATCH = 32
SHORT_TOKENS = 8  # the longest answer to a short question


def fit(session: Session, items: Items, val: Triples, accuracy: float, max_pixels: int) -> dict[str, float]:
    """The `confidence` part of a bundle's generation.json: `temperature`, and the confidence `sure_above`
    which answers are right in `accuracy` percent.

    Asks up to QUESTIONS short questions, evenly spread; POPE's repeat the others and are left out. `session`
    must not be calibrated yet. Raises ValueError when `val` asks nothing about a picture.
    """
    rows = (val[line] for line in range(len(val)))
    rows = [row for row in rows if row["type"] != "describe" and not row["type"].startswith("pope_")]
    rows = [row for row in rows if items[row["item"]]["image"] is not None]
    if not rows:
        raise ValueError(f"{val.path}: no short question about a picture; rerun the convert stage")
    spread = np.unique(np.linspace(0, len(rows) - 1, min(QUESTIONS, len(rows))).round().astype(int))
    rows = [rows[place] for place in spread]
    needed = {row["item"]: items[row["item"]] for row in rows}
    pictures = {
        line: images.decode(items.image_bytes(item), max_pixels, item["id"]) for line, item in needed.items()
    }
    limit = session.engine.config["max_answer"]
    given = session.answer(
        [pictures[row["item"]] for row in rows], [row["question"] for row in rows], spin=SPIN_OFF,
        max_new=min(SHORT_TOKENS, limit), batch_size=BATCH,
    )  # fmt: skip
    probability_N = np.array([answer.probability for answer in given])
    right_N = np.array(
        [
            answer.ids == session.tokenizer.encode(row["answer"], limit)[1:-1]
            for answer, row in zip(given, rows, strict=True)
        ]
    )
    temperature = fit_temperature(probability_N, right_N)
    confidence_N = calibrated(probability_N, temperature)
    return {"temperature": temperature, "sure_above": sure_above(confidence_N, right_N, accuracy)}
