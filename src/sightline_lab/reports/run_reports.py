"""Prints what is out of date and what it costs, then writes it, report by report, and remembers each."""

import resource
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sightline.core.artifacts import write_json
from sightline_lab.reports import report_plan
from sightline_lab.reports.report_plan import Report

Echo = Callable[[str], None]


class ReportFailed(RuntimeError):
    """A command of a report ended with an error; what was finished before it is kept."""


def run(checkout: Path, only: Iterable[str], dry: bool, echo: Echo) -> None:
    """Every chosen report that is out of date, in the plan's order; with `dry` the plan alone.

    A report is checked again before it runs, because an earlier one may have changed its inputs.
    """
    reports, elsewhere = report_plan.read(checkout)
    chosen = report_plan.choose(reports, only)
    show(checkout, chosen, elsewhere, echo)
    for report in [] if dry else chosen:
        if _why_due(checkout, report):
            write(checkout, report, echo)
    if not dry:
        echo(f"reports: all is up to date; inputs are recorded in {report_plan.STATE}. Try: git diff docs")


def _why_due(checkout: Path, report: Report) -> str | None:
    """Why the report is out of date now, or None."""
    digest = report.digest(checkout, report_plan.locked_outs(checkout))
    return report_plan.reason(checkout, report, report_plan.remembered(checkout), digest)


def show(checkout: Path, chosen: list[Report], elsewhere: dict[str, str], echo: Echo) -> None:
    """The plan: each report with its state and time, the sum, and the pages that are not written here."""
    state, due = report_plan.remembered(checkout), []
    for report in chosen:
        why = _why_due(checkout, report)
        due += [report_plan.minutes(report, state)] if why else []
        cost = f"{_time(report_plan.minutes(report, state))}; {why}" if why else "up to date"
        echo(f"  {report.name:<14} {cost}")
    unknown = sum(minutes is None for minutes in due)
    total = sum(minutes for minutes in due if minutes is not None)
    rest = f", and {unknown} that were never measured" if unknown else ""
    echo(f"reports: {len(due)} of {len(chosen)} to write, about {total:.0f} min on two idle cores{rest}")
    for page, how in elsewhere.items():
        echo(f"  not written here: {page} ({how})")


def _time(minutes: float | None) -> str:
    return "never measured" if minutes is None else f"about {max(minutes, 1):.0f} min"


def write(checkout: Path, report: Report, echo: Echo) -> None:
    """Runs the commands of one report and remembers its inputs and cost; ReportFailed if one fails."""
    echo(f"reports: {report.name}")
    digest = report.digest(checkout, report_plan.locked_outs(checkout))
    begun, spent = time.monotonic(), _child_seconds()
    for command in report.commands:
        if code := subprocess.run(command, cwd=checkout).returncode:
            raise ReportFailed(
                f"{report.name}: `{' '.join(command)}` ended with code {code}; fix it and run the "
                "same command, which resumes here"
            )
    if absent := [name for name in report.outputs if not (checkout / name).exists()]:
        raise ReportFailed(f"{report.name}: its commands ended well but did not write {', '.join(absent)}")
    state = report_plan.remembered(checkout)
    state[report.name] = {
        "inputs": digest,
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "core_seconds": round(_child_seconds() - spent),
    }
    write_json(checkout / report_plan.STATE, state)


def _child_seconds() -> float:
    """Processor time of the processes that ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
