"""`sightline`: ask, search, and look after the checkout. Nothing here imports torch."""

import json
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from sightline import project
from sightline.params import loader

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Small vision-language models you can trust, rebuilt by one command.",
)

DEMO = ".demo"  # the copy of the checkout that `demo` builds
FRONT_PICTURE = "item01_color.png"  # of the explained items, the one the README shows

BUNDLE = typer.Option(help="Folder of the shipped model; default: models/bundle of this checkout.")
AS_JSON = typer.Option("--json", help="Print one JSON object instead of text.")


def open_session(bundle: Path | None):
    """The session of `bundle`, or a message that names the command which builds one."""
    from sightline.export.session import Session

    folder = bundle or project.root() / "models" / "bundle"
    if not folder.exists():
        raise project.ProjectError(
            f"no model at {folder}: run `make repro`, or `make demo` for a tiny one"
        )
    return Session.load(folder)


def read_image(path: Path):
    from sightline.data import images

    return images.decode(path.read_bytes(), max_pixels=50_000_000, name=str(path))


@app.command()
def ask(
    image: Annotated[Path | None, typer.Argument(help="A picture; default: a shipped example.")] = None,
    question: Annotated[str | None, typer.Argument(help="Default: Describe the image in detail.")] = None,
    spin: Annotated[bool, typer.Option("--spin", help="Gate heads as the bundle says.")] = False,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Answer a question about a picture."""
    from sightline.export.session import SPIN_OFF

    session = open_session(bundle)
    if image is None:
        examples = sorted((session.folder / "examples").glob("*.png"))
        if not examples:
            raise project.ProjectError("this model ships no example picture: give the path of one")
        image = examples[0]
    question = question or "Describe the image in detail."
    settings = None if spin else SPIN_OFF
    answer = session.answer([read_image(image)], [question], spin=settings)[0]
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "image": str(image),
                    "question": question,
                    "answer": answer.text,
                    "confidence": round(answer.confidence, 4),
                }
            )
        )
        return
    typer.echo(f"image: {image}\nQ: {question}\nA: {answer.text}   (confidence {answer.confidence:.2f})")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words, or the path of a picture.")],
    k: Annotated[int, typer.Option(help="How many results.")] = 5,
    bundle: Annotated[Path | None, BUNDLE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Find the items of the model's index that are nearest to words or to a picture."""
    from sightline.search.gallery import Gallery

    session = open_session(bundle)
    path = Path(query)
    embeds = session.embed_images([read_image(path)]) if path.is_file() else session.embed_texts([query])
    gallery = Gallery.load(session.folder / "index", session.engine.search_digest())
    hits = gallery.search(embeds, k, "fused")[0]
    rows = [{"id": hit.id, "score": round(hit.score, 4), "text": hit.text} for hit in hits]
    if as_json:
        typer.echo(json.dumps({"query": query, "results": rows}))
        return
    for rank, row in enumerate(rows, 1):
        typer.echo(f"{rank:2d}  {row['score']:.3f}  {row['id']}  {row['text']}")


@app.command()
def analyse(
    table: Annotated[
        Path | None, typer.Argument(help="A CSV: title, description, image_url, id; default: the built data.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", help="Folder; default: plots/analysis.")] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Say what is in the data, and where it is one-sided: a page, pictures, a card and every figure."""
    from sightline.analyse import corpus, run, summary

    here = project.root()
    out = out or here / "plots" / "analysis"
    settings = loader.load_params(here / "params.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        if table is None:
            data = corpus.built(here / "data", settings)
        else:
            if settings.data.source != "csv":
                settings = project.params_of(here, "csv")
            data = corpus.table(table, settings, Path(scratch))
        found = run.run(data, out)
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    for line in summary.lines(found):
        typer.echo(line)
    typer.echo(f"open {out / 'index.html'}")


@app.command()
def params(as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Print every resolved parameter and where its value came from."""
    resolved = loader.load_params(project.root() / "params.yaml")
    values = {name: resolved.asdict(name) for name in resolved.sections}
    if as_json:
        typer.echo(json.dumps({"profile": resolved.profile, **values}, sort_keys=True))
        return
    for name in ("profile", "seed", "threads", "lr", "launch"):
        typer.echo(f"{name} = {getattr(resolved, name)!r}   (top)")
    for section, leaves in values.items():
        for leaf, value in leaves.items():
            typer.echo(f"{section}.{leaf} = {value!r}   ({resolved.origin.get(f'{section}.{leaf}', 'top')})")


@app.command()
def estimate() -> None:
    """Say what a full rebuild of the chosen profile takes, before it starts."""
    here = project.root()
    for line in project.estimate(here, loader.load_params(here / "params.yaml").profile):
        typer.echo(line)


@app.command()
def demo() -> None:
    """Run the smoke profile in .demo/ and open a page: a question, its answer, the regions behind it."""
    here = project.root()
    target = here / DEMO
    for line in project.estimate(here, "smoke"):
        typer.echo(line.replace("repro:", "demo:", 1))
    project.copy(here, target, "smoke")
    done = subprocess.run(["dvc", "repro"], cwd=target)
    if done.returncode:
        raise typer.Exit(done.returncode)
    ask(bundle=target / "models" / "bundle")
    page = target / "plots" / "explain" / "index.html"
    typer.echo(
        f"demo: the page with maps is {page.relative_to(here)}; the model is tiny and often wrong: "
        "`make repro` builds the real one"
    )
    if sys.stdout.isatty():
        webbrowser.open(page.as_uri())


@app.command()
def docs() -> None:
    """Write the measured tables (results, cost per stage) into README.md."""
    from sightline import tables

    here = project.root()
    for built in (here, here / DEMO):
        project.record_cost(here, built)
    tables.fill(here)
    shutil.copyfile(here / "plots" / "explain" / "pictures" / FRONT_PICTURE, here / "docs" / "answer.png")
    typer.echo("docs: README.md now holds the figures of metrics/ and a picture of plots/explain")


@app.command()
def plots_template() -> None:
    """Write .dvc/page.html, the offline page of `dvc plots diff`."""
    from sightline import plots_template as template

    template.write(project.root() / ".dvc" / "page.html")


def main() -> None:
    """The console script: a user's mistake is one line on stderr and exit code 2, never a traceback."""
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"sightline: {error}", file=sys.stderr)
        sys.exit(2)
