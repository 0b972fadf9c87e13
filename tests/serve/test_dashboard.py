"""deploy/compose.yaml and what it mounts: the files fit together, and against a real server and a real
Prometheus every query of the dashboard and of the rules has data."""

import json
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import jsonschema
import pytest
from ruamel.yaml import YAML

from sightline.serve.api import create_app
from sightline.serve.deploy import environments
from sightline.serve.deploy.deployment import Deployment
from tests.docs.test_links import anchors
from tests.serve.test_middleware import KEY
from tests.serve.test_monitoring import ASKED, BLUE, CHAT, fill, post
from tests.support.serving import chat, deployed, running

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/sightline.json").read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
ALERT_TESTS = "alerts_test.yaml"
# Of Debian's package docker-compose.
COMPOSE_SCHEMA = Path("/usr/lib/python3/dist-packages/compose/config/compose_spec.json")
GUIDE = "docs/guide/monitor.md"


def read(name):
    return YAML(typ="safe", pure=True).load((DEPLOY / name).read_text(encoding="utf-8"))


COMPOSE = read("compose.yaml")
SERVICES = COMPOSE["services"]
RULES = [rule for group in read("prometheus/alerts.yaml")["groups"] for rule in group["rules"]]
RECORDS = [rule for rule in RULES if "record" in rule]
ALERTS = [rule for rule in RULES if "alert" in rule]
QUERIES = {
    f"{panel['title']}, {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
}


def program(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus): the rules were not tried by it")
    return found


def test_the_compose_file_keeps_to_the_published_schema():
    if not COMPOSE_SCHEMA.is_file():
        pytest.skip(
            "Debian's package docker-compose is not installed: compose.yaml was not held to its schema"
        )
    schema = json.loads(COMPOSE_SCHEMA.read_text(encoding="utf-8"))
    document = {key: value for key, value in COMPOSE.items() if key != "name"}  # younger than this schema
    assert list(jsonschema.Draft7Validator(schema).iter_errors(document)) == []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(document | {"servics": {}})


def test_every_service_is_pinned_checked_and_not_root():
    assert set(SERVICES) == {"sightline", "prometheus", "grafana"}
    assert (ROOT / "deploy" / SERVICES["sightline"]["build"]["context"] / "Dockerfile").is_file()
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "HEALTHCHECK" in dockerfile and "--uid 10001" in dockerfile
    for name in ("sightline", "prometheus", "grafana"):
        service = SERVICES[name]
        assert service["user"].split(":")[0] not in ("", "0", "root")
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        if name != "sightline":
            assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"])
            assert service["healthcheck"]["test"][0] == "CMD"


def test_what_compose_mounts_is_there_and_paths_agree():
    mounted = {}
    for service in SERVICES.values():
        for source, target, *_ in (volume.split(":") for volume in service.get("volumes", [])):
            if source.startswith("."):
                mounted[target] = (DEPLOY / source).resolve()
            else:
                assert source in COMPOSE["volumes"]
    assert mounted.pop("/bundle") == ROOT / "models" / "bundle"
    assert len(mounted) == 3 and all(path.is_dir() for path in mounted.values())
    arguments = dict(word.split("=") for word in SERVICES["prometheus"]["command"])
    config = Path(arguments["--config.file"])
    assert (mounted[str(config.parent)] / config.name).is_file()
    assert (mounted[str(config.parent)] / read("prometheus/prometheus.yaml")["rule_files"][0]).is_file()
    (provider,) = read("grafana/provisioning/dashboards/sightline.yaml")["providers"]
    assert (mounted[provider["options"]["path"]] / "sightline.json").is_file()
    provisioning = mounted["/etc/grafana/provisioning"]
    assert {path.name for path in provisioning.iterdir()} == {"datasources", "dashboards"}


def test_ports_names_and_secrets_agree():
    base = environments.load("prod", ROOT)
    (job,) = read("prometheus/prometheus.yaml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"sightline:{base.port}"]}]
    assert {rule.split('job="')[1].split('"')[0] for rule in every_expression() if 'job="' in rule} == {
        job["job_name"]
    }
    (source,) = read("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    used = {each["datasource"]["uid"] for panel in PANELS for each in (panel, *panel["targets"])}
    assert used == {source["uid"]}
    secrets = {name for service in SERVICES.values() for name in service["secrets"]}
    assert secrets == set(COMPOSE["secrets"])
    files = {one["file"] for one in COMPOSE["secrets"].values()}
    assert all(file.startswith("../secrets/") for file in files)  # neither in git nor in the image's context
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    guide = (ROOT / GUIDE).read_text(encoding="utf-8")
    assert all(file.removeprefix("../") in guide for file in files)
    given = SERVICES["grafana"]["environment"]
    assert given["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in given
    assert job["authorization"]["credentials_file"] == "/run/secrets/metrics_key"


def test_the_settings_of_the_server_exist():
    given = environments.variables(SERVICES["sightline"]["environment"])
    found = environments.load("prod", ROOT, given)
    assert isinstance(found, Deployment) and found.metrics
    assert (found.model, found.keys) == ("/bundle", "/run/secrets/api_keys")


def test_the_dashboard_is_one_page_without_repeats():
    assert 10 <= len(PANELS) <= 14
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles) and len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len(set(QUERIES.values())) == len(QUERIES)
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"] and panel["description"]
    places = {
        (x, y)
        for grid in (panel["gridPos"] for panel in PANELS)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    }
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in PANELS)
    assert max(x for x, _ in places) < 24


def test_panels_and_guide_name_alerts_that_exist():
    named = {name for panel in PANELS for name in re.findall(r"\bSightline[A-Z]\w+", panel["description"])}
    assert named == {rule["alert"] for rule in ALERTS}
    guide = (ROOT / GUIDE).read_text(encoding="utf-8")
    assert set(re.findall(r"^### (Sightline[A-Z]\w+)$", guide, re.M)) == named


def test_every_alert_waits_and_says_how_bad_what_and_what_to_do():
    known = anchors(ROOT / GUIDE)
    assert len(ALERTS) == 11 and len({rule["alert"] for rule in ALERTS}) == 11
    for rule in ALERTS:
        assert re.fullmatch(r"\d+m", rule["for"]) and rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "runbook"}
        page, anchor = rule["annotations"]["runbook"].split("#")
        assert page == GUIDE and anchor in known and anchor == rule["alert"].lower()


def test_every_alert_is_shown_firing_and_not_firing():
    command = [program("promtool"), "test", "rules", ALERT_TESTS]
    subprocess.run(command, cwd=DEPLOY / "prometheus", check=True, capture_output=True)
    shown = [case for one in read(f"prometheus/{ALERT_TESTS}")["tests"] for case in one["alert_rule_test"]]
    for firing in (True, False):
        assert {one["alertname"] for one in shown if bool(one["exp_alerts"]) == firing} == {
            rule["alert"] for rule in ALERTS
        }


def test_a_wrong_threshold_fails_those_tests(tmp_path):
    for name in ("alerts.yaml", ALERT_TESTS):
        text = (DEPLOY / "prometheus" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("psi:max > 0.25", "psi:max > 0.5"))
    command = [program("promtool"), "test", "rules", ALERT_TESTS]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == 1 and "SightlineDrift" in failed.stdout + failed.stderr


def every_expression():
    return [*QUERIES.values(), *(rule["expr"] for rule in RULES)]


def measured(rule):
    """What an alert compares with its bound."""
    value, bound = re.fullmatch(r"(.+?) [<>] ([\d.]+)(?: and .+)?", rule["expr"]).groups()
    assert float(bound) >= 0
    return value


@contextmanager
def scraping(address, folder):
    """The address of a Prometheus that has the files of deploy/prometheus, with another target, and reads
    every second."""
    config = read("prometheus/prometheus.yaml")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [address.removeprefix("http://")]}]
    (folder / "key").write_text(f"{KEY}\n")
    job["authorization"]["credentials_file"] = str(folder / "key")
    shutil.copy(DEPLOY / "prometheus" / "alerts.yaml", folder)
    with (folder / "prometheus.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(config, file)
    subprocess.run([program("promtool"), "check", "config", folder / "prometheus.yaml"], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        program("prometheus"), f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def result(prometheus, query):
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", f"{query}: {answer}"
    return answer["data"]["result"]


def waited_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.3)
    return found


def healthy(prometheus):
    try:
        return httpx.get(f"{prometheus}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_every_query_has_data_from_a_real_server(model, tmp_path):
    with running(create_app(model, deployed(batch=4, queue=200), [KEY])) as address:
        asked = {"Authorization": f"Bearer {KEY}"}
        with scraping(address, tmp_path) as prometheus:
            assert waited_for(lambda: healthy(prometheus)), (tmp_path / "log").read_text()
            fill(address, headers=asked)
            for picture, tokens in ((0, 2), (BLUE, 12)):
                assert post(address, CHAT, chat(ASKED, picture, max_tokens=tokens), headers=asked).is_success
            queries = QUERIES | {rule["alert"]: measured(rule) for rule in ALERTS}
            queries |= {rule["record"]: rule["record"] for rule in RECORDS}
            waited_for(lambda: all(result(prometheus, query) for query in queries.values()))
            assert [name for name, query in queries.items() if not result(prometheus, query)] == []
            assert result(prometheus, "sightline:up:min")[0]["value"][1] == "1"
            (drift,) = result(prometheus, 'sightline:drift_psi:max{signal="picture"}')
            assert float(drift["value"][1]) > 0
            groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert len(rules) == len(RULES)
            assert [rule["name"] for rule in rules if rule["health"] != "ok" or rule.get("lastError")] == []
            (target,) = httpx.get(f"{prometheus}/api/v1/targets").json()["data"]["activeTargets"]
            assert target["health"] == "up" and target["lastError"] == ""
