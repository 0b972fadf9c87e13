"""metrics/serving.json as a page: docs/reports/load.md."""

from pathlib import Path

from sightline.core import artifacts

RESULT, PAGE = Path("metrics/serving.json"), Path("docs/reports/load.md")
BUSY = 0.3  # load per core above which the figures are provisional


def merge(root: Path, measured: dict[str, dict], machine: dict, scale: float) -> None:
    """Put the parts that were measured into the file; the others stay as they were."""
    path = root / RESULT
    parts = artifacts.read_json(path) if path.exists() else {}
    parts |= {name: {"machine": machine, "scale": scale, **part} for name, part in measured.items()}
    artifacts.write_json(path, parts)


def page(parts: dict[str, dict]) -> str:
    machine = next(iter(parts.values()))["machine"]
    lines = [
        "# What the server takes\n",
        "`sightline lab load` wrote this page from `metrics/serving.json`; `--part` measures one part again. "
        f"{machine['processor']}, {machine['cores']} cores: `sightline serve` with its page on one, the "
        "client on the other; ratios carry over to other machines, absolute figures do not.\n",
    ]
    for name, part in parts.items():
        if part["scale"] < 1 or part["machine"]["load"] > BUSY:
            lines.append(
                f"**Provisional**, {name}: lengths times {part['scale']:g}, other programs' load "
                f"{part['machine']['load']:g} a core; run `sightline lab load --part {name}` on idle cores.\n"
            )
    lines += ["| what | to reach | measured |", "|---|---|---|"]
    rows = [row for name, rows_of in ROWS.items() if name in parts for row in rows_of(parts[name])]
    lines += [f"| {what} | {goal} | {got} |" for what, goal, got in rows]
    lines += [NOTES[name] for name in ROWS if name in parts]
    if "hostile" in parts:
        lines += _uploads(parts["hostile"])
    return "\n".join(lines) + "\n"


Row = tuple[str, str, str]


def _throughput(part: dict) -> list[Row]:
    return [
        (f"HTTP against the same model called in process, {what}", "85 %",
         f"{_share(part[kind]['ratio'])} ({part[kind]['http']['median']:.0f} of "
         f"{part[kind]['in_process']['median']:.0f} answers/s; CPU time: {_share(part[kind]['cpu_ratio'])})")
        for kind, what in KINDS.items()
    ]  # fmt: skip


def _share(ratio: dict[str, float]) -> str:
    return f"{100 * ratio['median']:.0f} % [{100 * ratio['q1']:.0f}, {100 * ratio['q3']:.0f}]"


def _naive(part: dict) -> list[Row]:
    return [
        (f"against naive FastAPI + PyTorch at equal p95, {what}", "5x",
         (f"{part[kind]['ratio']:.1f}x" if part[kind]["ratio"] else "the naive one never holds it")
         + f" ({part[kind]['sightline']:.0f} and {part[kind]['naive']:.0f} requests/s)")
        for kind, what in KINDS.items()
    ]  # fmt: skip


def _overload(part: dict) -> list[Row]:
    statuses = ", ".join(f"{count} x {status}" for status, count in part["statuses"].items())
    offered = f"{part['offered']:.0f} requests/s for {part['seconds']:.0f} s"
    return [
        (f"overload, {offered}", "only 200 and 429; 0 hung",
         f"{statuses}; {part['hung']} hung, {part['broken']} broken; afterwards it {part['after']}"),
        ("p99 of those admitted", f"{part['allowed_p99_ms']:.0f} ms", f"{part['admitted_p99_ms']:.0f} ms"),
    ]  # fmt: skip


def _identical(part: dict) -> list[Row]:
    measured = f"{part['identical']} of {part['requests']} ({part['different_answers']} different answers)"
    return [("answers under load, byte for byte those alone", "all", measured)]


def _hostile(part: dict) -> list[Row]:
    return [
        ("hostile uploads, each refused or answered", f"{part['uploads']} within 1 s",
         f"{min(part['refused_or_answered'], part['within_1_s'])}; slowest {part['slowest_ms']:.0f} ms"),
        ("memory grown by them", "256 MB", f"{part['memory_growth_mb']:.0f} MB"),
    ]  # fmt: skip


def _schema(part: dict) -> list[Row]:
    return [("requests made from the schema (schemathesis)", "5,000, no fault",
             f"{part['cases']:,}, {part['faults']} faults")]  # fmt: skip


def _uploads(part: dict) -> list[str]:
    lines = ["| uploads | status: count | slowest, ms |", "|---|---|---:|"]
    for kind, row in part["kinds"].items():
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(row["statuses"].items()))
        lines.append(f"| {kind} | {statuses} | {row['slowest_ms']:.0f} |")
    return lines


KINDS = {"short": "short answers", "long": "descriptions"}


def _rolling(part: dict) -> list[Row]:
    seen = ", ".join(f"{count:,} x {status}" for status, count in part["statuses"].items())
    return [
        (f"two servers behind nginx, replaced {part['replaced']} times under load", "5,000 requests, 0 lost",
         f"{part['requests']:,} requests, {part['lost']} lost ({seen}); {part['asked_again']} asked again"),
    ]  # fmt: skip


ROWS = {
    "throughput": _throughput, "naive": _naive, "overload": _overload, "identical": _identical,
    "rolling": _rolling, "hostile": _hostile, "schema": _schema,
}  # fmt: skip
NOTES = {
    "throughput": "\n**In process**: one thread decodes, preprocesses and answers full batches of the same "
    "requests with the server's own functions. 32 clients ask the server one request after the other. Both "
    "run in turn, five rounds; medians with quartiles of the ratio in the same round.",
    "naive": "\n**Naive**: `src/sightline_lab/load_test/naive_server.py`, a plain endpoint, the trained "
    "model in PyTorch on one thread, one request at a time, the same decoding and preprocessing. The rate is "
    "the largest of Poisson arrivals, found by halving, at which nothing is refused and p95 stays within "
    "100 ms.",
    "overload": "\n**Overload**: short questions arrive at random, five times as many as the server answers "
    "at saturation; latencies count from when a request was due. p99 may be twice that of one client alone "
    "plus the time in which a full queue (64) is answered at saturation.",
    "identical": "\n**Alone and under load**: short and long questions, SPIN, sampling, maps, retrieval, "
    "first one at a time, then 32 at a time in another order.",
    "rolling": "\n**Rolling update**: `deploy/nginx/sightline.conf`, TLS included, before two servers with "
    "dev's settings but no page; 16 clients ask without a pause, on the cores that the servers use. One "
    "server after the other gets SIGTERM, ends once everybody inside is answered, and is started anew. Lost "
    "is all but a whole answer 200; asked again is what nginx took to the other server, by itself.",
    "hostile": "\n**Hostile uploads**: one at a time; memory is the largest resident size above that of the "
    "warmed-up server.",
    "schema": "",
}
