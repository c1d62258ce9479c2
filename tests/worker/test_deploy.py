"""The files in `deploy/` fit the code: they can be read, and what they name exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from runtime.settings import Settings
from worker.observing.exposition import SUPERVISOR_METRICS, ProcessCollector
from worker.observing.metrics import Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
API = DEPLOY / "kubernetes" / "api.yaml"


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def one(kind: str) -> Any:
    """The worker's manifest of this kind; the API's have a file of their own."""
    (found,) = [manifest for path in MANIFESTS if path != API and (manifest := loaded(path))["kind"] == kind]
    return found


def container() -> Any:
    return one("Deployment")["spec"]["template"]["spec"]["containers"][0]


def environment() -> dict[str, str]:
    return {each["name"]: each["value"] for each in container()["env"]}


def samples_there_are() -> set[str]:
    registry = CollectorRegistry()
    Metrics(registry)
    names: set[str] = set(SUPERVISOR_METRICS)
    for metric in registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[metric.type]
        names |= {metric.name + suffix for suffix in suffixes}
    return names


def expressions() -> list[str]:
    rules = [rule for group in loaded(DEPLOY / "prometheus" / "alerts.yaml")["groups"] for rule in group["rules"]]
    board = json.loads((DEPLOY / "grafana" / "patchbay.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    scaling = [trigger["metadata"]["query"] for trigger in one("ScaledObject")["spec"]["triggers"]]
    return [*(rule["expr"] for rule in rules), *queries, *scaling]


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {name for text in expressions() for name in re.findall(r"\bpatchbay_[a-z_]+", text)}
    assert asked
    assert asked <= samples_there_are()


def test_every_metric_is_on_the_dashboard() -> None:
    shown = (DEPLOY / "grafana" / "patchbay.json").read_text(encoding="utf-8")
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples_there_are()}
    assert {name for name in families if name not in shown} == set()


def test_every_label_that_is_asked_for_exists() -> None:
    registry = CollectorRegistry()
    metrics = vars(Metrics(registry)).values()
    labels = {label for metric in metrics for label in getattr(metric, "_labelnames", ())} | {"le", "instance"}
    labels |= {label for metric in ProcessCollector(()).collect() for s in metric.samples for label in s.labels}
    asked = set()
    for text in expressions():
        asked |= {name for group in re.findall(r"by \(([^)]*)\)", text) for name in re.split(r",\s*", group)}
        asked |= {name for group in re.findall(r"\{([^}]*)\}", text) for name in re.findall(r"(\w+)[=!]", group)}
    assert asked <= labels


@pytest.mark.parametrize("text", expressions())
def test_expressions_are_balanced(text: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert text.count(opening) == text.count(closing)


def test_the_supervisors_metrics_are_what_it_says_they_are() -> None:
    told = {sample.name for metric in ProcessCollector(()).collect() for sample in metric.samples}
    assert told == set(SUPERVISOR_METRICS)


def test_alerts_say_what_happened_and_what_to_look_at() -> None:
    rules = [rule for group in loaded(DEPLOY / "prometheus" / "alerts.yaml")["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_panels_do_not_lie_on_each_other() -> None:
    board = json.loads((DEPLOY / "grafana" / "patchbay.json").read_text(encoding="utf-8"))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in board["panels"]}) == len(places)


def test_every_manifest_is_applied() -> None:
    named = {*one("Kustomization")["resources"], "kustomization.yaml"}
    assert named == {path.name for path in MANIFESTS}


def test_the_pod_outlives_its_drain() -> None:
    grace = one("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= float(environment()["PATCHBAY_DRAIN_S"]) + 60


def test_settings_exist_and_fit(tmp_path: Path) -> None:
    assert set(environment()) <= set(Settings.names())
    settings = Settings.load(environment(), tmp_path)
    assert settings.http_host == "0.0.0.0"  # noqa: S104 - a pod's own network
    assert {port["containerPort"] for port in container()["ports"]} == {settings.http_port}
    annotations = one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings.http_port)


def test_probes_ask_for_what_is_served() -> None:
    assert container()["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    for probe in ("livenessProbe", "startupProbe"):
        assert container()[probe]["httpGet"] == {"path": "/healthz", "port": "health"}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_nothing_runs_as_root(kind: str) -> None:
    pod = one(kind)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"]


def test_selectors_find_the_pods() -> None:
    deployment = one("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (deployment["selector"], one("PodDisruptionBudget")["spec"]["selector"]):
        assert selector["matchLabels"].items() <= labels.items()
    assert one("Job")["spec"]["template"]["metadata"]["labels"].items() != labels.items()
    assert one("ScaledObject")["spec"]["scaleTargetRef"]["name"] == one("Deployment")["metadata"]["name"]


def test_the_page_names_the_files() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for folder in ("kubernetes", "prometheus/alerts.yaml", "grafana/patchbay.json"):
        assert f"deploy/{folder}" in page
    for name in samples_there_are() - {name for name in samples_there_are() if name.endswith(("_sum", "_count"))}:
        assert name.removesuffix("_bucket") in page


def test_the_api_is_deployed_beside_the_worker() -> None:
    deployment, service = yaml.safe_load_all(API.read_text(encoding="utf-8"))
    assert (deployment["kind"], service["kind"]) == ("Deployment", "Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert not one("Deployment")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (api,) = deployment["spec"]["template"]["spec"]["containers"]
    assert api["image"] == container()["image"]
    assert {api[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")} == {"/healthz", "/readyz"}
