"""`sightline audit` as a user runs it: a bundle, an endpoint, killed and gone on with, compared, refused."""

import json
import random
import signal
import subprocess
import time
from html.parser import HTMLParser

import pytest

from sightline.audit import run_audit
from sightline.audit.answer_file import NAME
from sightline.audit.audit_report import AuditReport
from tests.support import audited
from tests.support.command_line import ROOT, command, environment, run

ITEMS = ("--items", 6)


def figures(folder) -> dict:
    return json.loads((folder / run_audit.FIGURES).read_text())


def test_a_bundle_is_audited_without_torch_and_equal_answers_give_equal_bytes(tmp_path, bundle):
    done = run(tmp_path, "audit", bundle, *ITEMS, "-o", "one", torch=False, code=0)
    assert (
        "audit: existence: POPE adversarial: right in " in done.stdout and "audit: wrote one" in done.stdout
    )
    report = AuditReport.model_validate_json((tmp_path / "one" / run_audit.FIGURES).read_text())
    assert report.data.pictures == 6 and report.model.form == "bundle"
    assert {figure.row for figure in report.figures} == {"model", "majority", "blind"}
    for figure in report.figures:
        assert figure.low <= figure.value <= figure.high and figure.n and figure.pictures
    before = {
        name: (tmp_path / "one" / name).read_bytes() for name in (run_audit.FIGURES, run_audit.CARD, NAME)
    }
    run(tmp_path, "audit", bundle, *ITEMS, "-o", "one", code=0)  # all is answered: the report is written anew
    assert {name: (tmp_path / "one" / name).read_bytes() for name in before} == before
    run(tmp_path, "audit", bundle, *ITEMS, "--batch", 1, "-o", "two", code=0)
    assert figures(tmp_path / "two")["data"] == figures(tmp_path / "one")["data"]  # the same questions
    run(tmp_path, "audit", bundle, *ITEMS, "--seed", 1, "-o", "three", code=0)
    assert figures(tmp_path / "three")["data"]["asked"] != figures(tmp_path / "one")["data"]["asked"]


@pytest.mark.parametrize("moments", [3, pytest.param(20, marks=pytest.mark.full)])
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_report(tmp_path, moments):
    def a_moment(number, body):
        time.sleep(0.01)

    draw = random.Random(0)
    with audited.endpoint(fault=a_moment) as server:
        words = ("audit", "--endpoint", server.url, "--model", "m", *ITEMS)
        run(tmp_path, *words, "-o", "whole", code=0)
        total, size = len(server.bodies), (tmp_path / "whole" / NAME).stat().st_size
        server.bodies.clear()
        kills = 0
        for share in sorted(draw.random() for _ in range(moments)):
            process = subprocess.Popen(
                command(*words, "-o", "killed"), cwd=tmp_path, env=environment(),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            path = tmp_path / "killed" / NAME
            while process.poll() is None and not (path.exists() and path.stat().st_size >= share * size):
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        path.write_bytes(path.read_bytes()[:-7])  # and a line that was not written to its end
        run(tmp_path, *words, "-o", "killed", code=0)
        assert kills == moments and len(server.bodies) <= total + 4 * (
            kills + 1
        )  # those under way, once more
        asked = len(server.bodies)
        run(tmp_path, *words, "-o", "killed", code=0)  # the file is whole: nothing is asked again
        assert len(server.bodies) == asked
    for name in (run_audit.FIGURES, run_audit.CARD, run_audit.ASKED):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_key_comes_from_the_named_variable_and_is_written_nowhere(tmp_path):
    with audited.endpoint() as server:
        words = (
            "audit",
            "--endpoint",
            server.url,
            "--model",
            "m",
            *ITEMS,
            "-o",
            "out",
            "--key-env",
            "MY_KEY",
        )
        missing = run(tmp_path, *words, code=2)
        assert "MY_KEY" in missing.stderr and not server.bodies
        done = subprocess.run(
            command(*words), cwd=tmp_path, env=environment(MY_KEY="sk-123456"), capture_output=True, text=True
        )
        assert done.returncode == 0 and server.headers[-1]["Authorization"] == "Bearer sk-123456"
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert b"sk-123456" not in written + (done.stdout + done.stderr).encode()


def test_a_capped_audit_says_how_to_go_on(tmp_path):
    with audited.endpoint() as server:
        words = ("audit", "--endpoint", server.url, "--model", "m", *ITEMS, "-o", "out")
        prices = ("--price-in", 10, "--price-out", 100)
        assert "needs the prices" in run(tmp_path, *words, "--max-cost", 1, code=2).stderr
        stopped = run(tmp_path, *words, *prices, "--max-cost", 0.0301, code=2)
        assert "--max-cost 0.0301 is reached: 0.0300 is spent" in stopped.stderr and len(server.bodies) == 20
        run(tmp_path, *words, *prices, "--max-cost", 10, code=0)
        cost = json.loads((tmp_path / "out" / run_audit.COST).read_text())
        assert cost["requests"] == len(server.bodies) and cost["cost"] == pytest.approx(
            0.0015 * cost["requests"]
        )
        assert cost["prompt_tokens"] == 100 * cost["requests"]


def test_two_audits_are_compared_on_what_both_were_asked(tmp_path):
    """A model that says yes to all, and one that says no, to fewer pictures."""
    with audited.endpoint(answer=lambda question, picture: "yes") as server:
        run(tmp_path, "audit", "--endpoint", server.url, "--model", "yes", "--items", 12, "-o", "yes", code=0)
    with audited.endpoint(answer=lambda question, picture: "no") as server:
        run(tmp_path, "audit", "--endpoint", server.url, "--model", "no", "--items", 8, "-o", "no", code=0)
    done = run(tmp_path, "audit", "no", "--against", "yes", "-o", "difference", code=0)
    made = json.loads((tmp_path / "difference" / "difference.json").read_text())
    assert made["pictures"] == 8 and (made["before"]["name"], made["after"]["name"]) == ("yes", "no")
    changes = {(one["part"], one["kind"], one["metric"]): one for one in made["changes"]}
    wordings = changes["language prior", "grey picture, wordings", "yes"]
    assert (wordings["before"], wordings["after"], wordings["verdict"]) == (100.0, 0.0, "better")
    level = changes["existence", "adversarial", "accuracy"]
    assert (level["before"], level["after"], level["verdict"]) == (50.0, 50.0, "no difference shown")
    p_values = sorted(one["p"] for one in made["changes"])
    assert wordings["p_holm"] == pytest.approx(min(1.0, p_values[0] * len(p_values)), abs=1e-4)
    assert "differ, on" in done.stdout and (tmp_path / "difference" / "difference.md").is_file()
    same = run(tmp_path, "audit", "no", "--against", "no", "-o", "same", code=0)
    assert "audit: 0 of " in same.stdout
    run(
        tmp_path,
        "audit",
        "--endpoint",
        "http://127.0.0.1:9/v1",
        "--model",
        "m",
        "--against",
        "no",
        "-o",
        "x",
        code=2,
    )


def test_a_model_that_sees_more_is_shown_to_be_better(tmp_path, small):
    """The truth of 6 scenes known to one model; Holm's correction leaves the difference in what it asked."""
    truth = {(q.shown, q.text): q.truths[0] for q in small.asked.questions}
    for name, answer in (("sees", lambda r: truth[r.picture.digest, r.text]), ("blind", lambda r: "yes")):
        with run_audit.folder(tmp_path / name) as folder:
            run_audit.run(small, audited.ScriptedModel(answer), folder, 64, run_audit.Budget())
    run(tmp_path, "audit", "sees", "--against", "blind", "-o", "out", code=0)
    changes = json.loads((tmp_path / "out" / "difference.json").read_text())["changes"]
    polls = [one for one in changes if one["part"] == "existence"]
    assert len(polls) == 4 and {one["verdict"] for one in polls} == {"better"}
    assert all(one["after"] == 100.0 and one["low"] > 0 for one in polls)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give a MODEL, or --endpoint"),
        (("m", "--endpoint", "http://127.0.0.1:9/v1", "--model", "m"), "give a MODEL, or --endpoint"),
        (("--endpoint", "http://127.0.0.1:9/v1"), "--endpoint needs --model NAME"),
        (("nowhere",), "expected a bundle of Sightline, a folder with a model of transformers"),
        (("--data", "table"), "expected scenes or SOURCE:PATH"),
        (("--data", "table:none.csv"), "there is no such file or folder"),
        (("--data", "flickr9k:."), "expected scenes, or SOURCE:PATH"),
        (("--data", "scenes:3"), "scenes are drawn at 1, 4, 8"),
        (("--words", "w.txt"), "not for scenes"),
        (("nowhere", "--against", "nothing"), "no finished audit"),
    ],
)
def test_what_cannot_be_audited_is_said_in_a_line(tmp_path, words, message):
    if words and words[0] in ("--data", "--words"):
        words = ("--endpoint", "http://127.0.0.1:9/v1", "--model", "m", *words)
    done = run(tmp_path, "audit", *words, "--items", 2, "-o", "out", code=2)
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_a_folder_with_other_files_is_left_alone(tmp_path, bundle):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    done = run(tmp_path, "audit", bundle, *ITEMS, "-o", "out", code=2)
    assert "holds other files and no audit" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_model_that_answers_nothing_is_refused(tmp_path, tmp_path_factory, tiny_graphs):
    from tests.support import serving

    searching = serving.build_searching_bundle(tmp_path_factory.mktemp("search"), tiny_graphs)
    done = run(tmp_path, "audit", searching, *ITEMS, "-o", "out", code=2)
    assert "built without answering" in done.stderr and not (tmp_path / "out").exists()


class Page(HTMLParser):
    """Tags, what they load, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.loads, self.text = set[str](), list[str](), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        self.text += data


def test_the_page_is_self_contained_and_escapes_what_a_model_says(tmp_path):
    evil = "yes <script>alert(1)</script><img src=https://evil.example/x> \x1b[31m"
    with audited.endpoint(answer=lambda question, picture: evil) as server:
        words = ("--endpoint", server.url, "--model", "<b>m</b>", *ITEMS, "-o", "out")
        run(tmp_path, "audit", *words, code=0)
    page = Page((tmp_path / "out" / run_audit.PAGE).read_text(encoding="utf-8"))
    assert "script" not in page.tags and "link" not in page.tags
    assert page.loads and all(load.startswith("data:image/") for load in page.loads)
    assert "Audit of <b>m</b>" in page.text and evil[:40] in page.text and "\x1b" not in page.text
    assert "Yes/no answers by confidence" in page.text
    for part in ("Does it see what is there?", "Does it look?", "What is its confidence worth?"):
        assert part in page.text


def test_the_schema_of_the_reference_is_that_of_the_code():
    from sightline.audit import audit_report

    written = (ROOT / audit_report.SCHEMA).read_text(encoding="utf-8")
    assert written == audit_report.json_schema(), "run `sightline params --reference`"
