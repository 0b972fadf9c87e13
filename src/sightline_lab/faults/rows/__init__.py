"""A file per promise: each has PROMISE, and makes its faults itself.

training_kills.py: a training killed at random moments (row 1)
saves.py: death at every file operation of a save (row 2)
corruption.py: changed bytes in any artifact (row 4)
table_rows.py: every row of a table accounted for (row 7)
pictures.py: hostile and broken pictures (row 8)
downloads.py: servers that cut, lie and stall (row 9)
training_numbers.py: NaN and infinity in a training (row 10)
training_stops.py: SIGTERM and SIGINT (row 11)
overload_answers.py: answers alone and under overload (row 13)
restarts.py: SIGTERM with clients at work (row 15)
connection_abuse.py: connections that say too much, too slowly, or nothing (row 16)
schema_requests.py: requests made from the OpenAPI document (row 17)
settings.py: wrong parameters (row 21)
archives.py: hostile zip files (row 23)
sabotage.py: faults planted in the product, for its tests to notice (row 33)
one_save.py: the process that row 2 kills

Not here: how cases are counted, replayed and bounded (`faults/battery.py`).
"""
