"""A file per promise: each has PROMISE, and makes its faults itself.

training_kills.py: a training killed at random moments (row 1)
saves.py: death at every file operation of a save (row 2)
process_numbers.py: another number of processes (row 3)
corruption.py: changed bytes in any artifact, figure, plot or object of the cache (row 4)
pipeline_kills.py: SIGKILL of `dvc repro` and of what it runs (row 5)
full_disk.py: `dvc repro` on a disk that is full (row 6)
table_rows.py: every row of a table accounted for (row 7)
pictures.py: hostile and broken pictures (row 8)
downloads.py: servers that cut, lie and stall (row 9)
training_numbers.py: NaN and infinity in a training (row 10)
training_stops.py: SIGTERM and SIGINT (row 11)
overload_answers.py: answers alone and under overload (row 13)
overload.py: more requests than the server can answer (row 14)
restarts.py: SIGTERM with clients at work (row 15)
connection_abuse.py: connections that say too much, too slowly, or nothing (row 16)
schema_requests.py: requests made from the OpenAPI document (row 17)
index_changes.py: an index that is replaced while it is searched (row 19)
settings.py: wrong parameters (row 21)
addresses.py: addresses that lead behind this machine (row 22)
archives.py: hostile zip files (row 23)
model_files.py: hostile files in a bundle (row 24)
access.py: who has no key, and files that the page might hand out (row 25)
private_texts.py: what clients send, found nowhere (row 26)
markup.py: markup in every text that a page shows (row 27)
connections.py: connections that leave the machine (row 30)
rebuilds.py: the same inputs twice (row 31)
sabotage.py: faults planted in the product, for its tests to notice (row 33)
one_save.py: the process that row 2 kills

Not here: how cases are counted, replayed and bounded (`faults/battery.py`).
"""
