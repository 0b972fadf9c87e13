"""`sightline`: ask, search, and look after the checkout. Nothing here imports torch."""

import json
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from functools import partial
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
MAX_PIXELS = 50_000_000  # of a picture from outside
FRONT_PICTURE = "item01_color.png"  # of the explained items, the one the README shows

BUNDLE = typer.Option(help="Folder of the shipped model; default: models/bundle of this checkout.")
AS_JSON = typer.Option("--json", help="Print one JSON object instead of text.")


def open_session(bundle: Path | None):
    """The session of `bundle`, or a message that names the command which builds one."""
    from sightline.export.session import Session

    folder = bundle or project.root() / "models" / "bundle"
    if not folder.exists():
        raise project.ProjectError(f"no model at {folder}: run `make repro`, or `make demo` for a tiny one")
    return Session.load(folder)


def read_image(path: Path):
    from sightline.data import images

    return images.decode(path.read_bytes(), max_pixels=MAX_PIXELS, name=str(path))


def judge(session, picture) -> dict[str, float | bool]:
    """How unlike the training pictures this one is; a line on stderr where it is out of domain."""
    from sightline.search.domain import Domain

    known = Domain.load(session.folder)
    score = float(known.scores(session, [picture])[0])
    if score > known.bound:
        typer.echo(
            "sightline: this picture looks unlike the pictures the model was trained on "
            f"(score {score:.1f}, above {known.bound:.1f}): do not trust what it says",
            err=True,
        )
    return {"out_of_domain": score > known.bound, "domain_score": round(score, 2)}


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
    picture = read_image(image)
    answer = session.answer([picture], [question], spin=settings)[0]
    judged = judge(session, picture)
    sure = False if judged["out_of_domain"] else answer.sure  # confidences are of pictures as in training
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "image": str(image),
                    "question": question,
                    "answer": answer.text,
                    "confidence": round(answer.confidence, 4),
                    "sure": sure,
                    **judged,
                }
            )
        )
        return
    doubt = "not sure, " if sure is False else ""
    said = f"{answer.text}   ({doubt}confidence {answer.confidence:.2f})"
    typer.echo(f"image: {image}\nQ: {question}\nA: {said}")


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
    path, judged = Path(query), {}
    if path.is_file():
        picture = read_image(path)
        embeds, judged = session.embed_images([picture]), judge(session, picture)
    else:
        embeds = session.embed_texts([query])
    gallery = Gallery.load(session.folder / "index", session.engine.search_digest())
    hits = gallery.search(embeds, k, "fused")[0]
    rows = [{"id": hit.id, "score": round(hit.score, 4), "text": hit.text} for hit in hits]
    if as_json:
        typer.echo(json.dumps({"query": query, "results": rows, **judged}))
        return
    for rank, row in enumerate(rows, 1):
        typer.echo(f"{rank:2d}  {row['score']:.3f}  {row['id']}  {row['text']}")


@app.command()
def domain(
    pictures: Annotated[Path, typer.Argument(help="A folder or a zip archive of pictures.")],
    out: Annotated[Path | None, typer.Option("-o", help="Also write the figures to this JSON file.")] = None,
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Count the pictures that the model would warn about, beside the test pictures of data/raw."""
    from sightline.artifacts import read_json, write_json
    from sightline.data.pictures import read
    from sightline.data.shards import Items
    from sightline.evaluate.domain import compare
    from sightline.search.domain import Domain, pictures_of

    session, raw = open_session(bundle), project.root() / "data" / "raw"
    trained, held = (read_json(folder / "config.json")["source"] for folder in (session.folder, raw))
    if trained != held:
        raise project.ProjectError(
            f"{raw} holds {held}, the model was trained on {trained}: run `dvc checkout` for its profile"
        )
    known, refused = Domain.load(session.folder), []
    own, odd = pictures_of(Items(raw), "test", MAX_PIXELS), read(pictures, MAX_PIXELS, refused)
    found = compare(partial(known.scores, session), known.bound, own, odd)
    for line in refused:
        typer.echo(f"sightline: {line}", err=True)
    if out is not None:
        write_json(out, {"name": pictures.name, "unreadable": len(refused), **found})
    typer.echo(
        f"domain: {found['warned']['value']:.1f} % of {found['pictures']} pictures would get the warning, "
        f"{found['false_alarm']['value']:.1f} % of {found['own_pictures']} test pictures do; "
        f"AUROC {found['auroc']['value']:.2f} %"
    )


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
def study(
    scale: Annotated[float, typer.Option(help="Share of the profile's epochs that every arm gets.")] = 1.0,
    seeds: Annotated[int, typer.Option(help="How many, from the seed of params.yaml on.")] = 3,
    arms: Annotated[str, typer.Option(help="Names from ablations.yaml, with commas; default: all.")] = "",
    jobs: Annotated[int, typer.Option(help="Arms at once, a core each.")] = 2,
) -> None:
    """Train every arm of ablations.yaml at equal compute; write metrics/ablations.json and docs/ablations.md.

    An interrupted study goes on where it was.
    """
    from sightline.study import run, summary

    here = project.root()
    found = run.Study(here)
    names = [name.strip() for name in arms.split(",") if name.strip()] or list(found.arms)
    first = found.params.seed
    found.run(names, list(range(first, first + seeds)), scale, jobs, typer.echo)
    summary.write(here, run.RESULT)
    typer.echo("study: docs/ablations.md and metrics/ablations.json hold every finished arm")


@app.command()
def experiments() -> None:
    """Write the finished experiments on top of this commit, best first: docs/search.md, .csv, .svg."""
    from sightline.study import experiments as search

    here = project.root()
    found = search.read(search.show(here))
    search.write(here, found)
    best = found.runs[0]
    knobs = ", ".join(f"{knob}={best[knob]}" for knob in found.knobs)
    typer.echo(f"experiments: {len(found.runs)} in docs/search.md; the best is {best['experiment']}: {knobs}")


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
