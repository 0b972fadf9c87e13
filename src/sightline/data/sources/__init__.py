"""The data sources. The folder is the registry: `data.source: <name>` is the file here, so a new dataset is
a new file with `build(params, seed, out, online=True)`, which gives its rows to `data/intake` and so fills
shards. Not `online`, no picture that a row names by an address is fetched.

scenes.py: rendered scenes, no download
flickr8k.py: Flickr8k: the two archives, or a folder
flickr30k.py: Flickr30k from a folder
coco.py: COCO captions 2017, or any files in COCO's form
table.py: a table of yours: CSV, TSV, JSON lines, parquet
folder.py: a folder of pictures with texts
webdataset.py: webdataset shards
hf.py: a Hugging Face dataset, on disk or on the hub
vqa.py: VQA-v2, GQA and POPE

Not here: what sources share (`data/intake`), questions about the data (`data/questions`), how a scene is
drawn (`data/scenes`).
"""
