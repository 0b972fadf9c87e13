"""`sightline profile ask` and `profile serve`: where the time of answering goes, operator by operator. Of a
training: `profile_steps` in params.yaml."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli import checkout_files
from sightline.cli.app import BUNDLE, TRUST, app, say

FOLDER = Path("plots/profile")
LOAD = "load"
MARK = b"<title>Sightline: profile of"
OUT = typer.Option("--out", "-o", help="Folder of the page, the trace and the figures.")

group = typer.Typer(
    no_args_is_help=True, help="Where the time of an answer goes: a page, and a trace for Perfetto."
)
app.add_typer(group, name="profile", rich_help_panel=TRUST)


@group.command()
def ask(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PICTURE] [QUESTION]",
            show_default=False,
            help="A picture's file, and a question. Default: as of `sightline ask`.",
        ),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="Times, after one to warm up.")] = 10,
    out: Annotated[Path, OUT] = FOLDER / "ask",
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Profile answering a question about a picture, and searching by both, with ONNX Runtime's profiler."""
    from sightline.cli import ask as asking
    from sightline.cli import picture_input
    from sightline.cli.app import open_session
    from sightline.core import profile_page
    from sightline.data.questions.prompt_template import DESCRIBE
    from sightline.inference.onnx_engine import OnnxEngine
    from sightline.inference.session_profile import PHASE, REQUEST, SessionProfiler
    from sightline.search.item_index import ItemIndex

    _check_out(out)
    pictures, question = asking.split(words or [])
    if len(pictures) > 1:
        raise typer.BadParameter(f"got {len(pictures)} pictures ({', '.join(pictures)}), expected one")
    profiler = SessionProfiler()
    with profiler.recorder.span(LOAD, PHASE):
        session = open_session(bundle)
        index = asking.open_index(session, None)
    session.require_answers()
    source = (pictures or [asking.example(session.folder)])[0]
    settings = asking.AskSettings(question or DESCRIBE, session.settings.generation, session.spin(), None, 0)
    assert isinstance(session.engine, OnnxEngine)

    def once(kind: str) -> str:
        with profiler.recorder.span("ask", kind):
            picture = picture_input.read(source, fetch=False)
            (row,) = asking.answer_rows(session, [(source, picture)], settings)
        with profiler.recorder.span("search", kind):
            index.search(session.embed_images([picture]), 5)
            index.search(session.embed_texts([settings.question]), 5)
        return row["answer"]

    with profiler.recording(session.engine, [(ItemIndex, "search", "search")]):
        once("warm-up")
        answers = {once(REQUEST) for _ in range(repeat)}
    what = f"ask and search, {repeat} times"
    (load,) = (span for span in profiler.recorder.spans if span.name == LOAD)
    facts = {"question": settings.question, "picture": Path(source).name}
    facts["model and index were loaded in"] = f"{load.us / 1e3:.1f} ms"
    made = profiler.profile(what, facts=facts)
    page = profile_page.write(out, made, profiler.events)
    say(f"Q: {settings.question}")
    say(f"A: {' / '.join(sorted(answers))}")
    _say_profile(made, page)


@group.command()
def serve(
    requests: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="Questions about the bundle's example pictures; 0: requests of your own, until Ctrl-C.",
        ),
    ] = 200,
    clients: Annotated[int, typer.Option(min=1, max=256, help="Of the requests, so many at a time.")] = 8,
    env: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="As of `sightline serve`: a file of deploy/.")
    ] = "dev",
    out: Annotated[Path, OUT] = FOLDER / "serve",
    bundle: Annotated[Path | None, BUNDLE] = None,
) -> None:
    """Profile a real server: what requests wait for, how full its batches are, what the model does. It serves
    the API and no page; the extra `serve` is needed."""
    from sightline.cli import serve as serving

    _check_out(out)
    serving.require_server()
    from sightline.core import profile_page
    from sightline.serve import serve_profile, server
    from sightline.serve.deploy import environments

    deployment = environments.load(env, serving.project(), environments.variables(os.environ))
    keys = server.read_keys(Path(deployment.keys)) if deployment.keys else []
    server.check(deployment, keys)
    folder = serving.bundle_of(str(bundle) if bundle else deployment.model, lambda line: say(line, err=True))
    load = serve_profile.Load(requests, clients)
    if not requests:
        say(f"profile: http://{deployment.host}:{deployment.port}/v1 answers; Ctrl-C ends it", err=True)
    made, events = serve_profile.run(folder, deployment, keys, load)
    _say_profile(made, profile_page.write(out, made, events))


def _check_out(out: Path) -> None:
    """Refuse, before anything is measured, a folder that cannot be written or holds another's page."""
    from sightline.core import atomic_io, profile_page

    if out.exists() and not out.is_dir():
        raise checkout_files.CheckoutError(f"--out {out}: expected a folder, found a file; name another")
    atomic_io.check_output(out / profile_page.PAGE, MARK)
    out.mkdir(parents=True, exist_ok=True)


def _say_profile(made, page: Path) -> None:
    """The largest phases and operators."""
    from sightline.core import trace_events

    for phase in made.phases[:6]:
        say(f"{100 * phase.share:5.1f} %  {phase.ms:9.2f} ms  {phase.calls:6d} x  {phase.name}")
    say(f"profile: wrote {page}; open it in a browser, it needs no network")
    say(f"profile: {page.with_name(trace_events.FILE)} opens in Perfetto (ui.perfetto.dev)")
