"""The tables of renditions and rights."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from antiscrape.core.renditions import RenditionRules, RightsRules
from antiscrape.settings.build import build
from antiscrape.settings.model import Settings

_SECRETS = [bytes(range(32))]


def rights_of(rights: dict[str, str], preferences: dict[str, object]) -> RightsRules:
    settings = Settings.model_validate({"rights": rights, "preferences": preferences})
    return build(settings, _SECRETS).images.rights


def test_the_defaults_are_the_rules_defaults() -> None:
    images = build(Settings(), _SECRETS).images
    assert (images.renditions, images.rights) == (RenditionRules(), RightsRules())


def test_paths_start_at_the_files_folder() -> None:
    tree = {"renditions": {"mark_image": "logo.png", "mark_font": "/fonts/a.ttf"}}
    looks = build(Settings.model_validate(tree), _SECRETS, Path("/etc/antiscrape")).images.renditions
    assert looks.mark_image == "/etc/antiscrape/logo.png"
    assert looks.mark_font == "/fonts/a.ttf"
    assert looks.decoys == ""


@pytest.mark.parametrize(
    ("preferences", "term"),
    [
        ({}, ""),
        ({"enabled": True}, "DMI-PROHIBITED-AIMLTRAINING"),
        ({"enabled": True, "search": "no", "answer": "no"}, "DMI-PROHIBITED"),
        ({"enabled": True, "train": "unstated"}, ""),
        ({"enabled": True, "train": "yes", "search": "yes", "answer": "yes"}, "DMI-ALLOWED"),
        ({"enabled": True, "train": "yes"}, ""),
    ],
)
def test_a_file_says_what_the_site_says(preferences: dict[str, object], term: str) -> None:
    """Nothing is claimed that the operator has not said; and what was said by name goes before."""
    assert rights_of({}, preferences).data_mining == term
    assert rights_of({"data_mining": "unstated"}, preferences).data_mining == ""
    told = rights_of({"data_mining": "only-search"}, preferences)
    assert told.data_mining == "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING"


@pytest.mark.parametrize(
    "tree",
    [
        {"renditions": {"keep_size": True, "largest": 800}},
        {"renditions": {"mark_layout": "diagonal"}},
        {"renditions": {"frames": 0}},
        {"renditions": {"svg": "refuse"}},
        {"rights": {"url": "photos.example"}},
        {"rights": {"notice": "two\nlines"}},
    ],
)
def test_what_cannot_be_meant_is_refused(tree: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(tree)


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"renditions": {"other_formats": "pass"}}, ("renditions", "other_formats")),
        ({"images": {"mark": "写真"}}, ("images", "mark")),
    ],
)
def test_what_is_rarely_meant_is_said(tree: dict[str, dict[str, object]], place: tuple[str, ...]) -> None:
    assert place in [where for where, _ in Settings.model_validate(tree).doubts()]


@pytest.mark.parametrize("tree", [{}, {"images": {"mark": "写真"}, "renditions": {"mark_font": "a.ttc"}}])
def test_what_is_often_meant_is_not(tree: dict[str, dict[str, object]]) -> None:
    assert list(Settings.model_validate(tree).doubts()) == []
