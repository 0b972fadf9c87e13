"""A file per promise: each has PROMISE, and makes its faults itself.

saves.py: death at every file operation of a save (row 2)
corruption.py: changed bytes in any artifact (row 4)
table_rows.py: every row of a table accounted for (row 7)
pictures.py: hostile and broken pictures (row 8)
downloads.py: servers that cut, lie and stall (row 9)
settings.py: wrong parameters (row 21)
archives.py: hostile zip files (row 23)
"""
