"""A directory's own signature proves who holds its keys, for that host, that body and that time."""

from __future__ import annotations

import pytest

from antiscrape.core.signature import Message, Response
from antiscrape.lookups import bot_keys
from antiscrape.lookups.bot_directory import prove
from antiscrape.lookups.bot_keys import read_json, read_listed
from tests.lookups.signers import (
    DIRECTORY_REQUEST,
    NOW,
    OTHER,
    OURS,
    SET,
    answer_with,
    digest_of,
    flipped,
    proof_by,
)


def proven(fields: dict[bytes, bytes], request: Message = DIRECTORY_REQUEST, body: bytes = SET) -> bool:
    keys = read_listed(read_json(SET))
    found = prove(request, answer_with(fields), body, keys, NOW)
    assert found <= {OURS.keyid}
    return bool(found)


def test_a_key_that_signed_its_directory_is_proven() -> None:
    assert proven(proof_by())
    assert proven(proof_by(alg='"ed25519"', expires=f"{NOW + 10**9:.0f}"))
    assert proven(proof_by() | {b"content-digest": digest_of(SET)})


@pytest.mark.security("H7")
def test_a_proof_for_another_host_body_time_tag_or_key_is_none() -> None:
    assert not proven({})
    assert not proven(proof_by(), DIRECTORY_REQUEST._replace(authority="other.test"))
    assert not proven(proof_by(), body=SET + b" ")
    assert not proven(proof_by(created=f"{NOW + 61:.0f}"))
    assert not proven(proof_by(expires=f"{NOW - 61:.0f}"))
    assert not proven(proof_by(created=""))
    assert not proven(proof_by(expires=""))
    assert not proven(proof_by(tag='"web-bot-auth"'))
    assert not proven(proof_by(keyid=f'"{OTHER.keyid}"'))
    assert not proven(proof_by(alg='"rsa-pss-sha512"'))
    assert not proven(proof_by('("content-digest")'))
    assert not proven(proof_by('("@authority";req)'))
    assert not proven(proof_by() | {b"content-digest": digest_of(b"else")})
    assert not proven(proof_by() | {b"content-digest": digest_of(SET) + b", sha-512=:AAAA:"})
    assert not proven(proof_by() | {b"content-digest": b"md5=:AAAA:"})
    for name, field in proof_by().items():
        for at in range(len(field)):
            assert not proven(proof_by() | {name: flipped(field, at, at % 8)})


def test_the_signed_directory_of_the_draft_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Appendix "Signed Directory Response" of draft-ietf-webbotauth-httpsig-protocol."""
    monkeypatch.setattr(bot_keys, "_PRINTED", frozenset())
    body = (
        b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U",'
        b'"x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs","use":"sig"}]}'
    )
    response = Response(
        200,
        {
            b"content-digest": b"sha-256=:CADMT2aBdV/rqQr/NIru64ERQkCobVvllA4V0fLFDu0=:",
            b"signature-input": b'binding=("@authority";req "content-digest");created=1735689600;expires=4889289600'
            b';keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";tag="http-message-signatures-directory"',
            b"signature": b"binding=:l6P8R67tm3kujAxbHWio7ll01qrEZ0dKD/WWlGhNYEmTnFZM8Wt0VQ9zqGfvo7T/UMkBxsigzChM1Gpz7gOVBg==:",
        },
    )
    keys = read_listed(read_json(body))
    request = DIRECTORY_REQUEST._replace(authority="signature-agent.test")
    assert prove(request, response, body, keys, NOW) == {"poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"}
    assert prove(request, response, body, keys, 1_735_689_539.0) == set()
