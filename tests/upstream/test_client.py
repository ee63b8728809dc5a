"""The client reaches the site over TCP, TLS and unix sockets, and says plainly what address it cannot use."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from antiscrape.core.forwarding import UpstreamRules
from antiscrape.errors import ConfigurationError, UpstreamError
from antiscrape.upstream import Upstream
from tests.asgi.proxied import PATIENCE, Site, ok

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.upstream import Answer

WRONG = [
    "",
    "site",
    "127.0.0.1:8000",
    "ftp://site",
    "http://",
    "http:///path",
    "http://site:99999",
    "http://site:0",
    "http://site:port",
    "http://[::1",
    "http://user:secret@site",
    "http://site/prefix",
    "http://site?x=1",
    "http://site#x",
    "http://si te",
    "http://sité",
    "unix:relative",
    "unix:",
]


@pytest.mark.parametrize("url", WRONG)
def test_a_url_that_names_no_site_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="upstream: ") as caught:
        Upstream(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "127.0.0.1:8000"),
        ("https://site.example", "site.example"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://my_app:80", "my_app:80"),
        ("unix:/run/site.sock", "localhost"),
    ],
)
def test_urls_that_name_a_site(url: str, authority: str) -> None:
    assert Upstream(url).authority == authority


async def body_of(answer: Answer) -> bytes:
    return b"".join([piece async for piece in answer])


async def ask(upstream: Upstream) -> bytes:
    try:
        answer = await upstream.request("GET", b"/a%2Fb?c", [(b"host", b"site.test")])
        return await body_of(answer)
    finally:
        await upstream.aclose()


def test_a_site_behind_a_unix_socket(tmp_path: Path) -> None:
    async def main() -> None:
        site = Site(behaviour=ok(b"by file"))
        server = await asyncio.start_unix_server(site.serve, tmp_path / "site.sock")
        assert await ask(Upstream(f"unix:{tmp_path}/site.sock")) == b"by file"
        assert site.asked[0].line == b"GET /a%2Fb?c HTTP/1.1"
        assert site.asked[0].all(b"host") == [b"site.test"]
        server.close()
        with pytest.raises(UpstreamError) as caught:
            await ask(Upstream(f"unix:{tmp_path}/none.sock"))
        assert caught.value.status == 502

    asyncio.run(main())


def certificate(folder: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1, valid today."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "site.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.security("E8")
def test_tls_is_verified(tmp_path: Path) -> None:
    async def main() -> None:
        pem = certificate(tmp_path)
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ours.load_cert_chain(pem)
        site = Site(behaviour=ok(b"sealed"))
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=ours)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await ask(Upstream(url, tls=ssl.create_default_context(cafile=pem))) == b"sealed"
        with pytest.raises(UpstreamError, match="CERTIFICATE_VERIFY_FAILED"):
            await ask(Upstream(url))
        assert len(site.asked) == 1
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_connections_are_limited_and_the_wait_for_one_is_too() -> None:
    async def main() -> None:
        entered, release = asyncio.Event(), asyncio.Event()
        site = Site()

        async def held(asked: object) -> None:
            entered.set()
            await release.wait()
            await ok(b"at last")(site.asked[0])

        site.behaviour = held
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        rules = UpstreamRules(connections=1, connect_timeout=1.0, read_timeout=PATIENCE)
        upstream = Upstream(f"http://127.0.0.1:{port}", rules=rules)
        async with asyncio.timeout(PATIENCE):
            first = asyncio.create_task(upstream.request("GET", b"/", []))
            await entered.wait()
            with pytest.raises(UpstreamError) as caught:
                await upstream.request("POST", b"/", [])
            assert caught.value.status == 504
            release.set()
            assert await body_of(await first) == b"at last"
        assert site.connections == 1
        await upstream.aclose()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_what_a_site_says_in_an_error_is_escaped() -> None:
    """SECURITY J5: a log line has no control characters and no more than a line's length of the site's words."""

    async def main() -> None:
        site = Site()

        async def nonsense(asked: object) -> None:
            await site.asked[0].reply(b"\x1b[2J\n\xe2\x80\xa8 GARBAGE " * 200 + b"\r\n\r\n")
            site.asked[0].writer.close()

        site.behaviour = nonsense
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
        with pytest.raises(UpstreamError) as caught:
            await ask(Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        words = str(caught.value)
        assert words.isascii()
        assert words.isprintable()
        assert len(words) <= 400
        server.close()
        await server.wait_closed()

    asyncio.run(main())
