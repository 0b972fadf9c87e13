"""The workflows of GitHub Actions: what strangers' code may do, and every shell line, run here as far as it
goes without GitHub. `gh` is a script that answers as GitHub would and writes down what it was asked."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = ("ci.yml", "comment.yml")
SCRIPT = ROOT / ".github" / "pull_request_comment.py"
FIGURES = {"chair_i": 1.8, "vqa_accuracy": 31.111}
GH = """\
#!/bin/sh
echo "$*" >> "$CALLS"
case "$1 $2" in
  "api --method") test "$3" = PATCH || echo 42 ;;
  "api --paginate") cat "$EARLIER" ;;
  "run list") echo 7 ;;
  "run download") test "$3" = 7 && cp -r "$BEFORE" "$7" || cp -r "$COLLECTED" "$7" ;;
esac
"""


def workflow(name):
    return YAML(typ="safe", pure=True).load((FOLDER / name).read_text(encoding="utf-8"))


def steps(name):
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def step(name, title):
    (found,) = (step for step in steps(name) if step.get("name") == title)
    return found["run"]


def smoke(folder, figures=FIGURES):
    """What `ci` collects."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "headline.json").write_text(json.dumps(figures))
    Image.new("RGB", (4, 4)).save(folder / "pictures" / "item00_describe.png")
    return folder


def comment(*words, code=0):
    done = subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    return done


def shell(lines, cwd, **env):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=cwd,
        env=os.environ | env,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_are_these():
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_actions_are_of_one_release_and_jobs_end(name):
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[a-z-]+@v\d+\.\d+\.\d+", each) for each in used)
    assert all(job["timeout-minutes"] <= 120 for job in workflow(name)["jobs"].values())


@pytest.mark.parametrize("name", FILES)
def test_shell_lines_are_bash_without_words_from_outside(name):
    """A branch may be called `$(...)`: what GitHub fills in reaches the shell by variables only."""
    lines = [step["run"] for step in steps(name) if "run" in step]
    assert lines and not [each for each in lines if "${{" in each]
    subprocess.run(["bash", "-n", "-c", "\n".join(lines)], check=True)


def test_code_of_strangers_runs_without_secrets_and_cannot_write():
    ci = workflow("ci.yml")
    assert set(ci["on"]) == {"push", "pull_request"} and ci["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in ci["jobs"].values())
    text = (FOLDER / "ci.yml").read_text(encoding="utf-8")
    assert "secrets" not in text and "github.token" not in text
    checkouts = [step for step in steps("ci.yml") if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_what_may_write_runs_the_code_of_the_default_branch():
    comment = workflow("comment.yml")
    assert comment["on"] == {
        "workflow_run": {"workflows": [workflow("ci.yml")["name"]], "types": ["completed"]}
    }
    assert comment["permissions"] == {}
    assert comment["jobs"]["comment"]["permissions"] == {
        "actions": "read", "contents": "write", "pull-requests": "write",
    }  # fmt: skip
    (checkout,) = (step for step in steps("comment.yml") if "uses" in step)
    assert checkout["with"] == {"persist-credentials": False}  # no `ref`: the default branch


def test_what_is_called_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line for name in FILES for step in steps(name) for line in step.get("run", "").splitlines()]
    targets = [line.split()[1] for line in lines if line.startswith("make ")]
    assert set(targets) == {"setup", "test", "demo"}
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)
    named = [word for line in lines for word in line.split() if word.startswith(("requirements", ".github/"))]
    assert len(named) == 7 and all((ROOT / word).is_file() for word in named)


def test_the_shell_lines_turn_a_demo_into_a_comment(tmp_path):
    """From what `make demo` leaves to the comment, with git and the script as they are; a second run changes
    the comment of the first."""
    built = tmp_path / "checkout" / ".demo"
    smoke(built / "plots" / "explain")
    (built / "metrics" / "report").mkdir(parents=True)
    (built / "plots" / "explain" / "headline.json").rename(built / "metrics" / "report" / "headline.json")
    (built / "plots" / "explain" / "pictures" / "spin_off_on.png").touch()
    shell(step("ci.yml", "Collect figures and pictures"), built.parent)
    assert sorted(path.name for path in (built.parent / "smoke").rglob("*.*")) == [
        "headline.json",
        "item00_describe.png",
    ]

    work, hub, calls = tmp_path / "work", tmp_path / "hub", tmp_path / "calls"
    (work / ".github").mkdir(parents=True)
    shutil.copyfile(SCRIPT, work / ".github" / SCRIPT.name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    subprocess.run(["git", "init", "--quiet", "--bare", hub / "ada" / "balls.git"], check=True)
    (tmp_path / "earlier").touch()
    before = smoke(tmp_path / "before", FIGURES | {"chair_i": 2.0})
    env = {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "CALLS": str(calls),
        "COLLECTED": str(built.parent / "smoke"), "BEFORE": str(before), "EARLIER": str(tmp_path / "earlier"),
        "GITHUB_OUTPUT": str(tmp_path / "output"), "GH_REPO": "ada/balls",
        "OWNER": "eve", "BRANCH": "$(touch escaped)", "COMMIT": "c0ffee", "RUN": "9", "DEFAULT": "main",
        "NUMBER": "42", "SERVER": hub.as_uri(),
    }  # fmt: skip
    for title in ("Find the pull request", "Fetch figures and pictures", "Comment"):
        shell(step("comment.yml", title), work, **env)
    assert (tmp_path / "output").read_text() == "number=42\n" and not (work / "escaped").exists()
    commit = subprocess.run(
        ["git", "-C", hub / "ada" / "balls.git", "rev-parse", "refs/pictures/42"],
        check=True, text=True, capture_output=True,
    ).stdout.strip()  # fmt: skip
    written = (work / "comment.md").read_text()
    assert written.splitlines()[:6] == [
        "<!-- smoke -->",
        "### The profile `smoke`, rebuilt",
        "",
        "| figure | default branch | here | difference |",
        "| --- | ---: | ---: | ---: |",
        "| chair i (lower is better) | 2.00 | 1.80 | -0.20 |",
    ]
    assert "| vqa accuracy | 31.11 | 31.11 | 0 |" in written
    assert (
        f"![item00_describe]({hub.as_uri()}/ada/balls/blob/{commit}/item00_describe.png?raw=true)" in written
    )
    assert calls.read_text().splitlines()[-1] == "pr comment 42 --body-file comment.md"

    (tmp_path / "earlier").write_text("1001\n1002\n")
    shutil.rmtree(work / "pictures")
    shell(step("comment.yml", "Comment"), work, **env)
    assert calls.read_text().splitlines()[-1] == (
        "api --silent --method PATCH repos/ada/balls/issues/comments/1001 -F body=@comment.md"
    )


def test_without_a_build_of_the_default_branch_there_is_no_difference(tmp_path):
    written = comment("text", smoke(tmp_path / "smoke"), tmp_path / "nothing", "https://pictures").stdout
    assert "| chair i (lower is better) | - | 1.80 | - |" in written


@pytest.mark.parametrize(
    "figures",
    [
        "[]",
        "{}",
        '{"](http://x)": 1}',
        '{"a": "1"}',
        '{"a": true}',
        '{"a": NaN}',
        '{"a": {}}',
        "{",
        '{"a": 1e999}',
    ],
)
def test_figures_of_another_form_are_refused(tmp_path, figures):
    folder = smoke(tmp_path / "smoke")
    (folder / "headline.json").write_text(figures)
    done = comment("text", folder, tmp_path / "nothing", "https://pictures", code=1)
    assert done.stdout == "" and done.stderr.startswith("pull_request_comment: ")


def test_pictures_of_another_kind_are_refused(tmp_path):
    for number, (name, data) in enumerate(
        (
            ("a.svg", b"<svg/>"),
            ("a.png", b"<svg/>"),
            ("[a](b).png", b"\x89PNG\r\n\x1a\n"),
            ("big.png", bytes(2_000_001)),
        )
    ):
        folder = smoke(tmp_path / f"smoke{number}")
        (folder / "pictures" / name).write_bytes(data)
        done = comment("pictures", folder, tmp_path / f"out{number}", code=1)
        assert name in done.stderr
    folder = smoke(tmp_path / "link")
    (folder / "pictures" / "b.png").symlink_to(folder / "pictures" / "item00_describe.png")
    assert "expected a file" in comment("pictures", folder, tmp_path / "linked", code=1).stderr
