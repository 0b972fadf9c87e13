"""`sightline serve`: the HTTP API over a bundle."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, USE, app, bundle_folder, say

CACHE = Path.home() / ".cache" / "sightline" / "models"  # of registered models that were served


@app.command(rich_help_panel=USE)
def serve(
    bundle: Annotated[Path | None, BUNDLE] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Instead of a folder: models:/NAME@production, of the MLflow server."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    index: Annotated[
        Path | None, typer.Option(help="An index made by `sightline index`; default: the model's own.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Environment file with API keys, one a line.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Allow pictures as https addresses.")] = False,
    queue: Annotated[int, typer.Option(min=1, help="Requests inside at once; beyond it 429.")] = 64,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until a request is given up.")] = 30.0,
) -> None:
    """Answer over HTTP: a web page, OpenAI's API, search, explanations, metrics. Needs the extra `serve`."""
    try:
        from sightline.serve import server
        from sightline.serve.api import create_app
    except ModuleNotFoundError as error:
        raise checkout_files.CheckoutError(
            f"serving needs the package {error.name}: pip install -r requirements-serve.txt"
        ) from error
    from sightline.serve.batch_model import Model
    from sightline.serve.limits import Limits

    host = host.removeprefix("[").removesuffix("]")  # as an address in a URL is written
    accepted = server.read_keys(keys) if keys else []
    server.check(host, accepted)
    limits = Limits(host=host, queue=queue, timeout_s=timeout)
    folder = bundle_folder(bundle) if model is None else _registered(model, bundle)
    served_model = Model.load(folder, limits.batch, index)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    say(f"serve: {address}/v1 answers as OpenAI's API; Ctrl-C ends it", err=True)
    served = create_app(served_model, limits, accepted, fetch)
    if not accepted:  # a browser shows no API key, so a server that asks for one has no page
        _add_page(served, served_model, limits, folder, f"{address}/")
    server.serve(served, host, port)


def _registered(model: str, bundle: Path | None) -> Path:
    """The bundle of a registered model, fetched once."""
    from sightline.share import mlflow_registry

    if bundle is not None:
        raise checkout_files.CheckoutError("give --model or --bundle, not both")
    folder, what = mlflow_registry.fetch(model, CACHE)
    say(f"serve: {model} is {what}, in {folder}", err=True)
    return folder


def _add_page(served: Any, model: Any, limits: Any, folder: Path, address: str) -> None:
    """The web page on the application, where Gradio is installed."""
    if find_spec("gradio") is None:
        say("serve: no page: it needs the package gradio: pip install gradio==6.31.0", err=True)
        return
    from sightline.serve.ui.mount import mount

    try:
        here = checkout_files.root()
    except checkout_files.CheckoutError:
        here = None  # a bundle alone: the page says what it misses
    mount(served, model, limits, folder, here)
    say(f"serve: {address} shows the page", err=True)
