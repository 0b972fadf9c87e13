"""All promises that `sightline lab faults` tries, by their number."""

from sightline_lab.faults.battery import Promise
from sightline_lab.faults.rows import (
    archives,
    corruption,
    downloads,
    full_disk,
    pictures,
    pipeline_kills,
    sabotage,
    saves,
    settings,
    table_rows,
    training_kills,
    training_numbers,
    training_stops,
)

PROMISES: dict[int, Promise] = {
    module.PROMISE.row: module.PROMISE
    for module in (
        training_kills, saves, corruption, pipeline_kills, full_disk, table_rows, pictures, downloads,
        training_numbers, training_stops, settings, archives, sabotage,
    )
}  # fmt: skip
