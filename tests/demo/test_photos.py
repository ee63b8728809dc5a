"""The demo's photos: cut from what packages carry, made once, credited."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from antiscrape.demo import photos
from antiscrape.demo.photos import ORIGINAL, SIZES, Source, cache_folder, make_library
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from antiscrape.demo.photos import Library


def test_some_fifty_photos_belong_to_eight_profiles(library: Library) -> None:
    assert len(library.photos) == 48
    assert len(library.profiles) == 8
    assert all(len(library.of_profile(profile.name)) >= 4 for profile in library.profiles)


def test_each_face_is_there_several_times(library: Library) -> None:
    for name in ("eileen-collins", "grace-hopper"):
        assert len(library.of_profile(name)) >= 6


def test_every_photo_has_every_size_and_says_its_own(library: Library) -> None:
    for photo in library.photos:
        with Image.open(library.original(photo)) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (photo.width, photo.height)
            assert max(picture.size) == ORIGINAL
        for size in SIZES:
            with Image.open(library.folder / photo.sized(size)) as smaller:
                assert max(smaller.size) == size
                assert smaller.width / smaller.height == pytest.approx(photo.width / photo.height, rel=0.02)


def test_no_two_photos_are_the_same_picture(library: Library) -> None:
    assert len({library.original(photo).read_bytes() for photo in library.photos}) == len(library.photos)


def test_every_photo_has_an_alternative_text_of_its_own(library: Library) -> None:
    texts = [photo.alt for photo in library.photos]
    assert len(set(texts)) == len(texts)
    assert min(map(len, texts)) > 10


def test_every_source_names_author_licence_and_who_says_so(library: Library) -> None:
    for source in library.sources:
        assert source.author
        assert source.licence
        assert source.stated_by
        if source.licence.startswith("CC"):
            assert source.licence_url.startswith("https://creativecommons.org/")
    assert {photo.source for photo in library.photos} == {source.key for source in library.sources}


def test_what_is_made_once_is_not_made_again(library: Library) -> None:
    told: list[tuple[int, int]] = []
    again = make_library(cache=library.folder.parent, progress=lambda done, total: told.append((done, total)))
    assert told == []
    assert again == library


def test_a_package_that_is_missing_takes_only_its_own_photos_along_and_progress_counts_to_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing half made is left; the unfinished folder of a run that was broken off is not taken for the photos."""
    located = Source.locate
    monkeypatch.setattr(Source, "locate", lambda self: None if self.package == "skimage" else located(self))
    (tmp_path / "photos-broken.partial").mkdir()
    told: list[tuple[int, int]] = []
    made = make_library(cache=tmp_path, progress=lambda done, total: told.append((done, total)))
    assert {source.package for source in made.sources} == {"matplotlib", "sklearn"}
    assert {profile.name for profile in made.profiles} == {"grace-hopper", "far-garden"}
    assert len(made.photos) > 6
    assert told == [(done, len(made.photos)) for done in range(len(made.photos) + 1)]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        [made.folder.name, "photos-broken.partial"]
    )


def test_a_run_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(photos, "_make", fail)
    with pytest.raises(OSError, match="disk full"):
        make_library(cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_any_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Source, "locate", lambda self: None)
    with pytest.raises(ConfigurationError, match=r"install antiscrape\[demo\]"):
        make_library()


def test_finding_the_photographs_imports_none_of_their_packages() -> None:
    """scikit-image, scikit-learn and matplotlib take seconds to import."""
    code = (
        "import sys; from antiscrape.demo.photos import _read_catalogue; _read_catalogue();"
        "print(sorted({'skimage', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("/var/cache/me", Path("/var/cache/me/antiscrape/demo")), ("relative", None), ("", None)],
)
def test_the_cache_is_where_xdg_says(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: Path | None
) -> None:
    """A relative XDG_CACHE_HOME is to be ignored."""
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache_folder() == (expected or Path.home() / ".cache/antiscrape/demo")
