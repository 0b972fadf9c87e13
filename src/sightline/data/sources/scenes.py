"""Source `scenes`: rendered pictures of coloured objects, with captions and scene graphs; no download."""

import io
from itertools import chain, islice
from pathlib import Path

import numpy as np
from PIL import Image

from sightline.core import progress
from sightline.core.params.data_params import DataParams
from sightline.core.runtime import derive_seed
from sightline.core.shard_map import map_shards
from sightline.data.scenes import sample as sampling
from sightline.data.scenes.render import COLORS, SIDE, render
from sightline.data.scenes.scene_captions import captions
from sightline.data.scenes.shapes import SIDES
from sightline.data.shards import ShardWriter

CHUNK = 250  # scenes of a shard: a few MiB

RenderedScene = tuple[dict, list[str], bytes]  # scene, captions, PNG


def build(params: DataParams, seed: int, out: Path, online: bool = True) -> dict:
    """Render every split of `params.sizes` into shards under `out`; returns what the benchmark fixes.

    ValueError if a size is missing or belongs to no split, or if pictures would have to shrink.
    """
    sizes = _sizes(params)
    digests: set[str] = set()
    redrawn = 0
    train_scenes = []
    writer = ShardWriter(out, params.shard_mb * 2**20)
    shards = [
        (seed, split, start, min(start + CHUNK, sizes[split]))
        for split in sampling.SPLITS
        for start in range(0, sizes[split], CHUNK)
    ]
    scenes = chain.from_iterable(map_shards(render_range, shards))
    for split in sampling.SPLITS:
        drawn = progress.track(islice(scenes, sizes[split]), f"scenes of {split}", sizes[split])
        for index, rendered in enumerate(drawn):
            attempt = 0
            while (digest := sampling.graph_hash(rendered[0])) in digests:
                attempt += 1
                redrawn += 1
                rendered = render_scene(seed, split, index, attempt)
            digests.add(digest)
            scene, texts, png = rendered
            item = {"id": f"{split}-{index:05d}", "split": split, "captions": texts, "scene": scene}
            writer.add(item, png, "png")
            if split == "train":
                train_scenes.append({"objects": [{"kind": t["kind"]} for t in scene["objects"]]})
    writer.close()
    return {
        "benchmark": sampling.VERSION,
        "objects": {kind: [kind, plural] for kind, plural in sampling.PLURALS.items()},
        "colors": list(COLORS),
        "sizes": list(SIDES),
        "bias": sorted(map(list, sampling.BIAS.items())),
        "held_out": sorted(map(list, sampling.HELD_OUT)),
        "statistics": sampling.statistics(train_scenes),
        "counts": sizes,
        "redrawn": redrawn,
    }


def render_scene(seed: int, split: str, index: int, attempt: int = 0) -> RenderedScene:
    """One scene with its captions and its PNG; the captions have a generator of their own."""
    scene = sampling.sample(seed, split, index, attempt)
    rng = np.random.Generator(np.random.PCG64(derive_seed(seed, "captions", split, index, attempt)))
    png = io.BytesIO()
    Image.fromarray(render(scene)).save(png, "PNG", compress_level=1)
    return scene, captions(scene, rng), png.getvalue()


def render_range(shard: tuple[int, str, int, int]) -> list[RenderedScene]:
    """The scenes of a shard: seed, split, the first one and the one after the last."""
    seed, split, start, stop = shard
    return [render_scene(seed, split, index) for index in range(start, stop)]


def _sizes(params: DataParams) -> dict[str, int]:
    missing = sorted(set(sampling.SPLITS) - set(params.sizes))
    unknown = sorted(set(params.sizes) - set(sampling.SPLITS))
    if missing or unknown:
        raise ValueError(
            f"params.yaml: data.sizes: missing {missing}, unknown {unknown}; "
            f"expected the splits {sorted(sampling.SPLITS)}: give each a number of images"
        )
    if params.image_side < SIDE:
        raise ValueError(
            f"params.yaml: data.image_side: got {params.image_side}, expected at least {SIDE}: "
            "scenes are drawn at that size and not shrunk"
        )
    return {split: min(n, params.max_items or n) for split, n in sorted(params.sizes.items())}
