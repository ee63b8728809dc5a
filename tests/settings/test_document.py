"""What is written down: the file of every default, the schema, and the policies, each true to the code."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from antiscrape.core.resource import Kind
from antiscrape.core.signals import SIGNALS
from antiscrape.core.verdict import Mode, Rendition, Standing
from antiscrape.errors import ConfigurationError
from antiscrape.settings import document, load_policy
from antiscrape.settings.model import Settings

CONFIG = Path(__file__).parents[2] / "config"
POLICIES = sorted((CONFIG / "policies").glob("*.toml"))
STALE = "run: python -m antiscrape.settings.document"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(document.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_files_in_config_are_those_the_models_say() -> None:
    assert (CONFIG / document.TOML_NAME).read_text("utf-8") == document.toml(), STALE
    assert (CONFIG / document.SCHEMA_NAME).read_text("utf-8") == document.schema(), STALE


def test_both_files_are_written_into_the_folder(tmp_path: Path) -> None:
    document.main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [document.SCHEMA_NAME, document.TOML_NAME]


def test_the_file_holds_every_setting_and_nothing_else() -> None:
    """With each value, and not only its default by absence: what is written is the whole of the settings."""
    written = tomllib.loads(document.toml())
    whole = Settings().model_dump(mode="json")
    for route in whole["routes"]:
        if route["size"] == "untold":
            del route["size"]
    for name in ("bots", "partners"):  # empty lists stand there as comments
        assert whole.pop(name) == []
    assert written == whole


def test_every_setting_and_every_signal_is_explained_in_the_file() -> None:
    words = " ".join(document.toml().replace("\n#", " ").split())
    settings = Settings()
    tables: list[Any] = [getattr(settings, name) for name in type(settings).model_fields]
    for table in (one for one in tables if not isinstance(one, tuple)):
        for key, field in type(table).model_fields.items():
            purpose = " ".join((getattr(table, key).__doc__ or "").split())
            assert (field.description or purpose) in words, key
    for signal in SIGNALS.values():
        assert f"{signal.sentence} ({signal.source}) [signals.{signal.name}]" in words


def test_the_first_line_tells_editors_the_schema() -> None:
    assert document.toml().startswith(f"#:schema ./{document.SCHEMA_NAME}\n")
    for path in POLICIES:
        first = path.read_text("utf-8").partition("\n")[0]
        assert (path.parent / first.removeprefix("#:schema ")).resolve() == CONFIG / document.SCHEMA_NAME


def test_no_line_is_wider_than_a_screen() -> None:
    assert [line for line in document.toml().splitlines() if len(line) > document.WIDTH] == []


def test_the_defaults_and_the_policies_are_right_by_the_schema(
    validator: jsonschema.Draft202012Validator,
) -> None:
    assert {path.stem for path in POLICIES} == {"photo", "social", "observe"}
    for path in (CONFIG / document.TOML_NAME, *POLICIES):
        assert list(validator.iter_errors(tomllib.loads(path.read_text("utf-8")))) == [], path


@pytest.mark.parametrize(
    "text",
    [
        "[site]\nmode = 'enforced'",
        "[site]\nnmae = 'x'",
        "[browser]\noriginals = 0",
        "[standing.browser]\noriginals = 'x'",
        "[standing.browser]\norignals = 0",
        "[standing.robot]\nrefuse = true",
        "[signals.agent-is-tool]\nweight = 1",
        "[signals.accept-missing]\nweight = -5",
        "[signals.accept-missing]\nweight = '5'",
        "[[routes]]\npattern = 'a'\nkind = 'page'",
        "[[routes]]\npattern = '/a'\nkind = 'pages'",
        "[[routes]]\nkind = 'page'",
        "[grants]\nwindow = 'soon'",
        "[images]\npreview_cells = 1",
        "[images]\nmax_bytes = 'all'",
        "[grants]\nrewrite = 'yes'",
    ],
)
def test_what_the_schema_refuses_the_loader_refuses(
    validator: jsonschema.Draft202012Validator, tmp_path: Path, text: str
) -> None:
    assert not validator.is_valid(tomllib.loads(text))
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigurationError):
        load_policy(tmp_path / "site.toml", environ={}, require_secret=False)


def test_the_schema_tells_each_standing_and_signal_its_own_default() -> None:
    definitions = json.loads(document.schema())["$defs"]
    standing = definitions["Standings"]["properties"]["browser"]
    assert standing["default"]["originals"] == "40/10min, 60/day"
    for name, signal in SIGNALS.items():
        entry = definitions["Signals"]["properties"][name]
        assert entry["default"] == {"weight": signal.weight, "mode": "enforce"}
        assert signal.sentence in entry["description"]


def policy_of(name: str) -> Any:
    return load_policy(CONFIG / "policies" / f"{name}.toml", environ={}, require_secret=False)


def leaves(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return every value by its dotted path."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        inner = f"{path}.{key}".removeprefix(".")
        found |= leaves(value, inner) if isinstance(value, dict) else {inner: value}
    return found


def test_each_policy_overrides_only_what_differs() -> None:
    defaults = leaves(tomllib.loads(document.toml()))
    for path in POLICIES:
        written = leaves(tomllib.loads(path.read_text("utf-8")))
        assert [name for name, value in written.items() if defaults[name] == value] == [], path


def test_the_policies_leave_no_doubt() -> None:
    for path in POLICIES:
        settings = Settings.model_validate(tomllib.loads(path.read_text("utf-8")))
        assert list(settings.doubts()) == []


def test_observe_changes_nothing() -> None:
    assert policy_of("observe").mode is Mode.SHADOW


@pytest.mark.parametrize("name", ["photo", "social"])
def test_the_check_is_on_where_it_is_expected_and_its_notice_is_named(name: str) -> None:
    assert policy_of(name).clearance.enabled
    assert "docs/privacy-notice.md" in (CONFIG / "policies" / f"{name}.toml").read_text("utf-8")
    assert not policy_of("observe").clearance.enabled


def test_photo_signs_its_pictures_and_sets_traps() -> None:
    policy, defaults = policy_of("photo"), load_policy(environ={}, require_secret=False)
    assert policy.grants.prefixes == ("/media/",)
    assert policy.grants.missing is Rendition.PREVIEW
    assert policy.traps.inject
    for standing in (Standing.BROWSER, Standing.PROVEN, Standing.MEMBER):
        tight, loose = policy.standings[standing].originals, defaults.standings[standing].originals
        assert sum(limit.amount for limit in tight) < sum(limit.amount for limit in loose)


def test_social_counts_subjects_tightly_and_on_every_way_to_a_profile() -> None:
    policy, defaults = policy_of("social"), load_policy(environ={}, require_secret=False)
    assert len([route for route in policy.routes if route.kind is Kind.SUBJECT]) == 5
    for standing in (Standing.BROWSER, Standing.PROVEN, Standing.MEMBER):
        pairs = zip(policy.standings[standing].subjects, defaults.standings[standing].subjects, strict=True)
        assert all(tight.amount < loose.amount for tight, loose in pairs)
