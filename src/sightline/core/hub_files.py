"""Files of a model on the Hugging Face hub, at a pinned commit. They are fetched once, into the hub's own
cache (`HF_HOME`), which other programs share; afterwards no network is needed.

This is the only place where a model reaches for the network, and it does so only for a name that a profile
gives. The libraries behind it then read a folder, as they do for a local checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

REVISION = r"[0-9a-f]{40}"  # a branch or a tag would be other weights another day
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")


def fetch(
    section: str, name: str, revision: str, needed: Sequence[str], more: Sequence[str] = (), cure: str = ""
) -> Path:
    """A folder with the files `needed` of the model `name` at the commit `revision`, and those of `more` that
    it has; names may hold `*`.

    `section` is that of the parameters, for the errors: `text` stands for text.name, text.revision and
    text.checkpoint; of a model that no parameter names, `cure` says what to do. Raises ValueError where the
    hub cannot be reached and the files were not fetched before, and where it has no such model, commit or
    file.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*needed, *more]))
    except (OSError, ValueError, HTTPError) as error:
        answer = error.__cause__ if isinstance(error.__cause__, HfHubHTTPError) else error
        reason = " ".join(str(answer).split())
        if isinstance(answer, LocalEntryNotFoundError):
            off = "HF_HUB_OFFLINE is set, unset it" if is_offline_mode() else "run this where there is one"
            reason = f"it was never fetched, which needs the network: {off}"
        raise _refusal(section, name, revision, reason, cure) from error
    if missing := [pattern for pattern in needed if not any(folder.glob(pattern))]:
        raise _refusal(section, name, revision, f"it has no {' and no '.join(missing)}", cure)
    return folder


def _refusal(section: str, name: str, revision: str, reason: str, cure: str) -> ValueError:
    what = f"cannot get {name} at {revision[:10]} from the hub ({reason})"
    if cure:
        return ValueError(f"{section}: {what}. {cure}")
    return ValueError(
        f"{section}.name: {what}. Check {section}.name and {section}.revision, or download it elsewhere and "
        f"give its folder as {section}.checkpoint"
    )
