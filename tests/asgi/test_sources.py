"""What an answer's fields may stand for, and what they may not."""

from __future__ import annotations

import pytest

from antiscrape.asgi.sources import Known, Sources, read_source
from antiscrape.core.resource import Size
from tests.house import Pairs, head_of, person

NAME = b"photos.example/media/1.jpg?"
ETAG = (b"etag", b'"65f-1"')
CHANGED = (b"last-modified", b"Sat, 01 Aug 2026 10:00:00 GMT")
SENT = (b"date", b"Sat, 01 Aug 2026 10:01:00 GMT")
LENGTH = (b"content-length", b"1000")
HEAD = head_of("/media/1.jpg", person())


def source(*fields: tuple[bytes, bytes], name: bytes = NAME) -> bytes:
    return read_source(name, HEAD, list(fields))[0]


def test_a_strong_etag_names_the_bytes_of_its_url_and_can_be_asked_with() -> None:
    named, etag = read_source(NAME, HEAD, [ETAG, CHANGED])
    assert (len(named), etag) == (16, ETAG[1])
    assert named == source(ETAG, SENT)
    assert named != source((b"etag", b'"65f-2"'))
    assert named != source(ETAG, name=b"photos.example/media/2.jpg?")


def test_a_date_names_them_with_the_length_and_is_not_asked_with() -> None:
    """Two people's pictures at one URL may be of one second; their ETags differ."""
    named, etag = read_source(NAME, HEAD, [CHANGED, SENT, LENGTH])
    assert (len(named), etag) == (16, b"")
    assert named != source(CHANGED, SENT, (b"content-length", b"1001"))
    assert named != source(ETAG)


NOTHING: list[Pairs] = [
    [],
    [(b"etag", b'W/"65f-1"')],  # weak: the bytes may differ
    [(b"etag", b"65f-1")],
    [(b"etag", b'""')],
    [(b"etag", b'"')],
    [(b"etag", b'"' + b"x" * 300 + b'"')],
    [ETAG, (b"etag", b'"other"')],
    [(b"etag", b'W/"65f-1"'), CHANGED, SENT, LENGTH],  # it says itself that its bytes may differ
    [CHANGED, SENT],
    [CHANGED, LENGTH],
    [
        CHANGED,
        LENGTH,
        (b"date", b"Sat, 01 Aug 2026 10:00:30 GMT"),
    ],  # another change may follow in that second
    [CHANGED, LENGTH, (b"date", b"yesterday")],
    [SENT, LENGTH, (b"last-modified", b"\xff")],
    [CHANGED, SENT, (b"content-length", b"-1")],
]


@pytest.mark.parametrize("fields", NOTHING)
def test_what_does_not_tell_one_picture_from_another_names_none(fields: Pairs) -> None:
    assert source(*fields) == b""


@pytest.mark.security("J1")
@pytest.mark.parametrize(
    "field",
    [
        (b"cache-control", b"private, max-age=60"),
        (b"cache-control", b"No-Store"),
        (b"cache-control", b'private="set-cookie"'),
        (b"vary", b"Cookie"),
        (b"vary", b"Accept, X-User"),
        (b"vary", b"*"),
    ],
)
def test_what_is_one_clients_own_has_no_name_for_others(field: tuple[bytes, bytes]) -> None:
    assert source(ETAG, field) == b""
    assert source(CHANGED, SENT, LENGTH, field) == b""
    assert source((field[0], b""), ETAG, field) == b""


def test_negotiation_by_format_is_no_secret() -> None:
    assert source(ETAG, (b"vary", b"Accept"), (b"cache-control", b"public, max-age=60"))


@pytest.mark.security("J1")
def test_what_was_asked_for_with_a_password_is_not_named() -> None:
    head = head_of("/media/1.jpg", person((b"authorization", b"Basic eA==")))
    assert read_source(NAME, head, [ETAG]) == (b"", b"")


def test_only_so_many_are_remembered() -> None:
    sources = Sources(most=3)
    for number in range(3):
        sources.note(b"%d" % number, Known(bytes(16), b"", Size.ORIGINAL))
    assert sources.find(b"0") is not None
    sources.note(b"3", Known(bytes(16), b"", Size.ORIGINAL))
    assert len(sources) == 3
    assert sources.find(b"1") is None
    assert sources.find(b"0") is not None
