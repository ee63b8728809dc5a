"""The names and addresses that operators write: hosts, header fields, prefixes, sockets."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Strict

HIGHEST_PORT = 65_535


def _host(text: str) -> str:
    name = text.lower().rstrip(".")
    if name.startswith("[") and name.endswith("]") and "%" not in name:
        ip_address(name[1:-1])
    elif not re.fullmatch(r"[a-z0-9_](?:[a-z0-9._-]{0,252})", name):
        msg = "is not a host; expected a name without scheme, port or path, such as photos.example"
        raise ValueError(msg)
    return name


def _field_name(text: str) -> str:
    # A name with "_" is neither read nor forwarded: servers before us take it for one with "-" (SECURITY A5)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", text):
        msg = 'is not a header field; expected letters, digits and "-", such as x-forwarded-for'
        raise ValueError(msg)
    return text.lower()


def _prefix(text: str) -> str:
    if not re.fullmatch(r"/[^?#\\*{}\x00-\x20\x7f]*", text):
        msg = 'is not a prefix; expected a path that starts with "/", such as "/media/"'
        raise ValueError(msg)
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        msg = "holds a character that cannot be shown"
        raise ValueError(msg)
    return text


def _admin(text: str) -> str:
    host, _, port = text.rpartition(":")
    right = not text or re.fullmatch(r"unix:/[^\x00-\x1f]+", text)
    if not right and not (
        _is_address(host) and re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= HIGHEST_PORT
    ):
        msg = 'is not an address; expected "127.0.0.1:9465", "[::1]:9465", "unix:/path" or ""'
        raise ValueError(msg)
    return text


def _is_address(host: str) -> bool:
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return "%" not in host and host.startswith("[") == (":" in host)


def _parameter(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,31}", text):
        msg = 'is not a parameter\'s name; expected a letter, then letters, digits, "-" or "_", such as "as"'
        raise ValueError(msg)
    return text


def _trap_path(text: str) -> str:
    if text and not re.fullmatch(r"/[A-Za-z0-9._~/-]{3,200}", text):
        msg = 'is not a path for a trap; expected "/" and at least three of letters, digits and "._~/-"'
        raise ValueError(msg)
    return text


Listed = Strict(strict=False)  # a list of the file becomes a tuple; what it holds stays strict
Host = Annotated[str, AfterValidator(_host)]
FieldName = Annotated[str, AfterValidator(_field_name)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Line = Annotated[str, AfterValidator(_printable)]
Parameter = Annotated[str, AfterValidator(_parameter)]
TrapPath = Annotated[str, AfterValidator(_trap_path)]
Admin = Annotated[str, AfterValidator(_admin)]
