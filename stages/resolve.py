"""resolve: the chosen profile and params.yaml, merged. params.yaml + profiles -> resolved.yaml"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import runtime  # noqa: E402
from sightline.core.params import resolved  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    resolved.write(params, Path())
    runtime.log(
        f"profile {params.profile} in {resolved.FILE}; `sightline params` says where each value is from"
    )


if __name__ == "__main__":
    with runtime.stage("resolve") as params:
        main(params)
