"""The manifests are what Kubernetes takes, and fit each other, the image and the settings."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

from antiscrape.operate.families import BY_NAME
from antiscrape.settings.load import load
from tests.conftest import missing
from tests.deploy.shipped import DEPLOY, ROOT, document, documents, walk

FOLDER = DEPLOY / "kubernetes"
#: Read by kustomize and by Helm, and no resources of the cluster's.
_OTHERS = {"kustomization.yaml", "prometheus-adapter.yaml"}
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name not in _OTHERS)
RESOURCES: list[dict[str, Any]] = [resource for path in FILES for resource in documents(path)]
PODS = [resource["spec"]["template"] for resource in RESOURCES if resource["kind"] == "Deployment"]
SECRET = "kJ8s2Lx0Qm4vT7yBn3Rz6WcE1pUaHdFg9iOt"


def name_of(resource: dict[str, Any]) -> str:
    return f"{resource['kind']}-{resource['metadata']['name']}"


def one(kind: str, name: str = "antiscrape") -> Any:
    (found,) = [row for row in RESOURCES if (row["kind"], row["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("resource", RESOURCES, ids=name_of)
def test_it_is_of_the_schema(resource: dict[str, Any]) -> None:
    try:
        import kubernetes_validate
    except ImportError:
        missing("kubernetes", "kubernetes-validate, which carries the schemas, is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of jsonschema's, in the validator
        for version in ("1.29", "1.37"):
            kubernetes_validate.validate(resource, version, strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(resource | {"nonsense": True}, "1.37", strict=True)


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod["spec"]["containers"][0]["name"])
def test_pods_meet_the_restricted_standard(pod: dict[str, Any]) -> None:
    """Pod Security Standards, "Restricted"; and a root file system that is read-only, which they do not ask for."""
    spec = pod["spec"]
    assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert (context["allowPrivilegeEscalation"], context["privileged"]) == (False, False)
        assert context["readOnlyRootFilesystem"] is True
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert re.search(r":[\w.-]*\d", container["image"]), "an image without a version"
    kinds = {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]}
    assert kinds <= {"configMap", "secret", "emptyDir"}
    mounted = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_everything_is_in_one_namespace_and_listed() -> None:
    kustomization = document(FOLDER / "kustomization.yaml")
    assert sorted(kustomization["resources"]) == [path.name for path in FILES]
    assert {row["metadata"].get("namespace") for row in RESOURCES if row["kind"] != "Namespace"} == {
        "antiscrape"
    }


def test_selectors_find_the_pods_and_ports_have_names() -> None:
    labels = [pod["metadata"]["labels"] for pod in PODS]
    ports = {port["name"] for pod in PODS for box in pod["spec"]["containers"] for port in box["ports"]}
    for resource in RESOURCES:
        if resource["kind"] == "Service":
            assert any(resource["spec"]["selector"].items() <= row.items() for row in labels)
            assert {port["targetPort"] for port in resource["spec"]["ports"]} <= ports
        elif resource["kind"] in {"PodDisruptionBudget", "Deployment"}:
            assert any(resource["spec"]["selector"]["matchLabels"].items() <= row.items() for row in labels)
    target = one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "antiscrape")
    assert "replicas" not in one("Deployment")["spec"], "a deployment and its autoscaler would each set them"
    assert one("HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2


def test_probes_ask_what_the_admin_socket_answers() -> None:
    (box,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert {box[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe")} == {"/readyz"}
    assert box["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}
    grace = one("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    drain = int(box["args"][box["args"].index("--drain") + 1])
    wait = int(re.search(r"sleep\((\d+)\)", box["lifecycle"]["preStop"]["exec"]["command"][-1])[1])  # type: ignore[index]  # it is there, or the test fails
    assert wait + drain < grace


def test_the_policy_is_right_and_names_what_is_mounted(tmp_path: Any) -> None:
    data, spec = one("ConfigMap")["data"], one("Deployment")["spec"]["template"]["spec"]
    for name, text in (("secret", SECRET), ("store-password", "opensesame")):
        (tmp_path / name).write_text(text)
    text = data["antiscrape.toml"]
    assert "/run/secrets/antiscrape/" in text
    file = tmp_path / "antiscrape.toml"
    file.write_text(text.replace("/run/secrets/antiscrape", str(tmp_path)))
    policy = load(file, environ={}).policy
    assert policy.record.admin == "0.0.0.0:9465"
    assert policy.store.address is not None
    (store,) = policy.store.address.servers
    assert (store.host, store.port) == (
        "antiscrape-valkey",
        one("Service", store.host)["spec"]["ports"][0]["port"],
    )
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["secret"] == "/run/secrets/antiscrape"
    env = {row["name"]: row.get("value") for row in spec["containers"][0]["env"]}
    assert env["ANTISCRAPE_CONFIG"] == f"{mounts['config']}/antiscrape.toml"
    assert env["ANTISCRAPE_UPSTREAM"] is None


@pytest.mark.security("F10")
def test_no_secret_stands_in_a_manifest() -> None:
    assert not [row for row in RESOURCES if row["kind"] == "Secret"]
    for value in walk(RESOURCES):
        if isinstance(value, dict) and "name" in value and "value" in value:
            assert not re.search(r"SECRET|PASSWORD|TOKEN", str(value["name"]))


def test_the_user_is_the_images() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    context = one("Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user[1]), int(user[2]))


def test_the_autoscalers_metric_is_one_of_ours_and_is_brought_to_the_cluster() -> None:
    metrics = one("HorizontalPodAutoscaler")["spec"]["metrics"]
    (name,) = [row["pods"]["metric"]["name"] for row in metrics if row["type"] == "Pods"]
    assert name in BY_NAME
    (rule,) = document(FOLDER / "prometheus-adapter.yaml")["rules"]["custom"]
    assert rule["name"]["as"] == name
    assert rule["seriesQuery"].startswith(name + "{")


def test_the_network_lets_in_what_is_named_and_nothing_else() -> None:
    policy, store = one("NetworkPolicy")["spec"], one("NetworkPolicy", "antiscrape-valkey")["spec"]
    assert policy["policyTypes"] == store["policyTypes"] == ["Ingress", "Egress"]
    assert store["egress"] == []
    (box,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["containerPort"] for port in box["ports"]}
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ports
    assert all(rule["from"] for rule in policy["ingress"])
