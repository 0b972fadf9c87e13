"""An image-text-to-text model of transformers with its processor, from a folder or from the hub at a pinned
commit. No code of the repository is run, and weights are read from safetensors alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from sightline.core import hub_files
from sightline.models.quiet_loading import quiet_loading

NEEDED = ("config.json", "*.safetensors")
MORE = ("*.json", "*.jinja", "*.model", "*.txt")
CURE = "Check the name and --revision, or download it elsewhere and give its folder"


@dataclass(frozen=True)
class TransformersModel:
    """`model` in evaluation mode, its `processor`, and the folder they were read from."""

    model: Any
    processor: Any
    folder: Path


def load(where: str, revision: str | None, dtype: torch.dtype | str = "auto") -> TransformersModel:
    """`where` is a folder, or with a `revision` (a commit, 40 digits) a name on the hub; `auto`: in the type
    that the weights have. Raises ValueError for what is no such model."""
    folder = Path(where)
    if revision is not None:
        folder = hub_files.fetch("audit", where, revision, NEEDED, MORE, CURE)
    elif not (folder / "config.json").is_file():
        raise ValueError(
            f"{where}: expected a bundle of Sightline, a folder with a model of transformers "
            "(config.json), or OWNER/NAME on the Hugging Face Hub with --revision COMMIT"
        )
    try:
        with quiet_loading():
            processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            model: Any = AutoModelForImageTextToText.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True, use_safetensors=True, dtype=dtype
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ValueError(
            f"{where}: transformers cannot load it as an image-text-to-text model "
            f"({' '.join(str(error).split())[:300]})"
        ) from error
    if not hasattr(processor, "tokenizer"):
        raise ValueError(f"{where}: it has no processor of texts and pictures (processor_config.json)")
    return TransformersModel(model.eval(), processor, folder)
