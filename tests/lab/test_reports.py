"""`sightline lab reports`: the plan and its cost first, then what is out of date, each report remembered."""

import re
import sys
from pathlib import Path

import pytest
import typer.main
from ruamel.yaml import YAML

from sightline.core.artifacts import read_json
from sightline_lab.cli import main as lab
from sightline_lab.reports import report_plan, run_reports
from sightline_lab.reports.report_plan import PlanError
from sightline_lab.reports.run_reports import ReportFailed

ROOT = Path(__file__).resolve().parents[2]
WRITE = (
    "import sys, pathlib; pathlib.Path(sys.argv[2]).write_text(pathlib.Path(sys.argv[1]).read_text() + '!')"
)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """Two reports: `second` reads what `first` writes."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "metrics").mkdir()
    (tmp_path / "model").write_text("a")
    copy = [sys.executable, "-c", WRITE]
    plan = {
        "reports": {
            "first": {"commands": [[*copy, "model", "one.md"]], "inputs": ["model"], "outputs": ["one.md"]},
            "second": {
                "commands": [[*copy, "one.md", "two.md"]],
                "inputs": ["one.md"],
                "outputs": ["two.md"],
                "minutes": 7,
            },
        },
        "elsewhere": {"three.md": "by hand"},
    }
    dump(tmp_path, plan)
    return tmp_path


def dump(checkout: Path, plan: dict) -> None:
    YAML().dump(plan, checkout / report_plan.PLAN)


def run(checkout: Path, *only: str, dry: bool = False) -> list[str]:
    lines: list[str] = []
    run_reports.run(checkout, only, dry, lines.append)
    return lines


def test_a_dry_run_prints_the_plan_and_writes_nothing(checkout):
    lines = run(checkout, dry=True)
    assert lines == [
        "  first          never measured; one.md missing",
        "  second         about 7 min; two.md missing",
        "reports: 2 of 2 to write, about 7 min on two idle cores, and 1 that were never measured",
        "  not written here: three.md (by hand)",
    ]
    assert not (checkout / "one.md").exists() and not (checkout / report_plan.STATE).exists()


def test_reports_are_written_once_and_kept(checkout):
    run(checkout)
    assert (checkout / "two.md").read_text() == "a!!"
    times = (checkout / "one.md").stat().st_mtime_ns, (checkout / "two.md").stat().st_mtime_ns
    lines = run(checkout)
    assert lines[2].startswith("reports: 0 of 2 to write") and lines[0].endswith("up to date")
    assert times == ((checkout / "one.md").stat().st_mtime_ns, (checkout / "two.md").stat().st_mtime_ns)
    state = read_json(checkout / report_plan.STATE)
    assert set(state["second"]) == {"inputs", "minutes", "core_seconds"}


def test_a_changed_input_rewrites_what_reads_it_and_what_follows(checkout):
    run(checkout)
    (checkout / "model").write_text("b")
    assert "inputs or command changed" in run(checkout, dry=True)[0]
    run(checkout)
    assert (checkout / "two.md").read_text() == "b!!"


def test_changed_options_and_missing_outputs_are_out_of_date(checkout):
    run(checkout)
    (checkout / "two.md").unlink()
    assert run(checkout, "second", dry=True)[0].endswith("two.md missing")
    run(checkout)
    plan = YAML(typ="safe").load((checkout / report_plan.PLAN).read_text())
    plan["reports"]["first"]["commands"][0][2] += "  # another option"
    dump(checkout, plan)
    assert run(checkout, dry=True)[0].endswith("inputs or command changed")
    assert run(checkout, dry=True)[1].endswith("up to date")


def test_an_interrupted_run_goes_on_where_it_was(checkout):
    plan = YAML(typ="safe").load((checkout / report_plan.PLAN).read_text())
    good = plan["reports"]["second"]["commands"]
    plan["reports"]["second"]["commands"] = [[sys.executable, "-c", "raise SystemExit(3)"]]
    dump(checkout, plan)
    with pytest.raises(ReportFailed, match=r"second: .* ended with code 3"):
        run(checkout)
    assert set(read_json(checkout / report_plan.STATE)) == {"first"}
    plan["reports"]["second"]["commands"] = good
    dump(checkout, plan)
    lines = run(checkout)
    assert "reports: second" in lines and "reports: first" not in lines


def test_a_command_that_writes_nothing_is_an_error(checkout):
    plan = YAML(typ="safe").load((checkout / report_plan.PLAN).read_text())
    plan["reports"]["first"]["commands"] = [[sys.executable, "-c", ""]]
    dump(checkout, plan)
    with pytest.raises(ReportFailed, match=r"first: .* did not write one\.md"):
        run(checkout)


def test_unknown_names_and_keys_are_refused(checkout):
    with pytest.raises(PlanError, match=r"--only third: no such report .* there are first, second"):
        run(checkout, "third")
    plan = YAML(typ="safe").load((checkout / report_plan.PLAN).read_text())
    plan["reports"]["first"]["input"] = plan["reports"]["first"].pop("inputs")
    dump(checkout, plan)
    with pytest.raises(PlanError, match=r"reports\.first: input is unknown or missing"):
        run(checkout)


def test_data_that_is_not_pulled_has_the_digest_of_the_lock(checkout):
    first = report_plan.read(checkout)[0][0]
    assert first.digest(checkout, {"model": "1.dir"}) != first.digest(checkout, {"model": "2.dir"})
    lock = {"stages": {"train": {"outs": [{"path": "model", "md5": "1.dir"}]}}}
    YAML().dump(lock, checkout / "dvc.lock")
    assert report_plan.locked_outs(checkout) == {"model": "1.dir"}


def test_every_published_page_is_in_the_plan():
    reports, elsewhere = report_plan.read(ROOT)
    written = {name for report in reports for name in report.outputs} | set(elsewhere)
    published = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "reports").glob("*.md")}
    assert published <= written
    assert [name for name in written if not (ROOT / name).exists()] == []


def test_the_plan_names_commands_and_inputs_that_exist():
    reports, _ = report_plan.read(ROOT)
    commands = set(typer.main.get_command(lab.app).commands)
    locked = report_plan.locked_outs(ROOT)
    assert len(reports) > 5
    for report in reports:
        for command in report.commands:
            if command[:2] == ("sightline", "lab"):
                assert command[2] in commands
        missing = [name for name in report.inputs if name not in locked and not (ROOT / name).exists()]
        assert missing == [], f"{report.name} reads {missing}"
        assert all(re.match(r"(docs|metrics|README)", name) for name in report.outputs)
