"""TLS as the server speaks it: modern only, and with the certificate that lies in its files now."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from antiscrape.core.rules import IdentityRules, ServeRules
from antiscrape.errors import ConfigurationError
from antiscrape.serving.tls import Certificates
from antiscrape.settings.units import read_network
from tests.serving.wire import PATIENCE, Echo, ask, get, run, served, statuses

if TYPE_CHECKING:
    from pathlib import Path


def pair(name: str) -> tuple[bytes, bytes, ec.EllipticCurvePrivateKey]:
    """Return certificate and key for ``name``, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = datetime.now(UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(today - timedelta(1)).not_valid_after(today + timedelta(1))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), private, key


def write(folder: Path, certificate: bytes, key: bytes) -> ServeRules:
    (folder / "site.pem").write_bytes(certificate)
    (folder / "site.key").write_bytes(key)
    return ServeRules(
        first_byte=1.0,
        keep_alive=0.3,
        tls_certificate=str(folder / "site.pem"),
        tls_key=str(folder / "site.key"),
    )


def client(**settings: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in settings.items():
        setattr(context, name, value)
    return context


async def shown(port: int) -> str:
    """Return the name in the certificate that a new connection is shown."""
    async with asyncio.timeout(PATIENCE):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client())
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


def test_requests_are_served_over_tls_12_and_13_and_with_http_11_chosen(tmp_path: Path) -> None:
    rules = write(tmp_path, *pair("one")[:2])

    async def main() -> None:
        async with served(Echo(size=2**21), rules) as (port, _):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                raw = await ask(port, get(), tls=client(maximum_version=version))
                assert raw.endswith(b"x" * 2**20)
            raw = await ask(port, b"GET / HTTP/1.1\r\n\r\n", tls=client())
            assert statuses(raw) == [400]
            context = client()
            context.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            spoken = writer.get_extra_info("ssl_object")
            assert spoken.selected_alpn_protocol() == "http/1.1"
            writer.transport.abort()

    run(main())


def test_older_versions_are_not_spoken(tmp_path: Path) -> None:
    rules = write(tmp_path, *pair("one")[:2])
    strict = ServeRules(tls_certificate=rules.tls_certificate, tls_key=rules.tls_key, tls_minimum="1.3")

    async def main() -> None:
        async with served(Echo(), strict) as (port, _):
            with pytest.raises(OSError):  # noqa: PT011  an alert, or what comes of not waiting for it
                await ask(port, get(), tls=client(maximum_version=ssl.TLSVersion.TLSv1_2))
            assert await shown(port) == "CN=one"

    run(main())


def test_ciphers_without_forward_secrecy_are_not_spoken(tmp_path: Path) -> None:
    names = {
        cipher["name"] for cipher in Certificates(write(tmp_path, *pair("one")[:2])).context.get_ciphers()
    }
    assert all(name.startswith(("ECDHE-", "TLS_")) for name in names)
    assert not [name for name in names if "CBC" in name or name.endswith("-SHA")]


@pytest.mark.security("C5")
def test_a_handshake_that_never_ends_is_let_go(tmp_path: Path) -> None:
    rules = write(tmp_path, *pair("one")[:2])
    short = ServeRules(first_byte=0.2, head=0.2, tls_certificate=rules.tls_certificate, tls_key=rules.tls_key)

    async def main() -> None:
        async with served(Echo(), short) as (port, _):
            for begun in (b"", b"\x16\x03\x01\x02\x00"):
                assert await ask(port, begun) == b""

    run(main())


@pytest.mark.security("J8")
def test_a_new_pair_is_served_as_soon_as_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While half of it is written, or it is wrong, the old one serves; open connections keep theirs."""
    one, two = pair("one"), pair("two")
    rules = write(tmp_path, *one[:2])

    async def main() -> None:
        async with served(Echo(), rules) as (port, server):
            kept = server.config.certificates  # type: ignore[attr-defined]  # ours
            assert await shown(port) == "CN=one"
            assert not kept.look()
            for certificate, key in [
                (two[0], one[1]),
                (two[0][:100], two[1]),
                (two[0], two[1][:50]),
                (b"", b""),
            ]:
                write(tmp_path, certificate, key)
                assert not kept.look()
                assert await shown(port) == "CN=one"
                before = len(caplog.messages)
                assert not kept.look()
                assert not kept.look()
                assert len(caplog.messages) == before + 1  # said once, at the second look
            (tmp_path / "site.key").unlink()
            assert not kept.look()
            assert await shown(port) == "CN=one"
            write(tmp_path, *two[:2])
            assert kept.look()
            assert await shown(port) == "CN=two"

    with caplog.at_level(logging.WARNING, logger="antiscrape.tls"):
        run(main())
    assert "do not belong together" in caplog.messages[0]
    assert caplog.messages[-1].endswith("was read anew")


@pytest.mark.security("J8")
def test_the_files_are_looked_at_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Swapped as certbot does it, by a symbolic link."""
    monkeypatch.setattr("antiscrape.serving.tls.TICK", 0.01)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, *pair(name)[:2])
    (tmp_path / "live").symlink_to("one")
    rules = ServeRules(
        tls_certificate=str(tmp_path / "live" / "site.pem"), tls_key=str(tmp_path / "live" / "site.key")
    )

    async def main() -> None:
        async with served(Echo(), rules) as (port, _), asyncio.timeout(PATIENCE):
            assert await shown(port) == "CN=one"
            (tmp_path / "next").symlink_to("two")
            os.replace(tmp_path / "next", tmp_path / "live")  # noqa: PTH105  in one step
            while await shown(port) != "CN=two":
                pass

    run(main())


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        ("missing", "cannot be read: No such file"),
        ("other key", "do not belong together"),
        ("garbage", "cannot be used"),
        ("passphrase", "behind a passphrase"),
    ],
)
def test_a_pair_that_cannot_be_used_stops_the_start(tmp_path: Path, break_it: str, words: str) -> None:
    certificate, private, key = pair("one")
    rules = write(tmp_path, certificate, private)
    path = tmp_path / "site.key"
    if break_it == "missing":
        path.unlink()
    elif break_it == "other key":
        path.write_bytes(pair("two")[1])
    elif break_it == "garbage":
        path.write_bytes(b"dear diary")
    else:
        locked = BestAvailableEncryption(b"a passphrase of a test")
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    with pytest.raises(ConfigurationError, match=words):
        Certificates(rules)


def test_tls_stands_behind_the_proxy_header(tmp_path: Path) -> None:
    """A load balancer that passes TLS on names the client before the handshake, in one piece with its beginning."""
    written = write(tmp_path, *pair("one")[:2])
    rules = ServeRules(
        proxy_protocol=True,
        keep_alive=0.3,
        tls_certificate=written.tls_certificate,
        tls_key=written.tls_key,
    )
    identity = IdentityRules(trusted_proxies=read_network("127.0.0.1"))
    echo = Echo()

    def talk(port: int) -> bytes:
        raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        handshake, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client().wrap_bio(handshake, out, server_hostname="a")
        with raw:
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            raw.sendall(b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n" + out.read())
            while True:
                handshake.write(raw.recv(65536))
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                break
            tls.write(get())
            raw.sendall(out.read())
            got = b""
            while b"\r\n\r\n" not in got:
                handshake.write(raw.recv(65536))
                try:
                    got += tls.read(65536)
                except ssl.SSLWantReadError:
                    continue
            return got

    async def main() -> bytes:
        async with served(echo, rules, identity) as (port, _):
            return await asyncio.to_thread(talk, port)

    assert statuses(run(main())) == [200]
    assert echo.judged[0].client == ("198.51.100.7", 4711)
