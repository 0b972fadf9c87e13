"""From the rows of any source to items on disk: checked, joined, given a split, pictures read.

rows.py: what a source gives: rows, and what cannot be one
table_files.py: CSV, TSV, JSON lines, parquet and arrow, read row by row
text_encoding.py: the encoding of a text file
columns.py: which column holds what, told from the usual names
splits.py: names of splits, and the split of an item that has none
pictures.py: pictures of a folder or of the internet, by name
photo_files.py: photos that a list names, in whatever layout
captions_files.py: caption files of Flickr8k, Flickr30k and COCO
tar_files.py: the samples of webdataset shards
prepared_pictures.py: the pictures of items, read and made what shards keep
build_items.py: rows to shards
usable.py: whether what was built can be trained on

Not here: what is special to one format (`data/sources`).
"""
