"""`sightline monitor`: how a served model is doing, read from its /metrics."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli import checkout_files
from sightline.cli.app import AS_JSON, TRUST, app, say

HERE, EVERY_S = "http://127.0.0.1:8000", 5
NAMES = {
    "picture": "pictures", "question": "questions", "confidence": "confidence of short answers",
    "object_word": "object words of descriptions",
}  # fmt: skip
BEYOND = {
    "picture": "pictures out of domain", "question": "questions out of domain",
    "confidence": "short answers below the bound", "object_word": "doubtful descriptions",
}  # fmt: skip
KINDS = {"yes_no": "yes or no", "number": "numbers", "other": "other short answers"}


@app.command(rich_help_panel=TRUST)
def monitor(
    url: Annotated[str, typer.Argument(metavar="[URL]", help="Of the server.")] = HERE,
    keys: Annotated[
        Path | None,
        typer.Option(help="Environment file with API keys; the first is sent. Default: as the server's."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help=f"Again every {EVERY_S} s, each time of what came since.")
    ] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Show how a server is doing: traffic, limits, drift from training, how sure its answers are.

    It reads /metrics once, or until Ctrl-C. Where --keys is left out, the variable SIGHTLINE_SERVE__KEYS
    names the file.
    """
    from sightline.serve.deploy import environments

    try:
        from sightline.serve import metrics_reader, server
    except ModuleNotFoundError as error:
        raise checkout_files.CheckoutError(
            f"reading metrics needs the package {error.name}: pip install -r requirements-serve.txt"
        ) from error
    file = keys or os.environ.get(environments.variable("keys"))
    key = server.read_keys(Path(file))[0] if file else None
    now = metrics_reader.read(url, key)
    _print(metrics_reader.figures(now), "since the server started", as_json)
    try:
        while watch:
            time.sleep(EVERY_S)
            before, now = now, metrics_reader.read(url, key)
            when = f"in the last {EVERY_S} s"
            if not now.follows(before):
                when = "since this server started"
                say("another server answers than before, or it was started again: behind a proxy that has "
                    "several, ask each at its own address", err=True)  # fmt: skip
            _print(metrics_reader.figures(now, before), when, as_json)
    except KeyboardInterrupt:
        return


def _print(found: dict[str, Any], when: str, as_json: bool) -> None:
    for line in [json.dumps(found)] if as_json else _table(found, when):
        say(line)


def _table(found: dict[str, Any], when: str) -> Iterator[str]:
    rows = [*_traffic(found, when), *_trust(found)]
    width = max(len(name) for name, _ in rows)
    yield from (f"{name:<{width}}  {text}" for name, text in rows)


def _traffic(found: dict[str, Any], when: str) -> Iterator[tuple[str, str]]:
    yield "requests", f"{found['requests']:,} {when}"
    yield "errors of the server", _share(found["errors"], found["requests"])
    seconds = [found[name] for name in ("p50_s", "p99_s")]
    told = "no request yet" if None in seconds else "{:.3g} s, {:.3g} s".format(*seconds)
    yield "latency p50, p99", told
    yield "inside, queue", f"{found['inside']:g} of {found['inside_limit']:g}, {found['queue']:g} rows wait"
    refused = {name: count for name, count in found["admissions"].items() if name != "admitted"}
    many = sum(found["admissions"].values())
    why = ", ".join(f"{name} {count:,}" for name, count in refused.items() if count)
    yield "refused for load", _share(sum(refused.values()), many) + (f": {why}" if why else "")
    yield "connections refused", f"{found['connections_refused']:,}"
    yield "log lines dropped", f"{found['log_lines_dropped']:,}"


def _trust(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, signal in found["signals"].items():
        yield f"drift of {NAMES[name]}", signal["verdict"]
    for name, signal in found["signals"].items():
        expected = signal["expected_beyond"]
        beside = "" if expected is None else f", {100 * expected:.1f} % on val"
        yield BEYOND[name], _share(signal["beyond"], signal["scores"]) + beside
    for name, counts in found["not_sure"].items():
        yield f"not sure: {KINDS[name]}", _share(counts["not_sure"], counts["answers"])
    decisions = found["safety_decisions"]
    if decisions is None:
        yield "safety filter", "not reported by this server"
    else:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in decisions.items() if count)
        yield "safety filter", reasons or "nothing refused, marked or masked"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({100 * part / whole:.1f} %)" if whole else "")
