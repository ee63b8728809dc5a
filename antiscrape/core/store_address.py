"""Where the shared store is, as a URL says it: one server, the master that Sentinels name, or a cluster.

::

    valkey://[user:password@]host[:6379][/db]           valkeys:// for TLS; redis:// and rediss:// mean the same
    unix://[user:password@]/path/of/socket[?db=n]
    valkey+sentinel://[user:password@]host[:26379],host[:26379]/master[/db]
    valkey+cluster://[user:password@]host[:6379],host[:6379]

User and password are percent-encoded (RFC 3986 §3.2.1). No message repeats any part of a URL: it may hold a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import unquote

EXPECTED = (
    'expected "valkey://host:6379", "valkeys://host:6379" for TLS, "unix:///path", '
    '"valkey+sentinel://host:26379,host:26379/master" or "valkey+cluster://host:6379,host:6379"'
)
#: IANA's for Redis; Sentinels listen 20,000 above it.
PORT, SENTINEL_PORT = 6379, 26379
HIGHEST_PORT = 65_535
#: A Valkey has 16 databases unless told otherwise; this bounds the number that an operator may write.
MOST_DATABASES = 10_000
#: More seeds than this tell nothing new: every node knows the others.
MOST_SERVERS = 64
#: sockaddr_un.sun_path on Linux (unix(7)), less the NUL.
LONGEST_SOCKET = 107

_SCHEMES = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}
_URL = re.compile(r"([a-z+]{1,20}+)://(?:([^@/?#]*+)@)?([^@/?#]*+)(/[^@?#]*+)?(?:\?db=([0-9]{1,5}))?")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})")
_MASTER = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Kind(StrEnum):
    """How the store is reached."""

    SINGLE = "single"
    UNIX = "unix"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Server(NamedTuple):
    """A host, without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A store's address. As text it names the servers and never the user or the password (SECURITY J9)."""

    kind: Kind
    servers: tuple[Server, ...] = ()
    path: str = ""  # of the unix socket
    master: str = ""  # what the Sentinels call it
    database: int = 0
    tls: bool = False
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return the address in the form of a URL."""
        if self.kind is Kind.UNIX:
            return f"unix://{self.path}"
        scheme = ("valkeys" if self.tls else "valkey") + ("" if self.kind is Kind.SINGLE else f"+{self.kind}")
        return f"{scheme}://{','.join(map(str, self.servers))}" + (f"/{self.master}" if self.master else "")


def read_store_address(url: str) -> StoreAddress:
    """Return what ``url`` names; raise ``ValueError`` with what was expected, without a word of the URL."""
    match = _URL.fullmatch(url) if url.isprintable() else None
    if match is None:
        raise ValueError(f"is not the address of a store; {EXPECTED}")
    scheme, account, hosts, path, database = match.groups(default="")
    user, password = _account(account)
    if scheme == "unix":
        return StoreAddress(
            Kind.UNIX,
            path=_socket(hosts, path),
            database=_database(database),
            username=user,
            password=password,
        )
    base, plus, suffix = scheme.partition("+")
    if base not in _SCHEMES or database or suffix not in {"sentinel", "cluster", ""} or (plus and not suffix):
        raise ValueError(f"is not the address of a store; {EXPECTED}")
    kind = Kind(suffix) if suffix else Kind.SINGLE
    master, number = _path(kind, path)
    return StoreAddress(
        kind,
        servers=_servers(kind, hosts),
        master=master,
        database=number,
        tls=_SCHEMES[base],
        username=user,
        password=password,
    )


def _account(text: str) -> tuple[str, str]:
    user, _, password = text.partition(":")
    return _decoded(user), _decoded(password)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        msg = "is percent-encoded, but not as UTF-8"
        raise ValueError(msg) from None


def _socket(hosts: str, path: str) -> str:
    socket = _decoded(path)
    if hosts or not 1 < len(socket.encode()) <= LONGEST_SOCKET or "\0" in socket:
        msg = (
            f'is not a socket; expected "unix:///path/of/socket" with at most {LONGEST_SOCKET} bytes of path'
        )
        raise ValueError(msg)
    return socket


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """Return the master's name and the number of the database that the path of a URL names."""
    parts = path.strip("/").split("/") if path.strip("/") else []
    if kind is Kind.CLUSTER and parts:
        msg = "names a database, and a cluster has only one; end it after the last port"
        raise ValueError(msg)
    master = ""
    if kind is Kind.SENTINEL:
        master = parts.pop(0) if parts else ""
        if not _MASTER.fullmatch(master):
            msg = 'names no master; expected what the Sentinels call it after the last port, such as "/main"'
            raise ValueError(msg)
    if len(parts) > 1:
        raise ValueError(f"is not the address of a store; {EXPECTED}")
    return master, _database(parts[0] if parts else "")


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) < MOST_DATABASES):  # noqa: PLR2004  no int() of a million digits
        raise ValueError(f"names a database that is no number below {MOST_DATABASES}")
    return int(text or 0)


def _servers(kind: Kind, text: str) -> tuple[Server, ...]:
    names = text.split(",")
    if kind is Kind.SINGLE and len(names) > 1:
        msg = 'names several servers; expected "valkey+cluster://" or "valkey+sentinel://" before them'
        raise ValueError(msg)
    if len(names) > MOST_SERVERS:
        raise ValueError(f"names more than {MOST_SERVERS} servers")
    default = SENTINEL_PORT if kind is Kind.SENTINEL else PORT
    return tuple(dict.fromkeys(_server(name, default) for name in names))


def _server(text: str, default: int) -> Server:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?", text)
    host = match[1] if match else ""
    port = int(match[2] or default) if match else 0
    if not 0 < port <= HIGHEST_PORT:
        msg = 'names a server that is none; expected "host", "host:port" or "[IPv6]:port"'
        raise ValueError(msg)
    if host.startswith("["):
        try:
            return Server(str(IPv6Address(host[1:-1])), port)
        except ValueError:
            msg = "names an IPv6 address that is none"
            raise ValueError(msg) from None
    if not _NAME.fullmatch(host):
        msg = 'names a host that is none; expected a name or an address; a password\'s "@", "/" and ":" are written %40, %2F and %3A'
        raise ValueError(msg)
    return Server(host.lower(), port)


def key_prefix(name: str) -> bytes:
    """Return what goes before every key of the site or namespace called ``name``: no text of anybody's (SECURITY I5)."""
    return b"as:" + blake2b(name.encode(), digest_size=6).hexdigest().encode() + b":"
