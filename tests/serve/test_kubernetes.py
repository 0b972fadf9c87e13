"""deploy/kubernetes: the objects fit the schemas of Kubernetes, one another, and the server."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sightline.serve.api import create_app
from sightline.serve.deploy import environments
from sightline.serve.login import COOKIE
from sightline.serve.server import read_keys
from tests.support.serving import deployed

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"


def read(name):
    return YAML(typ="safe", pure=True).load(FOLDER / name)


OBJECTS = {
    each["kind"]: each for path in sorted(FOLDER.glob("*.yaml")) if "kind" in (each := read(path.name))
}
POD = OBJECTS["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
VERSIONS = ("1.30", "1.37")  # the first that knows a preStop that sleeps, and the newest of the package


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_its_published_schema(version):
    schemas = pytest.importorskip(
        "kubernetes_validate", reason="the schemas of Kubernetes: pip install -r requirements-services.in"
    )
    for kind in sorted(OBJECTS.keys() - {"Kustomization"}):
        assert schemas.validate(OBJECTS[kind], version, strict=True) == version, kind
    wrong = OBJECTS["Service"] | {"spec": {"ports": [{"port": "http"}]}}
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, version, strict=True)


def test_the_list_has_every_object_but_the_example_of_a_secret():
    files = {path.name for path in FOLDER.glob("*.yaml") if "kind" in read(path.name)}
    assert set(OBJECTS["Kustomization"]["resources"]) == files - {"kustomization.yaml", "secret.example.yaml"}
    assert (
        len(OBJECTS) == len(files)
        and OBJECTS["Namespace"]["metadata"]["name"] == (OBJECTS["Kustomization"]["namespace"])
    )
    (image,) = OBJECTS["Kustomization"]["images"]
    assert image["name"] == CONTAINER["image"]


def test_selectors_find_the_pods_and_ports_have_one_name():
    labels, spec = POD["metadata"]["labels"], {kind: each.get("spec", {}) for kind, each in OBJECTS.items()}
    assert spec["Deployment"]["selector"]["matchLabels"] == labels == spec["Service"]["selector"]
    assert spec["PodDisruptionBudget"]["selector"]["matchLabels"] == labels
    assert spec["NetworkPolicy"]["podSelector"]["matchLabels"] == labels
    spread = POD["spec"]["topologySpreadConstraints"]
    assert [each["labelSelector"]["matchLabels"] for each in spread] == [labels] * 2
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == environments.load("prod").port
    (service,), (allowed,) = spec["Service"]["ports"], spec["NetworkPolicy"]["ingress"][0]["ports"]
    assert service["targetPort"] == allowed["port"] == port["name"]
    (rule,), target = spec["Ingress"]["rules"], spec["HorizontalPodAutoscaler"]["scaleTargetRef"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {
        "name": OBJECTS["Service"]["metadata"]["name"], "port": {"name": service["name"]},
    }  # fmt: skip
    assert rule["host"] in spec["Ingress"]["tls"][0]["hosts"]
    own = OBJECTS["Deployment"]
    assert target == {"apiVersion": own["apiVersion"], "kind": own["kind"], "name": own["metadata"]["name"]}
    assert "replicas" not in spec["Deployment"]  # two would decide how many


@pytest.fixture(scope="module")
def server():
    """The settings that the container starts with, and where each came from."""
    image = re.findall(r"(SIGHTLINE_SERVE__\w+)=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    variables = environments.variables(dict(image[-2:]) | OBJECTS["ConfigMap"]["data"])
    option, env = CONTAINER["args"]
    assert option == "--env"
    return environments.load(env, ROOT, variables)


def test_the_settings_are_the_servers_and_the_keys_lie_where_it_reads_them(server):
    assert (server.host, server.needs_keys, server.page, server.metrics) == ("0.0.0.0", True, True, True)
    (source,) = CONTAINER["envFrom"]
    assert source["configMapRef"]["name"] == OBJECTS["ConfigMap"]["metadata"]["name"]
    volumes = {each["name"]: each for each in POD["spec"]["volumes"]}
    (keys, tmp) = CONTAINER["volumeMounts"]
    secret, (file,) = OBJECTS["Secret"], OBJECTS["Secret"]["stringData"]
    assert f"{keys['mountPath']}/{file}" == server.keys and keys["readOnly"]
    assert volumes[keys["name"]]["secret"]["secretName"] == secret["metadata"]["name"]
    assert tmp["mountPath"] == "/tmp" and "emptyDir" in volumes[tmp["name"]]
    annotations = OBJECTS["Ingress"]["metadata"]["annotations"]
    names = {name.rpartition("/")[2]: text for name, text in annotations.items()}
    assert names["proxy-body-size"] == f"{server.limits.body_bytes >> 20}m"
    assert names["session-cookie-name"] != COOKIE


def test_the_example_of_a_secret_holds_none(tmp_path):
    (tmp_path / "keys.env").write_text(OBJECTS["Secret"]["stringData"]["keys.env"])
    with pytest.raises(ValueError, match="expected a key of 16 or more"):
        read_keys(tmp_path / "keys.env")


def test_a_pod_has_time_to_answer_whoever_is_inside(server):
    pause = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["spec"]["terminationGracePeriodSeconds"] > pause + server.limits.drain_s + 1
    assert server.limits.drain_s >= server.limits.timeout_s
    rolling = OBJECTS["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert rolling["maxUnavailable"] == 0 and rolling["maxSurge"] > 0
    scaled = OBJECTS["HorizontalPodAutoscaler"]["spec"]
    assert OBJECTS["PodDisruptionBudget"]["spec"]["minAvailable"] < scaled["minReplicas"]
    # What is no longer ready is known to be before the pause is over.
    ready = CONTAINER["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] <= pause


def test_probes_ask_routes_of_the_server_under_a_name_that_it_answers(model):
    paths = create_app(model, deployed()).openapi()["paths"]
    probes = {
        name: CONTAINER[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/live",
    }  # fmt: skip
    for probe in probes.values():
        assert "get" in paths[probe["path"]] and probe["port"] == CONTAINER["ports"][0]["name"]
        assert probe["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def test_pods_are_scaled_by_a_figure_that_the_server_has(model):
    metrics = create_app(model, deployed()).state.middleware.metrics.text().decode()
    (metric,) = OBJECTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f"# TYPE {name} gauge" in metrics
    (rule,) = read("prometheus-adapter.values.yaml")["rules"]["custom"]
    assert rule["seriesQuery"].startswith(f"{name}{{") and re.match(rule["name"]["matches"], name)
    assert int(metric["pods"]["target"]["averageValue"]) == environments.load("prod").limits.batch


def test_a_pod_may_do_no_more_than_it_needs():
    spec, own = POD["spec"], CONTAINER["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"--uid {spec['securityContext']['runAsUser']} " in image
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert own["readOnlyRootFilesystem"] and own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} == CONTAINER["resources"]["requests"].keys()
    assert OBJECTS["NetworkPolicy"]["spec"]["egress"] == []
    labels = OBJECTS["Namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
