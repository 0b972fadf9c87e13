"""A tokenizer as `transformers` loads it: `AutoTokenizer.from_pretrained(folder)` gives the ids of
`Tokenizer.encode`, since tokenizer.json frames a text as the model was trained with it.

But for two texts: transformers lets a text spell a control token, and leaves one empty that nothing frames.
"""

import json
from pathlib import Path

from tokenizers import processors

from sightline.core.artifacts import write_json
from sightline.core.atomic_io import write_bytes
from sightline.data.tokenizer import Tokenizer
from sightline.data.tokenizer_files import ROLE_KEYS, TOKENIZER

TOKENIZER_CONFIG = "tokenizer_config.json"


def write(folder: Path, tokenizer: Tokenizer, max_tokens: int) -> None:
    """Write both files into a folder. max_tokens: where `transformers` cuts a text if told to truncate."""
    tokenizer.save(folder / TOKENIZER)
    data = json.loads((folder / TOKENIZER).read_bytes())
    data["post_processor"] = _post_processor(tokenizer)
    text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
    write_bytes(folder / TOKENIZER, text.encode())
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_tokens,
        "model_input_names": ["input_ids", "attention_mask"],
    }  # fmt: skip
    for role, (name, *_) in ROLE_KEYS.items():
        if (number := getattr(tokenizer, role)) is not None:
            config[name] = tokenizer.pieces([number])[0]
    write_json(folder / TOKENIZER_CONFIG, config)


def _post_processor(tokenizer: Tokenizer) -> dict:
    """What puts a text into its frame, as tokenizer.json has it."""
    before, after = (tokenizer.pieces(ids) for ids in tokenizer.frame)
    ids = [*tokenizer.frame.before, *tokenizer.frame.after]
    made = processors.TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", *after, "$B:1", *(f"{piece}:1" for piece in after)],
        special_tokens=sorted(set(zip([*before, *after], ids, strict=True))),
    )
    return json.loads(made.__getstate__())
