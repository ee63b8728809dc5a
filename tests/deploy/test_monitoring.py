"""Every metric and label in the alerts and on the dashboard is one that a running antiscrape tells."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from antiscrape.cli.verdict import UPSTREAM as VERDICT_UPSTREAM
from antiscrape.cli.verdict import build
from antiscrape.core.verdict import Action, Mode, Rendition, Standing
from antiscrape.operate.meter import OUTCOMES
from antiscrape.operate.metrics import Metrics
from tests import valkeys
from tests.cli.deployed import free_ports, served, site
from tests.cli.test_serve import BROWSER, SECRET, TOOL, get
from tests.deploy.shipped import DEPLOY, MONITORING, document
from tests.house import policy_of

RULES = [rule for group in document(MONITORING / "alerts.yml")["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboards" / "antiscrape.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [("alert " + rule["alert"], rule["expr"]) for rule in RULES]
EXPRESSIONS += [
    ("panel " + panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]
]
#: What Prometheus adds itself.
ADDED = {"job", "instance"}
#: What a label may say, where a run of a minute does not say all of it.
VALUES = {
    "standing": {standing.value for standing in Standing},
    "action": {action.value for action in Action},
    "rendition": {rendition.value for rendition in Rendition},
    "mode": {mode.value for mode in Mode},
}
METRIC = re.compile(r"\b((?:antiscrape|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the labels of every series of a running server that has all that can be counted, by name."""
    (admin,) = free_ports(1)
    settings = {
        "ANTISCRAPE__SITE__NAME": "album",
        "ANTISCRAPE__RECORD__EVENTS": "off",
        "ANTISCRAPE__CLEARANCE__ENABLED": "true",
        "ANTISCRAPE__TRACE__ORIGINALS": "true",
        "ANTISCRAPE__TRACE__RENDITIONS": '["marked", "preview"]',
        "ANTISCRAPE__IMAGES__CACHE_FOLDER": str(tmp_path_factory.mktemp("renditions")),
    }
    listen = ("--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{admin}")
    with site() as upstream, valkeys.single() as store:
        settings["ANTISCRAPE__STORE__URL"] = store.url
        with served("--upstream", upstream, *listen, secret=SECRET, **settings) as front:
            for fields in (TOOL, BROWSER):
                get(front, "/media/1.jpg", fields)
            text = get(f"http://127.0.0.1:{admin}", "/metrics", {})[2].decode()
    series: dict[str, set[str]] = {}
    for family in (*text_string_to_metric_families(text), *text_string_to_metric_families(of_verdicts())):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def of_verdicts() -> str:
    """Return what ``antiscrape verdict`` tells, some of which no other server does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VERDICT_UPSTREAM, "http://127.0.0.1:9")
        made = build(policy_of()).site
    asyncio.run(made._estate.renderer.aclose())
    return Metrics(made.meter).tell()[0].decode()


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_what_is_asked_for_is_told(where: str, expression: str, told: dict[str, set[str]]) -> None:
    assert where
    named = METRIC.findall(expression)
    assert named or 'up{job="antiscrape"}' in expression
    for name, matchers in named:
        assert name in told, f"{name} is no metric"
        for label, value in MATCHER.findall(matchers):
            assert label in told[name] | ADDED, f"{name} has no label {label}"
            if label in VALUES:
                assert set(value.split("|")) <= VALUES[label]
            elif (name, label) == ("antiscrape_image_renditions_total", "outcome"):
                assert set(value.split("|")) <= set(OUTCOMES)


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_expressions_are_whole(where: str, expression: str) -> None:
    """Brackets close in order, counters are asked for their rate and gauges are not."""
    assert where
    bare = re.sub(r'"[^"]*"', '""', expression)
    open_: list[str] = []
    for sign in bare:
        if sign in "([{":
            open_.append(sign)
        elif sign in ")]}":
            assert open_
            assert open_.pop() + sign in {"()", "[]", "{}"}
    assert not open_
    for function, name in re.findall(r"(\w+)\(((?:antiscrape|process)_\w+)", bare):
        assert (function in {"rate", "increase"}) == name.endswith("_total"), f"{function}({name})"


def test_the_dashboard_shows_every_family_that_is_told(told: dict[str, set[str]]) -> None:
    shown = {name for _, expression in EXPRESSIONS for name, _ in METRIC.findall(expression)}
    untold = {
        "process_virtual_memory_bytes",
        "antiscrape_store_workers",
    }  # the first says nothing of Python's use
    assert {name for name in told if name not in shown} - untold == set()


def test_alerts_say_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mhd]", rule.get("for", "1m"))
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        grouped = re.search(r"\bby \(([\w, ]+)\)", rule["expr"])
        if grouped:
            assert used <= set(re.split(r", ", grouped[1])), "a label that the expression sums away"


def test_the_dashboard_is_laid_out_and_finds_its_source() -> None:
    places: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        at: dict[str, int] = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places, f"{panel['title']} lies on another"
        assert max(x for x, _ in cells) < 24
        places |= cells
    assert all(panel["description"] for panel in PANELS)
    names = {row["name"] for row in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS)))
    assert used - {"__rate_interval"} <= names


def test_what_prometheus_and_grafana_are_given_names_what_is_there() -> None:
    prometheus = document(MONITORING / "prometheus.yml")
    for name in prometheus["rule_files"]:
        assert (MONITORING / name).is_file()
    (job,) = prometheus["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    services: dict[str, Any] = document(DEPLOY / "compose.yaml")["services"]
    host, _, port = target.partition(":")
    assert services[host]["environment"]["ANTISCRAPE__RECORD__ADMIN"].endswith(":" + port)
    (source,) = document(MONITORING / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = document(MONITORING / "grafana/provisioning/dashboards/antiscrape.yml")["providers"]
    mounts = [row.split(":") for row in services["grafana"]["volumes"]]
    assert ["./config/monitoring/grafana/dashboards", provider["options"]["path"], "ro"] in mounts
