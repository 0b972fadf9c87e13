"""Settings of a server: what wins over what, mistakes said before anything is loaded, the page of them."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from sightline.core import packaged_project
from sightline.core.params import reference
from sightline.core.params.checks import ParamsError
from sightline.core.params.sections import leaves
from sightline.serve.deploy import deployment_reference as page
from sightline.serve.deploy import environments
from sightline.serve.deploy.deployment import Deployment
from tests.support import command_line

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/reference/deploy.schema.json").read_text(encoding="utf-8"))
FILES = sorted({*(ROOT / "deploy").glob("*.yaml")} - {ROOT / packaged_project.COMPOSE})
VARIABLE = "SIGHTLINE_SERVE__LIMITS__QUEUE"


@pytest.fixture
def project(tmp_path):
    """A repository of a user's own, with a folder deploy/."""
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "deploy").mkdir()
    return tmp_path


def config(cwd, *words, monkeypatch=None, **variables):
    """What `--print-config` says of each setting: {key: (value, where it came from)}."""
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    done = command_line.run(cwd, "serve", "--print-config", *words, torch=False, code=0)
    rows = [line.rstrip(")").split(" = ", 1) for line in done.stdout.splitlines()]
    return {key: tuple(rest.split("   (")) for key, rest in rows}


def test_option_then_variable_then_file_then_what_it_extends(tmp_path, monkeypatch):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: base\n")
    base = str(ROOT / "deploy" / "base.yaml")
    given = {"monkeypatch": monkeypatch, VARIABLE: "7"}
    words = ["--env", file]
    assert config(tmp_path, *words)["limits.queue"] == ("64", base)
    file.write_text("extends: base\nlimits: {queue: 6}\n")
    assert config(tmp_path, *words)["limits.queue"] == ("6", str(file))
    assert config(tmp_path, *words, **given)["limits.queue"] == ("7", VARIABLE)
    assert config(tmp_path, *words, "--queue", 8, **given)["limits.queue"] == ("8", "--queue")


def test_every_option_wins_and_is_named(tmp_path):
    found = config(
        tmp_path, "--env", "prod", "--host", "[::1]", "--port", 9000, "--bundle", "b", "--index", "i",
        "--keys", "k", "--fetch", "--timeout", 2.5, "--root-path", "/r",
    )  # fmt: skip
    assert {key: value for key, value in found.items() if value[1].startswith("--")} == {
        "host": ("'::1'", "--host"), "port": ("9000", "--port"), "model": ("'b'", "--bundle"),
        "index": ("'i'", "--index"), "keys": ("'k'", "--keys"), "fetch": ("True", "--fetch"),
        "root_path": ("'/r'", "--root-path"), "limits.timeout_s": ("2.5", "--timeout"),
    }  # fmt: skip


def test_without_words_it_is_dev_outside_of_a_checkout_too(tmp_path):
    found = config(tmp_path)
    assert list(found) == list(leaves(Deployment))
    assert (found["host"][0], found["page"][0], found["needs_keys"][0]) == ("'127.0.0.1'", "True", "False")
    assert found["page"][1] == str(ROOT / "deploy" / "dev.yaml")


def test_dev_is_prod_s_opposite_where_it_matters():
    dev, prod, staging = (environments.load(name) for name in ("dev", "prod", "staging"))
    assert (dev.host, dev.needs_keys, dev.page, dev.log.format) == ("127.0.0.1", False, True, "text")
    assert (prod.host, prod.needs_keys, prod.page, prod.log.format) == ("0.0.0.0", True, False, "json")
    tighter = {"timeout_s", "body_bytes", "picture_bytes", "inputs", "results", "captions", "header_bytes"}
    for name in tighter | {"header_s", "write_s"}:
        assert getattr(prod.limits, name) < getattr(dev.limits, name), name
    assert staging.limited(drain_s=prod.limits.drain_s).model_dump() == prod.model_dump()


def test_variables_have_the_type_of_their_setting():
    given = {
        "SIGHTLINE_SERVE__PAGE": "false", "SIGHTLINE_SERVE__LIMITS__TIMEOUT_S": "5",
        "SIGHTLINE_SERVE__HOSTS": "[a.example, b.example]", "SIGHTLINE_SERVE__KEYS": "12",
        "SIGHTLINE_SERVE__INDEX": "", "SIGHTLINE_SERVE__LOG__FORMAT": "json",
    }  # fmt: skip
    found = environments.load(
        "dev", given=[environments.Given("--index", "index", "i"), *environments.variables(given)]
    )
    assert (found.page, found.limits.timeout_s, found.hosts) == (False, 5, ("a.example", "b.example"))
    assert (found.keys, found.index, found.log.format) == ("12", None, "json")


def test_what_kubernetes_sets_is_no_setting():
    service = {
        "SIGHTLINE_SERVE_SERVICE_HOST": "10.0.0.1", "SIGHTLINE_SERVE_SERVICE_PORT_HTTP": "80",
        "SIGHTLINE_SERVE_PORT": "tcp://10.0.0.1:80", "SIGHTLINE_SERVE_PORT_80_TCP_ADDR": "10.0.0.1",
    }  # fmt: skip
    assert environments.variables(service) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (VARIABLE, "many", [f"{VARIABLE}: limits.queue: got 'many' (str), allowed: an integer >= 1"]),
        (VARIABLE, "2001-99-99", ["limits.queue: got '2001-99-99' (str)"]),
        (VARIABLE, "0", ["limits.queue: got 0, allowed: an integer >= 1"]),
        (VARIABLE, "", [f"{VARIABLE}: limits.queue: got '' (str)"]),
        ("SIGHTLINE_SERVE__PAGE", "yes", ["page: got 'yes' (str), allowed: true or false"]),
        ("SIGHTLINE_SERVE__HOSTS", "a.example", ["hosts: got 'a.example' (str), allowed: a list"]),
        ("SIGHTLINE_SERVE__LOG__FORMAT", "xml", ["log.format: got 'xml' (str), allowed: text, json"]),
        ("SIGHTLINE_SERVE__LIMITS__QUEU", "8", ["names no setting", f"did you mean '{VARIABLE}'?"]),
        ("SIGHTLINE_SERVE_LIMITS__QUEUE", "8", ["names no setting", f"did you mean '{VARIABLE}'?"]),
        ("SIGHTLINE_SERVE_PORT", "8000", ["names no setting", "did you mean 'SIGHTLINE_SERVE__PORT'?"]),
        ("sightline_serve__limits__queue", "8", ["names no setting", f"did you mean '{VARIABLE}'?"]),
        ("SIGHTLINE_SERVE__LIMITS", "{}", ["names no setting", "--print-config"]),
    ],
)
def test_a_wrong_variable_is_said_before_anything_is_loaded(tmp_path, monkeypatch, name, text, words):
    monkeypatch.setenv(name, text)
    done = command_line.run(tmp_path, "serve", "--bundle", "nowhere", torch=False, code=2)
    assert done.stderr.startswith(f"sightline: {name}: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "extends: dev\nlimits:\n  queu: 8\n",
            3,
            ["limits.queu: got an unknown key", "did you mean 'queue'?"],
        ),
        (
            "extends: dev\nlimits: {queue: '8'}\n",
            2,
            ["limits.queue: got '8' (str), allowed: an integer >= 1"],
        ),
        ("extends: dev\nport: 70000\n", 2, ["port: got 70000, allowed: an integer in [1, 65535]"]),
        ("extends: dev\nhosts: [a.example, 'b:80']\n", 2, ["hosts[1]: got 'b:80'", "no port"]),
        ("extends: dev\norigins: ['*']\n", 2, ["origins[0]: got '*', allowed: https://name"]),
        ("extends: dev\nlog: text\n", 2, ["log: got 'text' (str), allowed: a mapping"]),
        ("extends: prdo\n", 1, ["extends: got 'prdo', allowed: base, dev", "did you mean 'prod'?"]),
        ("extends: mine\n", 1, ["extends: got 'mine'", "no file that extends this one"]),
        ("limits: {queue: 8}\n", 1, ["host: got nothing", "begin the file with `extends: base`"]),
        ("port: 1\nport: 2\n", 2, ["port: got the key twice"]),
        ("a: [\n", 2, ["YAML: got"]),
    ],
)
def test_a_wrong_file_is_said_with_its_line_before_anything_is_loaded(tmp_path, text, line, words):
    (tmp_path / "mine.yaml").write_text(text)
    done = command_line.run(tmp_path, "serve", "--env", "./mine.yaml", torch=False, code=2)
    assert done.stderr.startswith(f"sightline: mine.yaml:{line}: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--env", "prdo"],
            "--env: got 'prdo', allowed: base, dev, prod, staging, or the path of a file; did",
        ),
        (["--env", "../prod"], "--env: got '../prod', allowed: the path of a file that is there"),
        (["--env", "gone.yaml"], "--env: got 'gone.yaml', allowed: the path of a file that is there"),
        (["--queue", "0"], "--queue: limits.queue: got 0, allowed: an integer >= 1"),
        (["--port", "70000"], "--port: port: got 70000, allowed: an integer in [1, 65535]"),
        (["--host", ""], "--host: host: got '', allowed: a name or an address"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_loaded(tmp_path, words, said):
    done = command_line.run(tmp_path, "serve", "--bundle", "nowhere", *words, torch=False, code=2)
    assert done.stderr.startswith(f"sightline: {said}"), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--env", "prod"],
            "prod.yaml: needs_keys: this server asks for keys: give --keys FILE, or SIGHTLINE_",
        ),
        (["--env", "prod", "--host", "127.0.0.1"], "prod.yaml: needs_keys: this server asks for keys"),
        (["--env", "prod", "--keys", "gone.env"], "gone.env: expected a file with API keys"),
        (["--env", "open.yaml"], "open.yaml: host: 0.0.0.0 serves other machines: give --keys FILE"),
        (["--env", "site.yaml"], "site.yaml: origins: pages of other sites need a key: give --keys FILE"),
    ],
)
def test_a_server_that_lacks_keys_does_not_start(tmp_path, words, said):
    (tmp_path / "open.yaml").write_text("extends: dev\nhost: 0.0.0.0\n")
    (tmp_path / "site.yaml").write_text("extends: dev\norigins: ['https://a.example']\n")
    done = command_line.run(tmp_path, "serve", "--bundle", "nowhere", *words, torch=False, code=2)
    assert said in done.stderr and "no model at" not in done.stderr


def test_a_repository_has_environments_of_its_own_and_may_change_the_packages(project):
    (project / "deploy" / "mine.yaml").write_text("extends: prod\nlimits: {queue: 3}\n")
    (project / "deploy" / "prod.yaml").write_text("extends: prod\nport: 443\n")
    mine = environments.load("mine", project)
    assert (mine.limits.queue, mine.port, mine.needs_keys) == (3, 443, True)
    assert mine.origin["limits.queue"] == "deploy/mine.yaml" and mine.origin["port"] == "deploy/prod.yaml"
    assert mine.origin["needs_keys"] == str(ROOT / "deploy" / "prod.yaml")
    below = project / "data"
    below.mkdir()
    assert config(below, "--env", "mine")["limits.queue"] == ("3", "deploy/mine.yaml")


def test_files_that_extend_each_other_are_refused(project):
    (project / "deploy" / "one.yaml").write_text("extends: two\n")
    (project / "deploy" / "two.yaml").write_text("extends: one\n")
    with pytest.raises(ParamsError, match="two.yaml:1: extends: got 'one'.*no file that extends this one"):
        environments.load("one", project)


def test_base_has_every_setting_and_the_others_extend_it():
    base = YAML(typ="safe", pure=True).load(ROOT / "deploy" / "base.yaml")
    flat = {f"{key}.{name}" for key, block in base.items() if isinstance(block, dict) for name in block}
    assert flat | {key for key, block in base.items() if not isinstance(block, dict)} == set(
        leaves(Deployment)
    )
    for file in FILES:
        found = environments.load(file.stem, ROOT)
        assert file.stem == "base" or f"deploy/{file.name}" in found.origin.values()


def test_the_reference_is_up_to_date():
    """Else: sightline params --reference"""
    assert (ROOT / "docs/reference/deploy.md").read_text(encoding="utf-8") == page.markdown(ROOT)
    schema = (ROOT / "docs/reference/deploy.schema.json").read_text(encoding="utf-8")
    assert schema == reference.json_schema(Deployment)


def test_the_page_says_what_every_setting_is():
    rows = [line.split(" | ") for line in page.markdown(ROOT).splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `") for row in rows] == list(leaves(Deployment))
    assert all(len(row) == 6 and all(cell.strip(" |") for cell in row) for row in rows)
    found = {row[0].strip("| `"): row[1:5] for row in rows}
    assert found["needs_keys"] == ["true or false", "`false`", "`true`", "`true`"]
    assert found["keys"] == ["a path, or empty", "empty", "empty", "empty"]


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_the_schema_accepts_the_files(file):
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
    assert [error.message for error in validator.iter_errors(YAML(typ="safe", pure=True).load(file))] == []


@pytest.mark.parametrize(
    "wrong", [{"limits": {"queue": 0}}, {"limits": {"queu": 1}}, {"log": {"format": "xml"}}, {"key": "k"}]
)
def test_the_schema_refuses_what_the_loader_refuses(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def test_no_file_holds_a_key():
    for file in FILES:
        assert YAML(typ="safe", pure=True).load(file).get("keys") is None, file
