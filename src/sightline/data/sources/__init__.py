"""The data sources. The folder is the registry: `data.source: <name>` is the file here, so a new dataset is
a new file with `build(params, seed, out)`, which writes shards.

scenes.py: rendered scenes, no download
flickr8k.py: Flickr8k's two archives and official splits
coco.py: COCO captions 2017, archives or folders
table.py: a table of yours

Not here: questions about the data (`data/questions`), how a scene is drawn (`data/scenes`).
"""
