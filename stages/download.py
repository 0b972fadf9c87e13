"""download: pictures and captions of the chosen source. data/sources/<source> -> data/raw"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, registry, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402
from sightline.data.intake import usable  # noqa: E402
from sightline.data.shards import Items  # noqa: E402


def main(params: Params) -> None:
    source = registry.load("data/sources", params.data.source)
    config = {"source": params.data.source, "image_side": params.data.image_side}
    out = Path("data/raw")
    with artifacts.create(out, "raw", config) as folder:
        config.update(source.build(params.data, params.seed, folder))
        usable.require(config, folder, params.data)
    counts = ", ".join(f"{name} {len(lines_N)}" for name, lines_N in Items(out).splits.items())
    with open(out / "rejected.jsonl", "rb") as file:
        rejected = sum(1 for _ in file)
    refused = f"; {rejected} rows or pictures rejected, see {out}/rejected.jsonl" if rejected else ""
    runtime.log(f"items accepted: {counts or 'none'}{refused}")


if __name__ == "__main__":
    with runtime.stage("download") as params:
        main(params)
