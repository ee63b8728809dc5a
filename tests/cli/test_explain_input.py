"""``antiscrape explain`` on what is no request, or a hostile one: words, never a traceback."""

from __future__ import annotations

import random

import pytest
from click.testing import CliRunner

from antiscrape.cli import main
from tests.cli.heads import (
    BROWSERS_TOOLS,
    CHROMIUM,
    CURL,
    FIREFOX,
    REQUESTS,
    SECRET,
    explain,
    person,
    request,
)
from tests.fuzz import times

WRONG = {
    "": "no request was given",
    "   \n\n": "no request was given",
    "hello": "line 1: 'hello' is not a request line",
    "GET / HTTP/1.1\nHost: a\nnonsense\n": "line 3: 'nonsense' is not a header field",
    "GET / HTTP/1.1\nHost: a\n folded\n": "line 3: ' folded' is not a header field",
    "GET / HTTP/1.1\nHost : a\n": "line 2: 'Host : a' is not a header field",
    "GET / HTTP/1.1\nX: a\x00b\n": "line 2: the value of X holds a control character",
    ":method: GET\n:scheme: https\n": "line 1: the request has no :path",
    ":method\nGET\n:path\n": "line 3: a header field without a value",
    ":method: GET\n:oddity: x\n": "line 2: ':oddity: x' is not a pseudo-header",
    "{}": "line 1: the request has no target",
    "[]": "line 1: expected one JSON object a line",
    '{"target": "/"}\n{"target": 1}': "line 2: target is not a text",
    '{"target": "/"}\n{"target"': "line 2: is not JSON",
    '{\n"target": "/",\n}': "line 3: is not JSON",
    '{"target": "/", "header": {}}': "line 1: 'header' is not a key",
    '{"target": "/", "headers": [["a"]]}': "line 1: headers holds something that is no pair of texts",
    '{"target": "/", "headers": {"a b": "c"}}': "line 1: 'a b' is not the name of a header field",
    '{"target": "/", "headers": {"a": "b\\r\\nc: d"}}': "line 1: the value of a holds a control character",
    '{"target": "/", "headers": 3}': "line 1: headers is neither an object nor a list of pairs",
    '{"target": "/a b"}': "line 1: the target is empty, or holds a space",
    '{"target": "/\\ud800"}': "line 1: holds half of a surrogate pair",
    '{"target": "/", "time": NaN}': "line 1: time is not a number of seconds",
    '{"target": "/", "time": true}': "line 1: time is not a number of seconds",
    '{"target": "/", "time": ' + "9" * 5000 + "}": "line 1: is not JSON that anybody writes",
    '{"target": ' + "[" * 100_000: "line 1: is not JSON that anybody writes",
    '{"target": "/", "scheme": "ftp"}': "line 1: scheme is neither http nor https",
    '{"target": "/", "http_version": "one"}': "line 1: http_version is not a version",
    '{"target": "/", "answer": "yes"}': "line 1: answer is none of original, thumbnail",
    '{"target": "/", "method": "G ET"}': "line 1: the method is not a word",
    b'{"target": "/\xff"}': "line 1: is not UTF-8",
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), WRONG.items(), ids=range(len(WRONG)))
def test_what_is_no_request_is_refused_with_its_line(text: str | bytes, words: str) -> None:
    assert explain(text, status=2).startswith(f"antiscrape: {words}")


@pytest.mark.security("J5")
def test_nothing_of_a_client_reaches_the_terminal_raw() -> None:
    hostile = request("/media/\x1b]0;\u202e\u2028\x9b.jpg".encode().decode("latin-1").replace("\x1b", "%1B"))
    head = "GET /\u202e\x9b HTTP/1.1\nHost: a\nUser-Agent: \x9b31m\u2028\n"
    for output in (
        explain(head),
        explain(hostile),
        explain(f"{hostile}\n{hostile}"),
        explain(head, "--json"),
    ):
        assert all(char.isprintable() or char == "\n" for char in output)


@pytest.mark.security("J9")
def test_the_secret_is_never_shown() -> None:
    for text in (CURL, BROWSERS_TOOLS):
        assert SECRET[:8] not in explain(text) + explain(text, "--json")


def garbage(random: random.Random) -> bytes:
    """Return a request with some of its bytes exchanged, doubled, cut or torn apart, or no request at all."""
    sample = random.choice([CURL, REQUESTS, CHROMIUM, FIREFOX, BROWSERS_TOOLS, request("/a"), person(2)])
    data = bytearray(sample.encode())
    pieces = (
        b"\r\n",
        b"\0",
        b"\xff",
        b": ",
        b"%2f",
        b'"',
        b"{",
        b"}",
        b"[",
        b"\\",
        b"\x1b",
        b"\n\n",
        b"> ",
        b"9" * 30,
    )
    for _ in range(random.randrange(1, 12)):
        at = random.randrange(len(data) + 1)
        match random.randrange(4):
            case 0:
                data[at:at] = random.choice(pieces)
            case 1:
                del data[at : at + random.randrange(1, 20)]
            case 2:
                data[at:at] = data[at : at + random.randrange(200)]
            case _:
                data[at : at + 1] = random.randbytes(1)
    return bytes(data) if random.random() < 0.9 else random.randbytes(random.randrange(300))


@pytest.mark.security("C1")
def test_no_input_ends_in_a_traceback() -> None:
    """Of 250 seeded random inputs, and more under ``make fuzz``, each is judged (0) or refused with words (2)."""
    seed = 20261122
    source = random.Random(seed)
    runner, ends = CliRunner(), {0: 0, 2: 0}
    count = times(250)
    for number in range(count):
        text = garbage(source)
        arguments = ["explain", "--json"] if number % 2 else ["explain"]
        done = runner.invoke(main, arguments, input=text, env={"ANTISCRAPE_SECRET": SECRET})
        assert done.exit_code in ends, (seed, number, text, done.exception)
        assert done.exit_code == 0 or done.stderr.startswith("antiscrape: ")
        ends[done.exit_code] += 1
    assert min(ends.values()) > count / 10, "one of the two ends is never reached, so the inputs prove little"
