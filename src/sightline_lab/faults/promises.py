"""All promises that `sightline lab faults` tries, by their number."""

from sightline_lab.faults.battery import Promise
from sightline_lab.faults.rows import (
    archives,
    connection_abuse,
    corruption,
    downloads,
    overload_answers,
    pictures,
    restarts,
    sabotage,
    saves,
    schema_requests,
    settings,
    table_rows,
    training_kills,
    training_numbers,
    training_stops,
)

PROMISES: dict[int, Promise] = {
    module.PROMISE.row: module.PROMISE
    for module in (
        training_kills, saves, corruption, table_rows, pictures, downloads, training_numbers, training_stops,
        overload_answers, restarts, connection_abuse, schema_requests, settings, archives, sabotage,
    )
}  # fmt: skip
