"""Flickr30k: 31,783 photos with five captions each, from a folder of yours; they are given out on request.

P. Young, A. Lai, M. Hodosh, J. Hockenmaier: From image descriptions to visual denotations (TACL 2, 2014).
Captions and splits are those of A. Karpathy's dataset_flickr30k.json where that is there; else the captions
of results_20130124.token or of Kaggle's results.csv, and the splits of train.txt, val.txt and test.txt, or
drawn.
"""

from pathlib import Path

from sightline.core.params.data_params import DataParams
from sightline.data.intake import captions_files
from sightline.data.intake.build_items import Joining, build_items
from sightline.data.intake.pictures import PictureFolder


def build(params: DataParams, seed: int, out: Path, online: bool = True) -> dict:
    """Fills `out` with shards and items; returns counts of captions (rows) and of items per split.

    Photos may lie anywhere below `data.path`. Nothing depends on `seed`. Raises ValueError for a folder
    without captions.
    """
    folder = PictureFolder(Path(params.path), params.timeout_s, online=online)
    rows = captions_files.flickr(folder)
    return build_items(rows, folder.read, params, out, Joining(by_picture=True, needs_picture=True))
