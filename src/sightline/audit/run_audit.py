"""An audit in a folder: asks what is not answered yet, keeps every answer, then writes the report.

The folder holds asked.json (questions with their truth), answers.jsonl, audit.json, cost.json, audit.html and
audit.md. Killed at any time, the same call goes on and ends with the same audit.json.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sightline.audit import answer_file, audit_page, audit_report
from sightline.audit.answer_file import Head
from sightline.audit.answerer import Answerer, Reply
from sightline.audit.audit_items import Asked, Audit
from sightline.audit.audit_report import AuditReport
from sightline.audit.endpoint_answerer import Budget
from sightline.core import artifacts, progress, typed_json
from sightline.core.folder_lock import folder_lock

ASKED, FIGURES, COST, PAGE, CARD = "asked.json", "audit.json", "cost.json", "audit.html", "audit.md"


@contextmanager
def folder(out: Path) -> Iterator[Path]:
    """The folder of an audit, new or begun earlier, held by this process alone. Raises ValueError for one
    with other files."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder, found a file; give another with -o")
    if out.is_dir() and any(out.iterdir()) and not (out / answer_file.NAME).is_file():
        raise ValueError(f"{out}: holds other files and no audit; nothing was changed: give another with -o")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with folder_lock(out):
            yield out
    finally:
        if not any(out.iterdir()):  # nothing was asked
            out.rmdir()


def kept_replies(out: Path) -> dict[str, Reply]:
    """What an earlier run in this folder was answered."""
    path = out / answer_file.NAME
    return answer_file.read(path)[1] if path.is_file() else {}


def run(audit: Audit, answerer: Answerer, out: Path, answer_tokens: int, budget: Budget) -> AuditReport:
    """Audit into `out`, which `folder` holds. Raises ValueError, nothing lost, where the model cannot go
    on."""
    asked = audit.asked
    head = Head(model=answerer.identity, asked=asked.digest, answer_tokens=answer_tokens)
    requests = audit.requests(answer_tokens)
    with answer_file.opened(out, head) as answers:
        artifacts.write_json(out / ASKED, asdict(asked))
        left = [request for request in requests if request.key not in answers.replies]
        with progress.step("requests", len(requests), len(requests) - len(left)) as step:
            for request, reply in answerer.answers(left):
                answers.add(request.key, reply)
                step.advance()
        replies = answers.replies
    report = audit_report.report(asked, replies, answerer.identity)
    priced = bool(budget.price_in or budget.price_out)
    spent = sum(budget.cost(replies[request.key]) for request in requests) if priced else None
    cost = audit_report.cost(asked, replies, spent)
    artifacts.write_json(out / COST, cost.model_dump())
    audit_page.write_card(out / CARD, report)
    audit_page.write(out / PAGE, report, cost, audit_page.examples(audit, replies))
    artifacts.write_json(out / FIGURES, report.model_dump())  # the last: with it the audit is over
    return report


def read(out: Path) -> tuple[Asked, dict[str, Reply], AuditReport]:
    """A finished audit: what was asked, the answers, the report. Raises ValueError for what is none."""
    if not (out / FIGURES).is_file():
        raise ValueError(
            f"{out}: no finished audit; expected a folder that `sightline audit` wrote to its end"
        )
    cure = "audit the model again, into another folder"
    asked = typed_json.read(out / ASKED, Asked, cure)
    report = typed_json.read(out / FIGURES, AuditReport, cure)
    replies = kept_replies(out)
    if asked.digest != report.data.asked:
        raise ValueError(f"{out / ASKED}: not what {FIGURES} is about; {cure}")
    return asked, replies, report
