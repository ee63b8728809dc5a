"""The table [serve]: what ``antiscrape serve`` bears from one connection, and how it speaks TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from antiscrape.core.rules import ServeRules
from antiscrape.settings.table import Remark, Table
from antiscrape.settings.units import Bytes, Duration, lasting, sized

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Serve(Table):
    """What antiscrape serve bears from one connection, and how it speaks TLS. A change takes a restart."""

    first_byte: Annotated[Duration, lasting("100ms", "5min")] = Field(
        default=5.0,
        description="How long a new connection, or its TLS handshake, may say nothing; it is closed without a word, for "
        "browsers open some in advance.",
    )
    head: Annotated[Duration, lasting("100ms", "5min")] = Field(
        default=10.0,
        description="How long a request's head may take from its first byte to its last; then 408.",
    )
    head_bytes: Annotated[Bytes, sized("1KiB", "256KiB")] = Field(
        default=32 * 1024, description="How long a request's head may be, as it comes; a longer one: 431."
    )
    fields: int = Field(
        default=100, ge=10, le=1000, description="How many header fields a request may have; more: 431."
    )
    target_bytes: Annotated[Bytes, sized("256B", "64KiB")] = Field(
        default=8 * 1024, description="How long a request's path and query may be; longer: 414."
    )
    pipelined: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="How many requests of a connection may wait behind the one that is answered; no more is read.",
    )
    rate: Annotated[Bytes, sized("0B", "1MiB")] = Field(
        default=1000,
        description="Bytes a second that a client must send of a body (else 408) and take of an answer (else it is cut "
        "off). Lower it for people on very slow lines. 0: any progress will do.",
    )
    body: Annotated[Duration, lasting("100ms", "10min")] = Field(
        default=10.0, description="Over how long a body's rate is taken."
    )
    send: Annotated[Duration, lasting("100ms", "10min")] = Field(
        default=30.0, description="Over how long an answer's rate is taken."
    )
    buffer_bytes: Annotated[Bytes, sized("64KiB", "64MiB")] = Field(
        default=2**20,
        description="How much of an answer may wait in memory for a client that reads slower than the site writes.",
    )
    keep_alive: Annotated[Duration, lasting("100ms", "1h")] = Field(
        default=65.0,
        description="How long a connection may stay open between two requests. Longer than what nginx and load "
        "balancers before it keep one for (60s), so that they are the ones who close it.",
    )
    proxy_protocol: bool = Field(
        default=False,
        description="Every connection begins with a PROXY header (version 1 or 2) that names the client, written by one "
        "of identity.trusted_proxies (or over a unix socket, with trust_unix). From anybody else, or without "
        "the header, it is closed.",
    )
    tls_certificate: str = Field(
        default="",
        max_length=4096,
        description="A PEM file with the certificate and its chain: then only TLS is spoken. Read anew when it changes; a "
        "wrong one is refused while the old one serves. A relative path starts at this file's folder.",
    )
    tls_key: str = Field(
        default="",
        max_length=4096,
        description='The PEM file of its private key, without a passphrase. "": the key stands in tls_certificate.',
    )
    tls_minimum: Literal["1.2", "1.3"] = Field(
        default="1.2",
        description="The oldest version of TLS that is spoken; below 1.2 there is none that is safe.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield a key without a certificate, and a target that no head could hold."""
        if self.tls_key and not self.tls_certificate:
            yield ("tls_key",), "is the key of serve.tls_certificate, which is not set"
        if self.target_bytes >= self.head_bytes:
            words = f"{self.target_bytes} bytes do not fit into head_bytes, which is {self.head_bytes}"
            yield ("target_bytes",), words

    def rules(self, folder: Path) -> ServeRules:
        """Return the rules; relative paths start at ``folder``."""
        values = dict(self)
        for name in ("tls_certificate", "tls_key"):
            values[name] = str(folder / values[name]) if values[name] else ""
        return ServeRules(**values)
