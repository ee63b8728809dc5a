"""A site behind a real ``antiscrape serve`` behind a real nginx, whose servers are each wrong in a way of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.cli.test_serve import PHOTO, start
from tests.conftest import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE: Final = 120.0
PAGE: Final = (
    b'<!doctype html><title>Album</title><img alt="" src="/logo.png"><img alt="" src="/media/1.jpg">'
)

#: By name, what a server of nginx has. The proxy at 127.0.0.2 is trusted, any other is not.
_RIGHT: Final = """
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
"""
SERVERS: Final = {
    "right": "proxy_bind 127.0.0.2;" + _RIGHT,
    "untrusted": "proxy_bind 127.0.0.3;" + _RIGHT,
    "silent": "proxy_bind 127.0.0.2; proxy_set_header Host $host;",
    "real-ip": "proxy_bind 127.0.0.2; proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;",
    "believing": "proxy_bind 127.0.0.2; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $http_x_real_ip;",
    "inner": "proxy_bind 127.0.0.2; proxy_set_header Host $host; "
    'proxy_set_header X-Forwarded-For "$remote_addr, 127.0.0.9";',
    "renaming": "proxy_bind 127.0.0.2; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Host inner.test;",
    "caching": "proxy_bind 127.0.0.2; proxy_cache all; proxy_cache_valid any 10m; proxy_ignore_headers Cache-Control Expires Vary "
    "Set-Cookie;" + _RIGHT,
    "keyless": "proxy_bind 127.0.0.2; proxy_cache all; proxy_cache_key keyless$uri; proxy_cache_valid any 10m; "
    "proxy_ignore_headers Cache-Control Expires Vary Set-Cookie;" + _RIGHT,
    "hiding": "proxy_bind 127.0.0.2; proxy_hide_header Cache-Control; add_header Cache-Control 'public, max-age=60' always;"
    + _RIGHT,
    "dropping": 'proxy_bind 127.0.0.2; proxy_set_header Antiscrape-Doctor "";' + _RIGHT,
    "metrics": "proxy_bind 127.0.0.2;" + _RIGHT,
    "down": "",
    "tls": "proxy_bind 127.0.0.2; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;",
}
_NGINX: Final = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=all:1m;
    proxy_http_version 1.1;
    {servers}
}}
"""


class Album(BaseHTTPRequestHandler):
    """A site with a page and a photograph."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = {"/": (PAGE, "text/html")}.get(self.path)
        if self.path.startswith("/media/"):
            found = PHOTO, "image/jpeg"
        body, kind = found or (b"not found", "text/plain")
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Deployment(NamedTuple):
    """Where the server is, and each of nginx's servers by name; the files that it was started with."""

    direct: str
    ports: dict[str, int]
    config: Path
    secret: Path
    certificate: Path

    def url(self, name: str) -> str:
        return f"{'https' if name == 'tls' else 'http'}://127.0.0.1:{self.ports[name]}/"


@contextmanager
def site() -> Iterator[str]:
    """Serve the album on a port of the system's choice."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Album) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(PATIENCE)


@contextmanager
def deployed(folder: Path, upstream: str) -> Iterator[Deployment]:
    """Start antiscrape, and nginx in front of it."""
    config, secret = folder / "antiscrape.toml", folder / "secret"
    config.write_text(
        f'[site]\nname = "album"\nsecret_file = "{secret}"\n[identity]\ntrusted_proxies = ["127.0.0.2"]\n'
        '[record]\nevents = "off"\n[clearance]\nenabled = true\n'
        # many doctors ask from one address
        '[standing.browser]\nrequests = "unlimited"\noriginals = "unlimited"\n[standing.bot]\nrequests = "unlimited"\n'
    )
    admin = free_ports(1)[0]
    arguments = ("--upstream", upstream, "--config", str(config), "--listen", "127.0.0.1:0")
    certificate = certify(folder)
    with (
        served(*arguments, "--admin", f"127.0.0.1:{admin}") as direct,
        edge(folder, direct, f"http://127.0.0.1:{admin}") as ports,
    ):
        yield Deployment(direct + "/", ports, config, secret, certificate)


@contextmanager
def served(*arguments: str, secret: str | None = None, **environ: str) -> Iterator[str]:
    """Start ``antiscrape serve``, and give the URL that it says it is ready at; what it warns of before is no matter."""
    process = start(*arguments, secret=secret, **environ)
    assert process.stderr is not None
    try:
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if found := re.match(r"antiscrape: ready on (http://127\.0\.0\.1:\d+), ", line):
                break
        else:
            raise AssertionError("".join(said))
        yield found[1]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def edge(folder: Path, upstream: str, admin: str) -> Iterator[dict[str, int]]:
    """Start nginx with all servers, and give their ports; another process may take one first."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        missing("nginx", "nginx is not installed")
    for _ in range(5):
        ports = dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True))
        (folder / "nginx.conf").write_text(
            _NGINX.format(folder=folder, servers=_servers(folder, ports, upstream, admin))
        )
        command = [
            str(program),
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-e",
            str(folder / "error.log"),
        ]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            if _listens(process, ports):
                yield ports
                return
        finally:
            process.terminate()
            process.wait(PATIENCE)
    raise AssertionError((folder / "error.log").read_text())


def _servers(folder: Path, ports: dict[str, int], upstream: str, admin: str) -> str:
    text = ""
    for name, port in ports.items():
        tls = (
            f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
            if name == "tls"
            else ""
        )
        to = "http://127.0.0.1:9" if name == "down" else upstream
        beside = (
            f"location = /metrics {{ proxy_set_header Host localhost; proxy_pass {admin}; }}"
            if name == "metrics"
            else ""
        )
        text += (
            f"server {{ listen 127.0.0.1:{port}{' ssl' if tls else ''}; {tls} {SERVERS[name]} {beside} "
            f"location / {{ proxy_pass {to}; }} }}\n"
        )
    return text


def _listens(process: subprocess.Popen[bytes], ports: dict[str, int]) -> bool:
    for port in ports.values():
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
                break
            except OSError:
                if process.poll() is not None:
                    return False
    return True


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has at this moment."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(sock.getsockname()[1]) for sock in socks]
    for sock in socks:
        sock.close()
    return ports


def certify(folder: Path) -> Path:
    """Write a key, and a certificate for 127.0.0.1 that ends in five days; return the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "album")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=5, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    return folder / "cert.pem"
