"""Who the client is, by the word of a load balancer that is trusted to say so, and of nobody else."""

from __future__ import annotations

import asyncio
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect

from antiscrape.core.rules import IdentityRules, ServeRules
from antiscrape.serving.proxy_protocol import ProxyHeaderError, crc32c, read_binary, read_line
from antiscrape.settings.units import read_network
from tests.serving.wire import PATIENCE, Echo, ask, get, run, served, statuses

if TYPE_CHECKING:
    import socket

RULES = ServeRules(first_byte=0.5, keep_alive=0.3, proxy_protocol=True)
TRUSTED = IdentityRules(trusted_proxies=read_network("127.0.0.0/8"))
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
NAMED = (("198.51.100.7", 4711), ("203.0.113.1", 443))
LINE = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n"


def binary(
    *, command: int = 0x21, family: int = 0x11, client: str = "198.51.100.7", server: str = "203.0.113.1",
    ports: tuple[int, int] = (4711, 443), tlvs: bytes = b"", length: int | None = None,
) -> bytes:  # fmt: skip
    """Return a header of version 2."""
    rest = ip_address(client).packed + ip_address(server).packed + struct.pack("!HH", *ports) + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest) if length is None else length) + rest


def summed(header: bytes) -> bytes:
    """Return a header whose last TLV, a checksum of zeros, is filled in."""
    return header[:-4] + struct.pack("!I", crc32c(header))


V6 = binary(family=0x21, client="2001:db8::7", server="2001:db8::1")
GOOD = {
    "v1": (LINE, NAMED[0]),
    "v1, IPv6": (b"PROXY TCP6 2001:DB8::7 2001:db8::1 4711 443\r\n", ("2001:db8::7", 4711)),
    "v1 unknown": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    "v2": (binary(), NAMED[0]),
    "v2, IPv6": (V6, ("2001:db8::7", 4711)),
    "v2 with TLVs": (binary(tlvs=b"\x01\x00\x02h2\x04\x01\x00" + bytes(256)), NAMED[0]),
    "v2 with its checksum": (summed(binary(tlvs=b"\x04\x00\x01a\x03\x00\x04" + bytes(4))), NAMED[0]),
    "v2 local": (SIGNATURE + b"\x20\x00\x00\x00", None),
    "v2 local, with what local ignores": (SIGNATURE + b"\x20\x11\x00\x03abc", None),
    "v2 of a unix socket": (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), None),
}
BAD = {
    "none": get(),
    "v1 without an end": b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
    "v1 with a line feed alone": LINE.replace(b"\r\n", b"\n"),
    "v1 with two spaces": LINE.replace(b"TCP4 ", b"TCP4  "),
    "v1 with a name": LINE.replace(b"198.51.100.7", b"localhost"),
    "v1 with IPv6 as TCP4": LINE.replace(b"198.51.100.7", b"2001:db8::7"),
    "v1 with a zone": LINE.replace(b"TCP4 198.51.100.7", b"TCP6 fe80::1%eth0"),
    "v1 with a zero in front": LINE.replace(b"198.51.100.7", b"198.051.100.7"),
    "v1 with a port too high": LINE.replace(b"4711", b"65536"),
    "v1 in small letters": LINE.lower(),
    "v2 of version 3": binary(command=0x31),
    "v2 of an unknown command": binary(command=0x22),
    "v2 too short for its addresses": SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    "v2 that is too long": binary(length=5000),
    "v2 with a TLV cut off": binary(tlvs=b"\x01\x00\x09h2"),
    "v2 with a wrong checksum": binary(tlvs=b"\x03\x00\x04" + bytes(4)),
    "twice": LINE + LINE,
}


@pytest.mark.security("A3")
@pytest.mark.security("A14")
def test_the_client_is_whom_a_trusted_peer_names() -> None:
    async def main() -> None:
        for header, client in GOOD.values():
            echo = Echo()
            async with served(echo, RULES, TRUSTED) as (port, _):
                for pieces in ([header + get()], [header[:7], header[7:13], header[13:], get()]):
                    assert statuses(await ask(port, *pieces)) == [200]
            for one in echo.judged:
                assert one.client == client or (client is None and one.client[0] == "127.0.0.1")

    run(main())


@pytest.mark.security("A3")
def test_whatever_is_no_header_ends_the_connection() -> None:
    async def main() -> None:
        echo = Echo()
        async with served(echo, RULES, TRUSTED) as (port, _):
            for raw in BAD.values():
                got = await ask(port, raw + get())
                assert got == b"" or statuses(got) == [400], raw
        assert echo.judged == []

    run(main())


@pytest.mark.security("C5")
def test_a_header_that_does_not_come_is_not_waited_for() -> None:
    async def main() -> None:
        async with served(Echo(), RULES, TRUSTED) as (port, _):
            for begun in (b"", LINE[:20], binary()[:14]):
                assert await ask(port, begun) == b""

    run(main())


@pytest.mark.security("A2")
@pytest.mark.security("A3")
def test_nobody_else_is_believed() -> None:
    async def main() -> None:
        echo = Echo()
        identity = IdentityRules(trusted_proxies=read_network("198.51.100.0/24"))
        async with served(echo, RULES, identity) as (port, _):
            assert await ask(port, LINE + get()) == b""
            assert await ask(port, get()) == b""
        assert echo.judged == []
        # and where the protocol is not spoken, the line is no request
        async with served(echo, ServeRules(head=0.3), TRUSTED) as (port, _):
            assert statuses(await ask(port, LINE + get())) == [400]
        assert echo.judged == []

    run(main())


def test_whoever_is_closed_on_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """An operator whose balancer is not trusted, or writes no header, sees resets alone otherwise."""

    async def main() -> None:
        stranger = IdentityRules(trusted_proxies=read_network("198.51.100.0/24"))
        for identity in (stranger, TRUSTED):
            async with served(Echo(), RULES, identity) as (port, _):
                for _ in range(2):
                    assert await ask(port, get()) == b""

    run(main())
    told = [record.getMessage() for record in caplog.records if "was closed" in record.getMessage()]
    assert [("127.0.0.1" in line, "trusted_proxies" in line, "no PROXY header" in line) for line in told] == [
        (True, True, False),
        (True, False, True),
    ]


def test_a_websockets_client_is_named_too() -> None:
    echo = Echo()

    async def main() -> None:
        async with served(echo, RULES, TRUSTED) as (port, _), asyncio.timeout(PATIENCE):
            sock = await _opened(port, LINE)
            async with connect("ws://site.test/", sock=sock) as websocket:
                await websocket.send("hello")
                assert await websocket.recv() == "hello"

    run(main())
    assert echo.judged[0].client == NAMED[0]


async def _opened(port: int, header: bytes) -> socket.socket:
    import socket

    sock = socket.socket()
    sock.settimeout(0)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.sock_sendall(sock, header)
    return sock


def test_both_ends_are_named() -> None:
    assert read_line(LINE) == read_binary(binary()) == NAMED
    with pytest.raises(ProxyHeaderError):
        read_line(LINE + b"x")


def test_the_checksum_is_castagnolis() -> None:
    """The check value of CRC-32/ISCSI, RFC 9260 appendix A."""
    assert crc32c(b"123456789") == 0xE3069283
