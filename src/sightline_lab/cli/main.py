"""The entry point of `sightline lab`: the group with every command of the lab."""

from sightline_lab.cli import (  # noqa: F401  (each registers its commands)
    ablations,
    ann_bench,
    audit,
    bench,
    catalogue,
    decoders,
    dual_encoder,
    duplicates,
    faithfulness,
    faults,
    hallucination,
    load_test,
    monitoring,
    own_tables,
    photos,
    reports,
    retrieval,
    safety,
    scale,
    towers,
)
from sightline_lab.cli.app import app  # noqa: F401  (the entry point names it here)
