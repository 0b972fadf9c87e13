"""Start a training stage as the parameter `launch` says: python stages/launch.py auto stages/align.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import launch  # noqa: E402
from sightline.core.params.loader import ParamsError, load_params  # noqa: E402


def main(arguments):
    params = load_params()
    sizes = [section.batch_size for section in (params.pretrain, params.align, params.finetune)]
    launch.replace_process(arguments, sizes)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        print(f"{Path(sys.argv[-1]).stem}: error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ParamsError) else 1)  # as runtime.stage does
