"""The study of near-duplicates counts what was planted."""

import json

from sightline_lab.duplicates import duplicates_page, duplicates_study
from sightline_lab.duplicates.duplicates_study import CHANGES, Picture, measure
from tests.support.products import shoe


def test_copies_look_alikes_and_the_page():
    pictures = [Picture(f"p{n}", duplicates_study._jpeg(shoe(n, n))) for n in range(14)]
    pictures += [
        Picture(f"c{n}", change(shoe(n, n)), f"p{n}", name)
        for n, (name, change) in enumerate(CHANGES.items())
    ]
    # Copies of a copy's original are one picture, not wrong pairs.
    pictures.append(Picture("again", duplicates_study._jpeg(shoe(0, 0), 70), "c0", "JPEG quality 40"))
    result = measure(pictures, seed=1)
    used = next(row for row in result["limits"] if row["used"])
    assert result["pictures"] == 22 and result["planted"] == len(CHANGES) + 1
    assert used["wrong"] == 0 and used["precision"] == 100.0
    assert used["recall"] >= 75.0
    assert sum(hits for hits, _ in result["changes"].values()) == round(
        used["recall"] / 100 * result["planted"]
    )
    page = duplicates_page.page(json.loads(json.dumps({"catalogue": result})))
    assert f"| **10** | {used['recall']} |" in page and "Photos" not in page
