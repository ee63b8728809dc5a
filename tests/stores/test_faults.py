"""Stores that are wrong in every way that an operator meets, over real servers and real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from redis import exceptions as theirs

from antiscrape.core.store_address import read_store_address
from antiscrape.errors import StoreError
from antiscrape.stores.connection import Call, Connection, Script
from antiscrape.stores.faults import LONGEST_ANSWER, WORDS, Fault, fault_of, told
from tests import valkeys
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.valkeys import Server

PASSWORD = "opensesame"
SET = Script(b"return redis.call('SET', KEYS[1], ARGV[1], 'EX', 9)")
WHERE = read_store_address(f"valkey://me:{PASSWORD}@store:7000")


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    with valkeys.single(password=PASSWORD) as server:
        yield server


def refusal(url: str, *, timeout: float = PATIENCE) -> StoreError:
    """Return what a call there comes to, by itself and among others; both must be the same."""

    async def look() -> StoreError:
        connection = Connection(read_store_address(url), timeout=timeout)
        try:
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(StoreError) as alone:
                    await connection.run(SET, [b"k"], [b"x" * 200])
                among = await connection.run_many([Call(SET, [b"k"], [b"x" * 200])] * 3)
        finally:
            await connection.aclose()
        assert [str(answer) for answer in among] == [str(alone.value)] * 3
        return alone.value

    error = asyncio.run(look())
    assert PASSWORD not in str(error)
    assert "wrongpass" not in str(error)
    return error


@pytest.mark.security("I3")
@pytest.mark.security("J9")
@pytest.mark.parametrize("form", ["valkey://{}127.0.0.1:{port}", "unix://{}{path}"])
def test_passwords(locked: Server, form: str) -> None:
    def url(account: str) -> str:
        return form.format(account, port=locked.port, path=locked.path)

    assert refusal(url("")).fault is Fault.PASSWORD_NEEDED
    assert refusal(url(":wrongpass@")).fault is Fault.PASSWORD_WRONG
    assert refusal(url("nobody:wrongpass@")).fault is Fault.PASSWORD_WRONG
    assert "store.password_file" in str(refusal(url("")))

    async def right() -> None:
        connection = Connection(read_store_address(url(f":{PASSWORD}@")), timeout=PATIENCE)
        assert await connection.run(SET, [b"k"], [b"x"]) == b"OK"
        await connection.aclose()

    asyncio.run(right())


def test_a_password_where_none_is_wanted() -> None:
    with valkeys.single() as server:
        error = refusal(f"valkey://:{PASSWORD}@127.0.0.1:{server.port}")
        assert (error.fault, error.away) == (Fault.PASSWORD_WRONG, True)


@pytest.mark.security("I3")
def test_a_user_who_may_not(locked: Server) -> None:
    locked.ask("ACL", "SETUSER", "guest", "on", ">wrongpass", "+get", "~*")
    assert refusal(f"valkey://guest:wrongpass@127.0.0.1:{locked.port}").fault is Fault.FORBIDDEN


@pytest.mark.security("I3")
def test_a_replica_that_is_read_only(locked: Server) -> None:
    with valkeys.replica_of(locked) as replica:
        error = refusal(f"valkey://:{PASSWORD}@127.0.0.1:{replica.port}")
        assert (error.fault, error.away) == (Fault.READ_ONLY, True)


@pytest.mark.security("I3")
def test_a_server_that_is_out_of_memory() -> None:
    with valkeys.single(maxmemory="1mb") as server:
        error = refusal(server.unix_url)
        assert (error.fault, error.away) == (Fault.OUT_OF_MEMORY, False)


def test_nobody_listens(tmp_path_factory: pytest.TempPathFactory) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert refusal(f"valkey://127.0.0.1:{port}").fault is Fault.REFUSED
        assert refusal(f"valkey+cluster://127.0.0.1:{port}").fault is Fault.REFUSED
        assert refusal(f"valkey+sentinel://127.0.0.1:{port}/main").fault is Fault.REFUSED
    assert refusal("unix:///nowhere/at/all.sock").fault is Fault.REFUSED


def test_one_server_and_a_cluster_are_told_apart() -> None:
    with valkeys.single() as server:
        assert refusal(f"valkey+cluster://127.0.0.1:{server.port}").fault is Fault.NO_CLUSTER
        with valkeys.sentinel(server) as watcher:
            assert refusal(f"valkey+sentinel://127.0.0.1:{watcher.port}/other").fault is Fault.NO_MASTER
    with valkeys.single(arguments=("--cluster-enabled", "yes")) as node:
        assert refusal(f"valkey+cluster://127.0.0.1:{node.port}").fault is Fault.CLUSTER_DOWN
        assert refusal(f"valkey://127.0.0.1:{node.port}").fault is Fault.CLUSTER_DOWN
        node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        node.says("Cluster state changed: ok")


def test_a_node_of_a_cluster_that_is_taken_for_all_of_it() -> None:
    with valkeys.cluster() as cluster:
        faults = {refusal(f"valkey://127.0.0.1:{node.port}").fault for node in cluster.nodes[:1]}
        assert faults == {Fault.IS_CLUSTER}


GARBAGE = {
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", Fault.NOT_RESP),
    "a number that is none": (b"$what\r\n", Fault.NOT_RESP),
    "an array in an array without end": (b"*1\r\n" * 5000, Fault.NOT_RESP),
    "nothing": (b"", Fault.LOST),
    "half a reply": (b"$100\r\nhalf", Fault.LOST),
    "half an array": (b"*3\r\n$1\r\na\r\n", Fault.LOST),
    "a full house": (b"-ERR max number of clients reached\r\n", Fault.TOO_MANY_CLIENTS),
    "still loading": (b"-LOADING Valkey is loading the dataset in memory\r\n", Fault.LOADING),
}


@pytest.mark.security("I2")
@pytest.mark.parametrize(("said", "fault"), GARBAGE.values(), ids=GARBAGE)
def test_servers_that_say_what_no_server_says(said: bytes, fault: Fault) -> None:
    """Each is one refused call; the connection is closed, and the next call speaks to a new one."""

    async def look() -> None:
        met: list[asyncio.Task[None] | None] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            met.append(asyncio.current_task())
            await reader.read(1)
            writer.write(said)
            writer.write_eof()
            with suppress(OSError):
                await reader.read()
                writer.close()
                await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = Connection(read_store_address(f"valkey://127.0.0.1:{port}"), timeout=PATIENCE)
        async with server, asyncio.timeout(PATIENCE):
            for number in (1, 2, 3):
                with pytest.raises(StoreError) as refused:
                    await connection.run(SET, [b"k"], [b"v"])
                assert refused.value.fault is fault
                assert len(met) == number
            await connection.aclose()
            await asyncio.gather(*filter(None, met))

    asyncio.run(look())


def test_tls_to_a_server_that_has_none(locked: Server) -> None:
    assert refusal(f"valkeys://127.0.0.1:{locked.port}", timeout=0.2).fault is Fault.TIMED_OUT


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, which nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    today = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(today - timedelta(1)).not_valid_after(today + timedelta(1))
    signed = made.add_extension(address, critical=False).sign(key, hashes.SHA256())
    private = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "store.pem").write_bytes(key.private_bytes(*private) + signed.public_bytes(Encoding.PEM))
    return tmp_path / "store.pem"


@pytest.mark.security("J9")
def test_tls_is_spoken_only_to_whom_the_system_trusts(
    locked: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(4096):
                writer.write(piece)
            writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(asyncio.current_task())
        there, here = await asyncio.open_unix_connection(str(locked.path))
        await asyncio.gather(pipe(reader, here), pipe(there, writer))

    async def look() -> tuple[Fault | None, object]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
        url = f"valkeys://:{PASSWORD}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection = Connection(read_store_address(url), timeout=PATIENCE)
        async with server:
            try:
                return None, await connection.run(SET, [b"k"], [b"x"])
            except StoreError as error:
                return Fault(error.fault), str(error)
            finally:
                await connection.aclose()
                await asyncio.gather(*filter(None, met))
                met.clear()

    met: list[asyncio.Task[None] | None] = []
    fault, words = asyncio.run(look())
    assert fault is Fault.TLS
    assert "certificate" in str(words).lower()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert asyncio.run(look()) == (None, b"OK")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (socket.gaierror(-2, "Name or service not known"), Fault.UNKNOWN_HOST),
        (theirs.TryAgainError("Multiple keys request during rehashing of slot"), Fault.ANSWER),
        (theirs.ClusterDownError("Hash slot not served"), Fault.CLUSTER_DOWN),
        (TimeoutError(), Fault.TIMED_OUT),
        (ConnectionResetError(104, "Connection reset by peer"), Fault.LOST),
    ],
)
def test_errors_that_no_test_can_provoke(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault
    wrapped: Exception = theirs.ConnectionError("Error connecting")
    wrapped.__cause__ = error
    if not isinstance(error, theirs.ResponseError) or fault is not Fault.ANSWER:  # that one is nobody's cause
        assert fault_of(wrapped) is fault


def test_every_fault_has_words_that_name_the_place_and_end_in_one_line() -> None:
    assert set(Fault) - WORDS.keys() == {Fault.TIMED_OUT, Fault.ANSWER}
    error = told(theirs.ResponseError("user_script:1: \n\x1b[31m" + "x" * 500), WHERE, timeout=0.25)
    assert str(error).startswith("the store valkey://store:7000 answered with an error: user_script:1:")
    assert str(error).isprintable()
    assert len(str(error)) < LONGEST_ANSWER + 80
    assert (
        str(told(TimeoutError(), WHERE, timeout=0.25))
        == "the store valkey://store:7000 did not answer within 250 ms"
    )
    assert told(error, WHERE, timeout=1.0) is error
