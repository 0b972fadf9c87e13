"""The upload of a prepared bundle to the Hugging Face Hub, as one commit: it arrives whole or not at all.

The address is HF_ENDPOINT's, the token HF_TOKEN's or the one that `hf auth login` kept.
"""

from typing import NoReturn

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import HTTPError

from sightline.core.artifacts import MANIFEST
from sightline.inference.bundle_settings import GENERATION
from sightline.share.published_bundle import Prepared

KEPT = ".gitattributes"  # the Hub's own
UNCHANGED = "nothing was published, and the bundle here is as it was"
ADVICE = {
    401: "the Hub does not know you: run `hf auth login`, or set HF_TOKEN to a token with the right to write",
    403: "your token may not write there: give one with the right to write, or another OWNER",
    404: "the Hub has no such owner, or does not let you see it: check OWNER/NAME and your token",
    409: "somebody else is changing the repository: try again",
    412: "somebody else changed the repository meanwhile: look at it, then try again",
    413: "the Hub refuses so much: set index.thumbnails to 0 or index.split to one split",
    429: "the Hub asks to wait: try again in some minutes",
}


class UploadError(ValueError):
    """The upload failed; the message says what to do."""


def upload(prepared: Prepared, repo: str, private: bool) -> tuple[str, str, list[str]]:
    """(address of the repository, commit, files that were removed there): the repository then holds what was
    prepared and nothing else but its history.

    Raises UploadError, and the repository is as it was: for what the Hub refuses, for a repository with
    something else in it, and for a public one where `private` is asked for.
    """
    if constants.HF_HUB_OFFLINE:
        raise UploadError(f"HF_HUB_OFFLINE forbids the network; {UNCHANGED}: unset it and try again")
    api = HfApi(library_name="sightline")
    try:
        url = api.create_repo(repo, private=private or None, exist_ok=True)
        info = api.model_info(repo)
        there = {file.rfilename for file in info.siblings or []} - {KEPT}
        _check_place(repo, there, private and not info.private)
        gone = sorted(there - set(prepared.files))
        done = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(name, prepared.folder / name) for name in prepared.files),
                *(CommitOperationDelete(name) for name in gone),
            ],
            commit_message="Upload with sightline push-to-hub",
            parent_commit=info.sha,
        )
    except UploadError:
        raise
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        _refuse(repo, error)
    return str(url), str(done.oid), gone


def _check_place(repo: str, there: set[str], public: bool) -> None:
    """Raises UploadError for a repository that holds something else than a bundle, or is public."""
    if public:
        raise UploadError(
            f"{repo} is there and public, --private makes new repositories private; {UNCHANGED}: change its "
            "settings on the Hub, or choose another name"
        )
    if there - {"README.md", "LICENSE"} and not {MANIFEST, GENERATION} <= there:
        raise UploadError(
            f"{repo} holds other files ({', '.join(sorted(there)[:3])}) and no bundle of Sightline; "
            f"{UNCHANGED}: choose another name"
        )


def _refuse(repo: str, error: Exception) -> NoReturn:
    """Raises UploadError with what the Hub answered and what to do; an upload of a large file wraps it."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "response", None) is None:
        cause = cause.__cause__
    answer = getattr(cause, "response", None)
    if answer is None:
        said, advice = " ".join(str(error).split()), f"is {constants.ENDPOINT} reachable? Then try again"
    else:
        words = " ".join(str(getattr(cause, "server_message", None) or answer.reason_phrase).split())
        said = f"the Hub answered {answer.status_code} ({words})"
        advice = ADVICE.get(answer.status_code, "try again: files that it has already are not sent again")
    raise UploadError(f"{repo}: {said}; {UNCHANGED}: {advice}") from error
