"""Schemas of the sections `export` (ONNX graphs, quantization, the variant that ships) and `index` (the
search index of the bundle, and when it warns)."""

from pydantic import Field

from sightline.core.params.checks import Count, Name, Percent, Settings

ALL_SPLITS = "all"  # of index.split: the items of every split


class ExportParams(Settings):
    """Parameters of the export stage."""

    opset: int = Field(ge=18, le=23, description="of ONNX")
    calibration_items: Count = Field(description="items that set the ranges of int8")
    parity_items: Count = Field(description="questions on which ONNX is held against PyTorch")
    max_flips: Percent = Field(
        description="percent of answers a layer alone in int8 may change, of cosine embeddings may lose; "
        "100 scans nothing"
    )
    max_drop: Percent = Field(
        description="points of accuracy on val a variant may lose and still ship, and percent of how likely "
        "a token of val's descriptions is to it, there at least 5"
    )
    selection_items: Count = Field(description="validation questions that decide which variant ships")
    mirrored_views: bool = Field(
        description="search by the mean embedding of a picture and its mirror image, at twice the cost; not "
        "where left and right matter"
    )


class IndexParams(Settings):
    """Parameters of the index stage."""

    split: Name = Field(description="the split that is searched, or all of them: all")
    factory: Name = Field(
        description="auto (by size: exact, or inverted lists when large) or a FAISS index factory string"
    )
    thumbnails: int = Field(
        ge=0, le=512, description="side, pixels, of the small pictures kept for results; 0 keeps none"
    )
    sure_accuracy: Percent = Field(
        description='percent of short answers that are right on val where `ask` does not say "not sure"'
    )
    domain_percentile: Percent = Field(
        description="of val pictures' and questions' distances to train: what lies farther is out of domain"
    )
