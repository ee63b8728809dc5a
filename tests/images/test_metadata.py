"""What renditions say of their rights, read back by others than who wrote it."""

from __future__ import annotations

import io
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, IptcImagePlugin

from antiscrape.core.renditions import RightsRules
from antiscrape.images.decode import Picture
from antiscrape.images.formats import Format
from antiscrape.images.metadata import NOTHING_SAID, compose, inscribed
from antiscrape.images.writers import Animation, write, write_animation

if TYPE_CHECKING:
    from pathlib import Path

_RIGHTS = RightsRules(
    data_mining="DMI-PROHIBITED-AIMLTRAINING",
    notice='© 2026 "Photos" & <Söhne>',
    credit="Photos e.V.",
    email="rights@photos.example",
    url="https://photos.example/terms?a=1&b=2",
    terms="Ask before you use it.",
)
_VOCABULARY = "http://ns.useplus.org/ldf/vocab/"


def written(kind: Format, rights: RightsRules = _RIGHTS, mode: str = "RGB") -> bytes:
    pixels = Image.linear_gradient("L").resize((90, 60)).convert(mode)
    if mode == "RGBA":
        pixels.putalpha(120)
    return write(Picture(pixels, 90, 60, 1, kind), 80, kind.bit, notice=compose(rights)).body


def read(body: bytes) -> dict[str, Any]:
    """Return the properties that Pillow finds, by their local names."""
    with Image.open(io.BytesIO(body)) as opened:
        opened.load()
        found = opened.getxmp()["xmpmeta"]["RDF"]["Description"]
        assert isinstance(found, dict)
        return found


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("kind", [Format.JPEG, Format.PNG, Format.WEBP, Format.AVIF])
def test_the_opt_out_and_the_rights_are_read_back(kind: Format, mode: str) -> None:
    found = read(written(kind, mode=mode))
    assert found["DataMining"] == _VOCABULARY + "DMI-PROHIBITED-AIMLTRAINING"
    assert found["rights"]["Alt"]["li"] == {"lang": "x-default", "text": _RIGHTS.notice}
    assert found["UsageTerms"]["Alt"]["li"]["text"] == _RIGHTS.terms
    assert (found["Marked"], found["WebStatement"]) == ("True", _RIGHTS.url)
    assert found["Credit"] == _RIGHTS.credit
    assert found["CreatorContactInfo"] == {"CiEmailWork": _RIGHTS.email, "CiUrlWork": _RIGHTS.url}


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_file_with_words_shows_the_same_picture(kind: Format, mode: str) -> None:
    one, other = written(kind, mode=mode), written(kind, RightsRules(), mode)
    assert b"DMI-" in one
    assert b"xpacket" not in other
    with Image.open(io.BytesIO(one)) as said, Image.open(io.BytesIO(other)) as unsaid:
        assert said.convert("RGBA").tobytes() == unsaid.convert("RGBA").tobytes()
        assert getattr(said, "n_frames", 1) == 1


def test_newspapers_find_iptc_in_a_jpeg() -> None:
    with Image.open(io.BytesIO(written(Format.JPEG))) as opened:
        found = IptcImagePlugin.getiptcinfo(opened)
    assert found is not None
    assert found[1, 90] == b"\x1b%G"  # what follows is UTF-8
    assert found[2, 116] == _RIGHTS.notice.encode()
    assert found[2, 110] == b"Photos e.V."
    assert found[2, 118] == b"rights@photos.example"


def test_long_words_end_within_a_character() -> None:
    notice = compose(RightsRules(notice="ö" * 500))
    assert notice.iptc.count("ö".encode()) == 64  # 128 octets, IPTC-IIM 4.2, 2:116
    notice.iptc.decode("latin-1")


@pytest.mark.parametrize("name", ["data_mining", "notice", "credit", "email", "url", "terms"])
def test_what_is_not_told_is_not_written(name: str) -> None:
    told = "DMI-PROHIBITED" if name == "data_mining" else "https://told.example"
    packet = compose(RightsRules(**{name: told})).xmp.decode()
    expected = {
        "data_mining": {"plus:DataMining"},
        "notice": {"dc:rights", "xmpRights:Marked"},
        "credit": {"photoshop:Credit"},
        "email": {"Iptc4xmpCore:CreatorContactInfo"},
        "url": {"xmpRights:WebStatement", "Iptc4xmpCore:CreatorContactInfo"},
        "terms": {"xmpRights:UsageTerms"},
    }
    names = set().union(*expected.values())
    assert {tag for tag in names if f"<{tag}" in packet or f" {tag}=" in packet} == expected[name]


@pytest.mark.parametrize("kind", list(Format))
def test_nothing_said_costs_no_byte(kind: Format) -> None:
    assert compose(RightsRules()) == NOTHING_SAID
    plain = written(kind, RightsRules())
    assert inscribed(plain, kind, NOTHING_SAID) is plain


@pytest.mark.parametrize("kind", [Format.GIF, Format.WEBP])
def test_an_animation_says_it_too(kind: Format) -> None:
    shades = [Image.new("RGB", (40, 30), (shade, 90, 90)) for shade in (10, 90, 170)]
    first = Picture(shades[0], 40, 30, 1, kind)
    rest = Animation(shades[1:], (100, 200, 300))
    body = write_animation(first, rest, 80, kind.bit, notice=compose(_RIGHTS)).body
    assert b"DMI-PROHIBITED-AIMLTRAINING" in body
    with Image.open(io.BytesIO(body)) as opened:
        assert (opened.format, opened.n_frames) == (kind.value, 3)  # type: ignore[attr-defined]  # of these formats
        opened.seek(2)


@pytest.mark.parametrize("kind", list(Format))
def test_exiftool_reads_it(kind: Format, tmp_path: Path) -> None:
    """The tool that photographers and archives read tags with; it names what it finds wrong with a file."""
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed")
    file = tmp_path / f"picture.{kind.value.lower()}"
    file.write_bytes(written(kind))
    command = [tool, "-s", "-XMP:all", "-IPTC:all", "-warning", "-error", str(file)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "Warning" not in told
    assert "Error" not in told
    for tag in ("DataMining", "Rights", "Marked", "WebStatement", "UsageTerms", "Credit", "CreatorWorkEmail"):
        assert f"{tag} " in told
    assert ("CopyrightNotice" in told) == (kind is Format.JPEG)
