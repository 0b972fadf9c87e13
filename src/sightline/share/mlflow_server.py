"""The MLflow server of this user: MLflow's own variables say which and how. MLflow is imported when called.

MLFLOW_TRACKING_URI names it; MLFLOW_EXPERIMENT_NAME the experiment (default: the name of the repository's
folder); MLFLOW_TRACKING_TOKEN, ..._USERNAME and ..._PASSWORD are what it may ask for.
"""

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sightline.core.tracking_outbox import NEEDS

ADDRESS = "MLFLOW_TRACKING_URI"
EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
# By default MLflow tries a server that is away for minutes, and prints of itself.
CALM = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
MOST = 300  # characters of a message that are repeated


class ServerError(ValueError):
    """The MLflow server does not answer, or refuses; the message says which and why."""


def address() -> str:
    """The address of the server. Raises ServerError where none is given, or what is given is none."""
    given = os.environ.get(ADDRESS, "")
    if not given:
        raise ServerError(f"{ADDRESS} is not set; give it the address of an MLflow server, such as "
                          "http://127.0.0.1:5000")  # fmt: skip
    if given != "databricks" and not re.match(r"[a-z][\w+-]*:/", given):
        raise ServerError(
            f"{ADDRESS} is {given!r}, expected the address of an MLflow server, such as http://127.0.0.1:5000"
        )
    return given


def shown(given: str) -> str:
    """A text without the passwords of addresses in it."""
    return re.sub(r"//[^/@\s]*@", "//", given)


def client() -> Any:
    """An `MlflowClient` of the server. Raises ServerError."""
    module, package = NEEDS["mlflow"]
    if importlib.util.find_spec(module) is None:
        raise ServerError(f'the package {module} is not installed; to install it: pip install "{package}"')
    given = address()
    for name, value in CALM.items():
        os.environ.setdefault(name, value)
    import mlflow

    with asked("connect"):
        mlflow.set_tracking_uri(given)
        return mlflow.MlflowClient(given)


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Turns what MLflow raises in the block into a ServerError that says what was asked for. Each storage
    that MLflow knows (S3, Azure, SQL, ...) raises errors of its own; ValueErrors are ours."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and not isinstance(error, OSError):
            raise
        raise ServerError(f"MLflow at {shown(os.environ.get(ADDRESS, ''))} {_why(what, error)}") from error


def _why(what: str, error: Exception) -> str:
    text = shown(" ".join(str(error).split()))
    if away := re.search(
        r"Connection refused|timed out|Name or service not known|Failed to resolve|"
        r"No route to host|Connection reset|Connection aborted|Network is unreachable",
        text,
    ):
        return f"does not answer ({away[0]})"
    return f"did not {what}: {text[:MOST]}"
