"""Addresses of stores: what each form means, and that what is refused is not repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.store_address import Kind, Server, StoreAddress, read_store_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("valkey://store", StoreAddress(Kind.SINGLE, (Server("store", 6379),))),
        ("redis://10.0.0.7:7000/3", StoreAddress(Kind.SINGLE, (Server("10.0.0.7", 7000),), database=3)),
        ("valkeys://Store.Example:6380/", StoreAddress(Kind.SINGLE, (Server("store.example", 6380),), tls=True)),
        ("rediss://[2001:DB8::1]:6380", StoreAddress(Kind.SINGLE, (Server("2001:db8::1", 6380),), tls=True)),
        ("valkey://:p%40ss@store", StoreAddress(Kind.SINGLE, (Server("store", 6379),), password="p@ss")),
        ("valkey://me:a:b@store", StoreAddress(Kind.SINGLE, (Server("store", 6379),), username="me", password="a:b")),
        ("unix:///run/valkey.sock", StoreAddress(Kind.UNIX, path="/run/valkey.sock")),
        ("unix://me:p@/run/v%20k.sock?db=2", StoreAddress(Kind.UNIX, path="/run/v k.sock", database=2, username="me", password="p")),
        ("valkey+sentinel://a,b:7,[::1]/main", StoreAddress(Kind.SENTINEL, (Server("a", 26379), Server("b", 7), Server("::1", 26379)), master="main")),
        ("redis+sentinel://a/main/4", StoreAddress(Kind.SENTINEL, (Server("a", 26379),), master="main", database=4)),
        ("valkeys+cluster://a:1,b:2,a:1", StoreAddress(Kind.CLUSTER, (Server("a", 1), Server("b", 2)), tls=True)),
    ],
)  # fmt: skip
def test_what_a_url_means(url: str, address: StoreAddress) -> None:
    assert read_store_address(url) == address


WRONG = {
    "": "is not the address",
    "store:6379": "is not the address",
    "http://store": "is not the address",
    "valkey+://store": "is not the address",
    "unix+cluster:///x": "is not the address",
    "valkey://store?db=1": "is not the address",
    "valkey://store/1/2": "is not the address",
    "valkey://store\n": "is not the address",
    "valkey://": "names a server that is none",
    "valkey://store:0": "names a server that is none",
    "valkey://store:65536": "names a server that is none",
    "valkey://::1": "names a server that is none",
    "valkey://[::1%25eth0]": "names a server that is none",
    "valkey://[::g]": "names a server that is none",
    "valkey://[1:2]": "names an IPv6 address that is none",
    "valkey://sto re": "names a host that is none",
    "valkey://store/one": "names a database that is no number below",
    "valkey://store/10000": "names a database that is no number below",
    "valkey://a,b": "names several servers",
    "valkey+cluster://a,b/1": "a cluster has only one",
    "valkey+sentinel://a,b": "names no master",
    "valkey+sentinel://a/ma ster": "names no master",
    "valkey://me:%ff@store": "not as UTF-8",
    "unix://host/run/x": "is not a socket",
    "unix:///": "is not a socket",
    "unix://x": "is not a socket",
    "unix:///" + 107 * "x": "is not a socket",
}


@pytest.mark.parametrize(("url", "words"), WRONG.items())
def test_what_is_no_address_is_told_from_what_it_should_be(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_store_address(url)


@pytest.mark.security("J9")
@pytest.mark.parametrize("url", ["valkey://me:{}@sto re", "valkey+sentinel://me:{}@h", "http://me:{}@h", "unix://me:{}@x/y"])  # fmt: skip
def test_no_message_and_no_text_of_an_address_holds_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        read_store_address(url.format("opensesame"))
    assert "opensesame" not in str(refused.value)
    address = read_store_address("valkey://me:opensesame@store")
    assert "opensesame" not in f"{address} {address!r}"
    assert str(address) == "valkey://store:6379"


@given(
    st.text(max_size=60)
    | st.from_regex(r"(valkey|unix|redis\+cluster)://[a-z@:/\[\]%,0-9.?=]{0,40}", fullmatch=True)
)
def test_any_text_is_an_address_or_a_value_error(url: str) -> None:
    try:
        address = read_store_address(url)
    except ValueError:
        return
    assert address.path or address.servers
    assert read_store_address(str(address)).servers == address.servers


@pytest.mark.parametrize(
    "url",
    [
        "valkeys://[2001:db8::1]:1",
        "unix:///run/v.sock",
        "valkey+sentinel://a:1,b:2/main",
        "valkey+cluster://a:1",
    ],
)
def test_an_address_as_text_is_the_address_without_its_secrets(url: str) -> None:
    assert str(read_store_address(url)) == url
