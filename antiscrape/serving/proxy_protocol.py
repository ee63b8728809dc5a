"""The PROXY protocol, versions 1 and 2: a load balancer's word on who the client is, before the client's first byte.

Whoever may write it chooses the address that everything else is decided by. So it is read from trusted peers
only, a header that is not exactly right ends the connection, and nothing is looked for beyond it
(haproxy's doc/proxy-protocol.txt, §2: a receiver must not guess whether there is a header).

It is read from the socket itself, by exact lengths: what follows may be a TLS handshake, of which no byte may be
taken before its time.
"""

from __future__ import annotations

import asyncio
import re
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket

Endpoint = tuple[str, int]
#: Client and server as the header names them; None where the connection is the proxy's own (a health check).
Named = tuple[Endpoint, Endpoint] | None

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIRST: Final = len(_SIGNATURE)
#: §2.1: "a 108-byte buffer is always enough to store all the line and a trailing zero".
_LONGEST_LINE: Final = 107
#: Addresses take 216 bytes at most (§2.2); what comes after them are TLVs, of which a few hundred bytes are seen.
_LONGEST_REST: Final = 4096
_LINE: Final = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]{2,39}) ([0-9A-Fa-f.:]{2,39}) (\d{1,5}) (\d{1,5})\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_CRC32C = 0x03
_HIGHEST_PORT = 65_535
_CASTAGNOLI: Final = 0x82F63B78


class ProxyHeaderError(Exception):
    """There is no PROXY header where one must be, or it is not exactly right."""


async def read_header(sock: socket.socket) -> Named:
    """Read a header off a non-blocking socket, and no byte more; raise ``ProxyHeaderError``."""
    loop = asyncio.get_running_loop()

    async def exactly(count: int) -> bytes:
        got = b""
        while len(got) < count:
            piece = await loop.sock_recv(sock, count - len(got))
            if not piece:
                raise ProxyHeaderError("the connection ended before its PROXY header")
            got += piece
        return got

    first = await exactly(_FIRST)
    if first == _SIGNATURE:
        start = await exactly(4)
        length = struct.unpack("!H", start[2:])[0]
        if length > _LONGEST_REST:
            raise ProxyHeaderError("the PROXY header is too long")
        return read_binary(first + start + await exactly(length))
    line = first
    if not line.startswith(b"PROXY "):
        raise ProxyHeaderError("no PROXY header")
    while not line.endswith(b"\r\n"):
        if len(line) >= _LONGEST_LINE:
            raise ProxyHeaderError("the PROXY line has no end")
        line += await exactly(1)
    return read_line(line)


def read_line(line: bytes) -> Named:
    """Return what a header of version 1 names; raise ``ProxyHeaderError``."""
    if re.fullmatch(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n", line):
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProxyHeaderError("the PROXY line is malformed")
    kind = IPv4Address if match[1] == b"TCP4" else IPv6Address
    try:
        client, server = (str(kind(match[n].decode("ascii"))) for n in (2, 3))
    except ValueError:
        raise ProxyHeaderError("the PROXY line names no address") from None
    return (client, _port(match[4])), (server, _port(match[5]))


def _port(text: bytes) -> int:
    if int(text) > _HIGHEST_PORT or (text.startswith(b"0") and text != b"0"):
        raise ProxyHeaderError("the PROXY line names no port")
    return int(text)


def read_binary(header: bytes) -> Named:
    """Return what a header of version 2 names; raise ``ProxyHeaderError``.

    TLVs are skipped, but for a CRC32C, which must be right where there is one. Of other families than TCP
    over IP the connection's own addresses stand, as for LOCAL.
    """
    version, family = header[_FIRST], header[_FIRST + 1]
    rest = header[_FIRST + 4 :]
    if version not in (_LOCAL, _PROXY) or struct.unpack("!H", header[14:16])[0] != len(rest):
        raise ProxyHeaderError("the PROXY header is malformed")
    layout = {_TCP4: "!4s4sHH", _TCP6: "!16s16sHH"}.get(family, "")
    size = struct.calcsize(layout)
    if version == _LOCAL or not layout:
        return None
    if len(rest) < size:
        raise ProxyHeaderError("the PROXY header is shorter than its addresses")
    _check_sum(header, _FIRST + 4 + size)
    client, server, client_port, server_port = struct.unpack(layout, rest[:size])
    kind = IPv4Address if family == _TCP4 else IPv6Address
    return (str(kind(client)), client_port), (str(kind(server)), server_port)


def _check_sum(header: bytes, at: int) -> None:
    """Walk the TLVs from ``at`` on, and check the checksum, if there is one (§2.2.3)."""
    while at < len(header):
        if at + 3 > len(header):
            raise ProxyHeaderError("a TLV of the PROXY header is cut off")
        kind, length = struct.unpack("!BH", header[at : at + 3])
        value = header[at + 3 : at + 3 + length]
        if len(value) < length:
            raise ProxyHeaderError("a TLV of the PROXY header is cut off")
        if kind == _CRC32C:
            blank = header[: at + 3] + bytes(length) + header[at + 3 + length :]
            if value != struct.pack("!I", crc32c(blank)):
                raise ProxyHeaderError("the checksum of the PROXY header is wrong")
        at += 3 + length


def crc32c(data: bytes) -> int:
    """Return the CRC of ``data`` with Castagnoli's polynomial (RFC 9260 appendix A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
