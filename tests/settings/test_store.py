"""The settings of the shared store: what they say, what they refuse, and that no password is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from antiscrape.core.store_address import Kind, Server, key_prefix
from antiscrape.errors import ConfigurationError
from antiscrape.settings.load import load
from antiscrape.settings.model import Settings
from tests.house import SECRET

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "opensesame"


def environ(**more: str) -> dict[str, str]:
    return {"ANTISCRAPE_SECRET": SECRET, **more}


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text('[store]\nurl = "valkey://one"\ninterval = "50ms"\ntimeout = 0.06\nmode = "strict"\n')
    rules = load(path, environ=environ()).policy.store
    assert rules.address is not None
    assert rules.address.servers == (Server("one", 6379),)
    assert (rules.interval, rules.timeout, rules.mode, rules.workers) == (0.05, 0.06, "strict", 0)
    rules = load(path, environ=environ(ANTISCRAPE__STORE__URL="unix:///run/two.sock")).policy.store
    assert rules.address is not None
    assert (rules.address.kind, rules.address.path) == (Kind.UNIX, "/run/two.sock")
    assert load(path, environ=environ(ANTISCRAPE__STORE__URL="")).policy.store.address is None


@pytest.mark.security("J9")
def test_the_password_comes_from_a_file_or_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    path = tmp_path / "site.toml"
    path.write_text('[store]\nurl = "valkey://me@one"\npassword_file = "password"\n')
    loaded = load(path, environ=environ())
    address = loaded.policy.store.address
    assert address is not None
    assert (address.username, address.password) == ("me", PASSWORD)
    assert PASSWORD not in f"{loaded!r}{loaded.policy!r}{address!r}{address}"
    told = environ(ANTISCRAPE__STORE__URL=f"valkey://:{PASSWORD}@one")
    assert PASSWORD not in repr(load(environ=told))
    assert PASSWORD not in repr(Settings.model_validate({"store": {"url": f"valkey://:{PASSWORD}@one"}}))
    told = environ(ANTISCRAPE__STORE__URL="valkey://one", ANTISCRAPE_STORE_PASSWORD=PASSWORD)
    address = load(environ=told).policy.store.address
    assert address is not None
    assert address.password == PASSWORD


@pytest.mark.security("J9")
@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        (f'url = "http://me:{PASSWORD}@one"', {}, "store.url: the value is not the address of a store; expected"),
        (f'url = "valkey://me:{PASSWORD}@on e"', {}, "store.url: the value names a host that is none"),
        (f'url = "valkey://:{PASSWORD}@one"\npassword_file = "password"', {}, "keep the one that you mean"),
        ('password_file = "password"', {}, "there is no store.url that it is the password for"),
        ('url = "valkey://one"\npassword_file = "gone"', {}, "the file that it names cannot be read"),
        ('url = "valkey://one"\npassword_file = "empty"', {}, "does not hold a password of one line"),
        ('url = "valkey://one"\npassword_file = "two"', {}, "does not hold a password of one line"),
        ('url = "valkey://one"\npassword_file = "latin"', {}, "is not UTF-8"),
        ('url = "valkey://one"\npassword_file = "password"', {"ANTISCRAPE_STORE_PASSWORD": PASSWORD}, "are both set"),
        (f'password = "{PASSWORD}"', {}, "a password does not belong here; set ANTISCRAPE_STORE_PASSWORD"),
        ('interval = "5ms"', {}, "is not between 10ms and 10s"),
        ('interval = "11s"', {}, "is not between 10ms and 10s"),
        ('timeout = "0s"', {}, "is not between 10ms and 5s"),
        ('mode = "lazy"', {}, "is none of"),
        ("workers = -1", {}, "is less than 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_without_the_password(
    tmp_path: Path, text: str, more: dict[str, str], words: str
) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text(f"{PASSWORD}\n{PASSWORD}\n")
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    path = tmp_path / "site.toml"
    path.write_text(f"[store]\n{text}\n")
    with pytest.raises(ConfigurationError) as refused:
        load(path, environ=environ(**more))
    assert words in str(refused.value)
    assert f"{path}:" in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_two_sites_of_one_name_are_warned() -> None:
    def warnings(**more: str) -> tuple[str, ...]:
        return load(environ=environ(ANTISCRAPE__STORE__URL="valkey://one", **more)).warnings

    (warning,) = warnings()
    assert 'two sites called "site" would share their counts' in warning
    assert warnings(ANTISCRAPE__STORE__NAMESPACE="photos") == ()
    assert warnings(ANTISCRAPE__SITE__NAME="photos") == ()


@pytest.mark.security("I5")
def test_the_prefix_of_keys_tells_sites_apart_and_holds_none_of_their_text() -> None:
    names = ["site", "photos", "Photos", "pho tos\r\n", "é" * 64, ""]
    prefixes = {key_prefix(name) for name in names}
    assert len(prefixes) == len(names)
    assert all(len(prefix) == 16 and prefix.isascii() and b"{" not in prefix for prefix in prefixes)
