"""`sightline serve`: the HTTP API over a bundle."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, USE, app, bundle_folder, say

CACHE = Path.home() / ".cache" / "sightline" / "models"  # of registered models that were served
REGISTERED = "models:/"
ENV = typer.Option(metavar="NAME|FILE", help="A file of deploy/ by its name, or one of your own by its path.")


@app.command(rich_help_panel=USE)
def serve(
    env: Annotated[str, ENV] = "dev",
    bundle: Annotated[Path | None, BUNDLE] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Instead of a folder: models:/NAME@production, of the MLflow server."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; other than loopback needs --keys.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    index: Annotated[
        Path | None, typer.Option(help="An index made by `sightline index`; default: the model's own.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Environment file with API keys, one a line.")] = None,
    root_path: Annotated[
        str | None,
        typer.Option(help="What a proxy shows the server below: /vision, of https://host/vision/."),
    ] = None,
    fetch: Annotated[
        bool | None, typer.Option("--fetch/--no-fetch", help="Allow pictures as https addresses.")
    ] = None,
    queue: Annotated[int | None, typer.Option(help="Requests inside at once; beyond it 429.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds until a request is given up.")] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print every setting and where it came from, and exit.")
    ] = False,
) -> None:
    """Answer over HTTP: a web page, OpenAI's API, search, explanations, metrics. Needs the extra `serve`.

    Settings come from deploy/<env>.yaml. A variable such as SIGHTLINE_SERVE__LIMITS__QUEUE wins over the
    file, an option over both.
    """
    from sightline.serve.deploy import environments

    if model is not None and bundle is not None:
        raise checkout_files.CheckoutError("give --model or --bundle, not both")
    if model is not None and not model.startswith(REGISTERED):
        raise checkout_files.CheckoutError(
            f"--model {model!r}: expected models:/NAME@ALIAS or models:/NAME/VERSION; --bundle takes a folder"
        )
    options: dict[str, tuple[str, Any]] = {
        "--host": ("host", host and host.removeprefix("[").removesuffix("]")),  # as in a URL
        "--port": ("port", port), "--keys": ("keys", keys), "--bundle": ("model", bundle),
        "--model": ("model", model), "--root-path": ("root_path", root_path),
        "--index": ("index", index), "--fetch": ("fetch", fetch), "--queue": ("limits.queue", queue),
        "--timeout": ("limits.timeout_s", timeout),
    }  # fmt: skip
    given = [
        environments.Given(name, key, str(value) if isinstance(value, Path) else value)
        for name, (key, value) in options.items()
        if value is not None
    ]
    here = project()
    deployment = environments.load(env, here, [*environments.variables(os.environ), *given])
    if print_config:
        for line in environments.lines(deployment):
            say(line)
        return
    _serve(deployment, here)


def project() -> Path | None:
    """The checkout around the current folder, or a repository of one's own; None for a bundle alone."""
    try:
        return checkout_files.root()
    except checkout_files.CheckoutError:
        return None


def require_server() -> None:
    """Raise CheckoutError where the extra `serve` is not installed."""
    try:
        from sightline.serve import api, server  # noqa: F401
    except ModuleNotFoundError as error:
        raise checkout_files.CheckoutError(
            f"serving needs the package {error.name}: pip install -r requirements-serve.txt"
        ) from error


def _serve(deployment: Any, here: Path | None) -> None:
    require_server()
    from sightline.inference import execution_provider
    from sightline.serve import server
    from sightline.serve.api import create_app
    from sightline.serve.batch_model import Model
    from sightline.serve.log_writer import json_line

    def tell(text: str) -> None:
        say(json_line(text) if deployment.log.format == "json" else f"serve: {text}", err=True)

    accepted = server.read_keys(Path(deployment.keys)) if deployment.keys else []
    server.check(deployment, accepted)
    folder = bundle_of(deployment.model, tell)
    index = Path(deployment.index) if deployment.index else None
    model = Model.load(folder, deployment.limits.batch, index, deployment.workers.model_threads)
    if model.provider != execution_provider.CPU:
        tell(f"the model runs on {model.provider}")
    host, port = deployment.host, deployment.port
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    tell(f"{address}/v1 answers as OpenAI's API; Ctrl-C ends it")
    served = create_app(model, deployment, accepted)
    if deployment.page and find_spec("gradio") is None:
        tell("no page: it needs the package gradio: pip install gradio==6.31.0")
    elif deployment.page:
        from sightline.serve.login import Login
        from sightline.serve.ui.mount import mount

        if accepted:
            Login(deployment, accepted).add_to(served)
        mount(served, model, deployment.limits, folder, here)
        tell(f"{address}{deployment.root_path or ''}/ shows the page{' after a login' if accepted else ''}")
    server.serve(served, deployment)


def bundle_of(model: str | None, tell: Callable[[str], None]) -> Path:
    """The folder of a bundle: of the checkout, named, or of a registered model, which is fetched once."""
    if model is None or not model.startswith(REGISTERED):
        return bundle_folder(Path(model) if model else None)
    from sightline.share import mlflow_registry

    folder, what = mlflow_registry.fetch(model, CACHE)
    tell(f"{model} is {what}, in {folder}")
    return folder
