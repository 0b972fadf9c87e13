"""All promises that `sightline lab faults` tries, by their number."""

from sightline_lab.faults.battery import Promise
from sightline_lab.faults.rows import (
    access,
    addresses,
    archives,
    connection_abuse,
    connections,
    corruption,
    downloads,
    full_disk,
    index_changes,
    markup,
    model_files,
    overload,
    overload_answers,
    pictures,
    pipeline_kills,
    private_texts,
    process_numbers,
    rebuilds,
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
        training_kills, saves, process_numbers, corruption, pipeline_kills, full_disk, table_rows, pictures,
        downloads, training_numbers, training_stops, overload_answers, overload, restarts, connection_abuse,
        schema_requests, index_changes, settings, addresses, archives, model_files, access, private_texts,
        markup, connections, rebuilds, sabotage,
    )
}  # fmt: skip
