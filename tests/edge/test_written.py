"""The files for servers that no test can start: what they say is what those servers' references name."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from antiscrape.asgi.edges import BY_STATUS, CACHE, ENVOY, FORWARDED, TAKE
from antiscrape.core.signals.headers import READ
from tests.edge.edges import CONFIG

yaml: Any = import_module("yaml")
#: Traefik's reference of the dynamic configuration by file: the options that are used, by where they stand.
TRAEFIK = {
    "http.routers.*": {"entryPoints", "rule", "priority", "middlewares", "service"},
    "http.middlewares.*.forwardAuth": {"address", "trustForwardHeader", "authResponseHeaders"},
    "http.middlewares.*.headers": {"customResponseHeaders"},
    "http.services.*.loadBalancer": {"passHostHeader", "servers"},
}
#: Envoy's v3 API: the fields that are used of each message.
ENVOY_FIELDS = {
    "HttpConnectionManager": {
        "@type", "stat_prefix", "use_remote_address", "normalize_path", "merge_slashes", "path_with_escaped_slashes_action",
        "upgrade_configs", "route_config", "http_filters",
    },
    "ExtAuthz": {
        "@type", "transport_api_version", "failure_mode_allow", "status_on_error", "clear_route_cache", "allowed_headers",
        "http_service",
    },
    "Router": {"@type"},
}  # fmt: skip


def read(name: str) -> Any:
    return yaml.safe_load((CONFIG / name).read_text())


def at(document: Any, where: str) -> list[Any]:
    """Return all that stands at a dotted place, in which ``*`` is any name; nothing where a name is missing."""
    found = [document]
    for name in where.split("."):
        found = [
            value for one in found for key, value in (one or {}).items() if name in {"*", key}
        ]  # fmt: skip
    return found


def test_traefiks_file_names_options_that_traefik_has() -> None:
    document = read("traefik.yaml")
    for where, options in TRAEFIK.items():
        places = at(document, where)
        assert places, where
        assert set().union(*places) <= options, where
    http = document["http"]
    for router in http["routers"].values():
        assert router["service"] in http["services"]
        assert set(router.get("middlewares", ())) <= http["middlewares"].keys()
        assert re.fullmatch(r"PathPrefix\(`/`\)|HeaderRegexp\(`[A-Za-z-]+`, `\.`\)", router["rule"])


@pytest.mark.security("A8")
@pytest.mark.security("B9")
def test_traefik_asks_before_it_chooses_and_believes_no_client() -> None:
    http = read("traefik.yaml")["http"]
    asks = http["middlewares"]["antiscrape"]["forwardAuth"]
    assert asks["address"].endswith(FORWARDED.path.decode())
    assert asks["trustForwardHeader"] is False
    assert [name.lower().encode() for name in asks["authResponseHeaders"]] == [TAKE, CACHE]
    routers = http["routers"]
    outside = [router for router in routers.values() if router["entryPoints"] == ["web"]]
    assert [router["middlewares"] for router in outside] == [["antiscrape"]]
    assert TAKE.decode() in routers["taken"]["rule"].lower()
    assert routers["taken"]["service"] == "antiscrape"
    assert routers["taken"]["priority"] > routers["picture"]["priority"] > routers["allowed"]["priority"]


def manager() -> Any:
    (listener,) = read("envoy.yaml")["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    return chain["filters"][0]["typed_config"]


def test_envoys_file_names_fields_that_envoy_has() -> None:
    messages = [manager(), *(one["typed_config"] for one in manager()["http_filters"])]
    for message in messages:
        kind = message["@type"].rpartition(".")[2]
        assert message.keys() <= ENVOY_FIELDS[kind], kind
    (host,) = manager()["route_config"]["virtual_hosts"]
    clusters = {cluster["name"] for cluster in read("envoy.yaml")["static_resources"]["clusters"]}
    assert {route["route"]["cluster"] for route in host["routes"]} <= clusters


@pytest.mark.security("A8")
@pytest.mark.security("B9")
def test_envoy_asks_before_it_chooses_and_believes_no_client() -> None:
    config = manager()
    asks, router = (one["typed_config"] for one in config["http_filters"])
    assert router["@type"].endswith(".Router")
    assert asks["http_service"]["path_prefix"].encode() == ENVOY.path
    assert asks["failure_mode_allow"] is False
    assert asks["clear_route_cache"] is True
    assert config["use_remote_address"] is True
    assert (config["normalize_path"], config["merge_slashes"]) == (False, False)
    ours = {TAKE.decode(), CACHE.decode()}
    assert set(config["route_config"]["internal_only_headers"]) == ours
    added = asks["http_service"]["authorization_response"]["allowed_upstream_headers"]["patterns"]
    assert {pattern["exact"] for pattern in added} == ours
    first, *_ = config["route_config"]["virtual_hosts"][0]["routes"]
    assert first["match"]["headers"] == [{"name": TAKE.decode(), "present_match": True}]
    assert first["route"]["cluster"] == "antiscrape"


@pytest.mark.parametrize(
    "name", ["nginx.conf", "haproxy.cfg", "Caddyfile", "varnish.vcl", "traefik.yaml", "envoy.yaml"]
)
def test_each_file_says_how_to_start_what_it_asks(name: str) -> None:
    text = (CONFIG / name).read_text()
    assert "antiscrape verdict --listen 127.0.0.1:8079 --upstream http://127.0.0.1:" in text
    assert 'trusted_proxies = ["127.0.0.1"]' in text


def test_nginx_keeps_allowances_for_a_second_and_nothing_else() -> None:
    text = (CONFIG / "nginx.conf").read_text()
    assert re.findall(r"^\s*proxy_cache_valid (.*);", text, re.MULTILINE) == ["200 1s"]
    (key,) = re.findall(r"^\s*proxy_cache_key \"(.*)\";", text, re.MULTILINE)
    told = set(key.split(r"\n"))
    assert {f"$http_{name.decode().replace('-', '_')}" for name in READ} <= told
    assert {
        "$connection",
        "$antiscrape_length",
        "$remote_addr",
        "$request_uri",
        "$request_method",
        "$http_cookie",
    } <= told
    assert BY_STATUS.path.decode() in text
