"""``antiscrape explain``: what it says of real clients, of visits, and of what is no request."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from antiscrape.cli import main
from antiscrape.core.signals import SIGNALS
from antiscrape.operate.pasted import PEER

ROOT = Path(__file__).parents[2]
SECRET = "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f"

CURL = """\
* Host photos.example:443 was resolved.
> GET /media/1281.jpg HTTP/1.1
> Host: photos.example
> User-Agent: curl/7.88.1
> Accept: */*
>\x20
< HTTP/1.1 200 OK
< content-type: image/jpeg
{ [5 bytes data]
"""
REQUESTS = """\
GET /media/1300.jpg HTTP/1.1\r
Host: photos.example\r
User-Agent: python-requests/2.34.2\r
Accept-Encoding: gzip, deflate, br\r
Accept: */*\r
Connection: keep-alive\r
\r
"""
CHROMIUM = """\
GET /media/1300.jpg HTTP/1.1
Host: photos.example
Connection: keep-alive
sec-ch-ua-platform: "Linux"
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36
sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"
sec-ch-ua-mobile: ?0
Accept: image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: no-cors
Sec-Fetch-Dest: image
Referer: https://photos.example/
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
"""
FIREFOX = """\
GET /media/1300.jpg HTTP/1.1
Host: photos.example
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0
Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5
Accept-Language: en-US,en;q=0.9
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
Referer: https://photos.example/
Sec-Fetch-Dest: image
Sec-Fetch-Mode: no-cors
Sec-Fetch-Site: same-origin
Priority: u=5, i
"""
LYNX = """\
GET /u/ada HTTP/1.0
Host: photos.example
Accept: text/html, text/plain, text/sgml, text/css, */*;q=0.01
Accept-Encoding: gzip, bzip2
Accept-Language: en
User-Agent: Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.7.8
"""
BROWSERS_TOOLS = """\
:authority: photos.example
:method: GET
:path: /media/1300.jpg
:scheme: https
accept: image/avif,image/webp,*/*;q=0.8
user-agent: python-requests/2.34.2
"""


def explain(text: str | bytes, *arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["explain", *arguments], input=text, env={"ANTISCRAPE_SECRET": SECRET})
    assert done.exit_code == status, done.output
    assert "Traceback" not in done.output
    return done.output


def story(text: str, *arguments: str) -> dict[str, object]:
    told = json.loads(explain(text, "--json", *arguments))
    assert isinstance(told, dict)
    return told


def paragraphs(output: str) -> dict[str, str]:
    """Return each paragraph's text by its title, on one line."""
    told: dict[str, str] = {}
    title = ""
    for line in output.splitlines()[1:]:
        title = line[:10].strip() or title
        told[title] = re.sub(r"\s+", " ", f"{told.get(title, '')} {line[10:]}").strip()
    return told


def test_curl_is_a_program_that_gets_previews() -> None:
    told = paragraphs(explain(CURL))
    assert told["verdict"] == "The request is admitted."
    assert told["standing"].startswith("bot: ")
    assert re.search(r"score 70 \(unknown from 25, bot from 40, banned from \d+\)", told["standing"])
    assert f"{PEER}: the peer of the connection." in told["who"]
    assert "its neighbours as 198.51.100.0/24" in told["who"]
    assert told["what"] == "an image; route /media/**"
    assert told["signals"].startswith("40 agent-is-a-tool (agents) The User-Agent names a program or library")
    assert "source: RFC 9110 §12.5.4" in told["signals"]
    assert "requests 120/min (1 so far) originals 0" in told["budgets"]
    assert told["image"] == "A preview, with nothing of a face left."
    assert "Without agent-is-a-tool the score would be 30, under 40: unknown." in told["change"]
    assert "accept-language-missing the score would be 10, under 25: browser." in told["change"]


def test_python_requests_needs_one_signal_less_to_be_unknown() -> None:
    told = paragraphs(explain(REQUESTS))
    assert "requests" in told["who"].partition("User-Agent says: tool")[2]
    assert "score 60" in told["standing"]
    assert "Without agent-is-a-tool the score would be 20, under 40: browser." in told["change"]
    assert told["change"].count("Without") == 1


@pytest.mark.parametrize(
    ("head", "claim"),
    [(CHROMIUM, "browser (chromium 156 on Linux)"), (FIREFOX, "browser (gecko 153 on Linux)")],
)
def test_a_browser_gets_the_original_and_nothing_has_to_change(head: str, claim: str) -> None:
    told = paragraphs(explain(head))
    assert told["standing"].startswith("browser: looks like a browser in every way that can be seen")
    assert told["signals"] == "None: nothing speaks against it."
    assert claim in told["who"]
    assert "originals 40/10min, 60/day (1 so far)" in told["budgets"]
    assert told["image"].startswith("The original (taken for one of full size")
    assert told["change"] == "Nothing has to: no threshold is reached."


def test_lynx_is_a_persons_and_stays_a_browser() -> None:
    told = paragraphs(explain(LYNX))
    assert told["standing"].startswith("browser: ")
    assert "agent-names-no-platform" in told["signals"]
    assert "subject ada" in told["what"]
    assert told["image"].startswith("The original (within the budgets")


def test_all_forms_of_one_request_are_one_story() -> None:
    """With marks of curl, CRLF or LF, HTTP/2's pseudo-headers, the same as pairs of lines, JSON in two forms."""
    head = BROWSERS_TOOLS.splitlines()
    pairs = "\n".join(
        f"{name.rstrip(':')}\n{value}" for name, value in (line.rsplit(": ", 1) for line in head)
    )
    fields = [line.split(": ", 1) for line in head[4:]]
    names = [["Host", "photos.example"], *fields]
    shape = {"method": "GET", "target": "/media/1300.jpg", "http_version": "2"}
    plain = "GET /media/1300.jpg HTTP/2\nHost: photos.example\n" + "\n".join(head[4:])
    stories = [
        story(text)
        for text in (
            BROWSERS_TOOLS,
            pairs,
            plain,
            plain.replace("\n", "\r\n") + "\r\n\r\nbody",
            "".join(f"> {line}\n" for line in plain.split("\n")),
            json.dumps({**shape, "headers": names}),
            json.dumps({**shape, "headers": dict(names)}, indent=2),
            plain.replace("GET /media", "GET https://photos.example/media").replace(
                "Host: photos.example\n", ""
            ),
        )
    ]
    assert all(one == stories[0] for one in stories[1:])
    assert stories[0]["host"] == "photos.example"


def test_json_tells_what_the_prose_tells() -> None:
    told = story(CURL)
    verdict = told["verdict"]
    assert isinstance(verdict, dict)
    assert verdict.items() >= {
        "action": "admit", "rendition": "preview", "standing": "bot", "score": 70, "unknown_at": 25, "bot_at": 40,
        "ban_left": 0.0, "exceeded": None, "shadowed": False,
    }.items()  # fmt: skip
    assert told["changes"] == [
        {"below": 40, "without": ["agent-is-a-tool"], "score": 30, "standing": "unknown"},
        {"below": 25, "without": ["agent-is-a-tool", "accept-language-missing"], "score": 10, "standing": "browser"},
    ]  # fmt: skip
    signals = told["signals"]
    assert isinstance(signals, list)
    assert {sign["name"]: sign["source"] for sign in signals}.items() <= {
        name: signal.source for name, signal in SIGNALS.items()
    }.items()


def request(target: str, head: str = CHROMIUM, **more: object) -> str:
    return json.dumps(
        {"target": target, "headers": [line.split(": ", 1) for line in head.splitlines()[1:]], **more}
    )


def test_a_visit_shows_what_speaks_against_it_when_it_comes_up() -> None:
    output = explain("\n".join(request(f"/media/{number}.jpg") for number in range(60)))
    lines = output.splitlines()
    steps = [line.split() for line in lines if re.match(r" {0,3}\d+ ", line)]
    assert steps[0] == ["1", "0.0s", "GET", "/media/0.jpg", "image", "browser", "0", "original"]
    assert len(steps) == 60
    assert (steps[6][5], steps[-1][5], steps[-1][7]) == ("browser", "bot", "preview")
    news = [line.strip() for line in lines if line.startswith(" " * 17 + "+ ")]
    assert any("numbers-walked" in line for line in news)
    assert "".join(news).count("images-without-a-page") == 1
    assert "numbers-walked (navigation, of the visit)" in output
    assert max(map(len, lines)) <= 100


GALLERY = """
[[routes]]
pattern = "/photo/*"
kind = "page"
[[routes]]
pattern = "/static/**"
kind = "asset"
[[routes]]
pattern = "/thumbs/**"
kind = "image"
size = "thumbnail"
[[routes]]
pattern = "/media/**"
kind = "image"
"""


@pytest.fixture
def gallery(tmp_path: Path) -> tuple[str, str]:
    path = tmp_path / "gallery.toml"
    path.write_text(GALLERY)
    return "--config", str(path)


def person(pictures: int) -> str:
    """Return the requests of somebody who looks at one photo page after the other, small pictures and all."""
    lines = [request("/static/site.css")]
    for number in range(pictures):
        name = number * 37 % 1000
        lines += [request(f"/photo/{name}", answer="page"), request(f"/thumbs/{name}.jpg")]
        lines += [request(f"/media/{name}.jpg", answer="original")]
    return "\n".join(lines)


def test_a_spent_budget_is_named_with_its_wait(gallery: tuple[str, str]) -> None:
    told = story(person(41), *gallery)
    verdict, image, requests = told["verdict"], told["image"], told["requests"]
    assert isinstance(verdict, dict)
    assert isinstance(image, dict)
    assert isinstance(requests, list)
    assert (verdict["standing"], verdict["score"]) == ("browser", 0)
    assert verdict["exceeded"] == {"budget": "originals", "limit": "40/10min", "wait": 480.0, "shared": False}
    assert image["rendition"] == "preview"
    assert [step["verdict"]["rendition"] for step in requests] == ["original"] * 123 + ["preview"]
    output = explain(person(41), *gallery)
    assert "The budget of this client for originals, 40/10min, is spent; room again in 480 s." in output
    assert "originals  40/10min, 60/day   (40 so far)" in output
    assert paragraphs(output[output.index("GET https") :])["change"] == "Waiting 480 s, for the spent budget."


def test_the_time_of_a_request_may_be_told_and_never_runs_backwards(gallery: tuple[str, str]) -> None:
    lines = person(41).splitlines()
    assert "originals spent" in explain("\n".join(lines), *gallery)
    lines[-1] = json.dumps({**json.loads(lines[-1]), "time": 800})
    assert "originals spent" not in explain("\n".join(lines), *gallery)
    lines.append(request("/", time=799))
    assert explain("\n".join(lines), *gallery, status=2) == (
        "antiscrape: line 125: its time, 799, lies before that of the line above, 800\n"
    )


def test_a_ban_is_told_with_what_is_left_of_it(tmp_path: Path) -> None:
    path = tmp_path / "strict.toml"
    path.write_text("[score]\nbanned_at = 60\n")
    told = paragraphs(explain(CURL, "--config", str(path)))
    assert told["verdict"] == "The request is answered 403."
    assert told["budgets"] == "None: whoever is banned is refused."
    assert told["image"] == "Nothing: the request itself is not admitted."
    later = "\n".join([request("/", CURL_ALONE), request("/media/1.jpg", time=100)])
    output = explain(later, "--config", str(path))
    assert "banned: a ban of an earlier request runs for another 3500 s" in output


CURL_ALONE = "GET / HTTP/1.1\nHost: photos.example\nUser-Agent: curl/7.88.1\nAccept: */*"
TRUSTING = '[identity]\ntrusted_proxies = ["10.0.0.0/8"]\n[grants]\nprefixes = ["/media/"]\n'


def test_the_address_is_told_with_whose_word_it_is(tmp_path: Path) -> None:
    path = tmp_path / "behind.toml"
    path.write_text(TRUSTING)
    head = CHROMIUM + "X-Forwarded-For: 6.6.6.6, 203.0.113.9\n"
    believed = paragraphs(explain(head, "--config", str(path), "--peer", "10.1.2.3"))["who"]
    assert believed.startswith(
        "203.0.113.9: x-forwarded-for, which the trusted proxy 10.1.2.3 sent, read from the right."
    )
    ignored = paragraphs(explain(head, "--config", str(path)))["who"]
    assert ignored.startswith(f"{PEER}: the peer of the connection; its x-forwarded-for is not believed")
    v6 = paragraphs(explain(CHROMIUM, "--peer", "2001:db8:1:2::3"))["who"]
    assert "Counted as 2001:db8:1:2::/64, and with its neighbours as 2001:db8:1::/48." in v6


def test_a_grant_is_told_by_its_state(tmp_path: Path) -> None:
    path = tmp_path / "signed.toml"
    path.write_text(TRUSTING)
    without = paragraphs(explain(CHROMIUM, "--config", str(path)))
    assert without["grant"].startswith("None came")
    assert without["image"] == "A preview, with nothing of a face left."
    assert "A grant: the URL as a page of the site shows it" in without["change"]
    done = CliRunner().invoke(
        main, ["sign", "--config", str(path), "/media/1300.jpg"], env={"ANTISCRAPE_SECRET": SECRET}
    )
    signed = CHROMIUM.replace("/media/1300.jpg", done.stdout.strip())
    assert paragraphs(explain(signed, "--config", str(path)))["grant"] == "Valid."
    other = signed.replace("/media/1300.jpg", "/media/1301.jpg")
    assert paragraphs(explain(other, "--config", str(path)))["grant"].startswith(
        "Not one that this site's secret"
    )
    dated = request(done.stdout.strip(), time=2e9)
    assert paragraphs(explain(dated, "--config", str(path)))["grant"].startswith("Expired")


def test_shadow_and_off_are_said_in_the_verdict(tmp_path: Path) -> None:
    path = tmp_path / "mode.toml"
    path.write_text('[site]\nmode = "shadow"\n')
    assert "mode is shadow: this is recorded" in paragraphs(explain(CURL, "--config", str(path)))["verdict"]
    path.write_text('[site]\nmode = "off"\n')
    assert "mode is off" in paragraphs(explain(CURL, "--config", str(path)))["verdict"]


def test_an_untold_path_an_exempt_and_an_odd_one_are_called_so() -> None:
    untold = paragraphs(explain(CHROMIUM.replace("/media/1300.jpg", "/p/1300")))
    assert untold["what"].startswith("untold: the Content-Type of the answer will say; no route names it")
    assert untold["image"] == "The original (if the site answers with an image of full size)."
    exempt = paragraphs(explain("GET /robots.txt HTTP/1.1\nHost: a\n"))
    assert exempt["what"] == "exempt: never judged; route /robots.txt"
    assert "standing" not in exempt
    odd = paragraphs(explain("GET /static//x.css HTTP/1.1\nHost: a\n"))
    assert "spelled oddly" in odd["what"]


def test_what_cannot_be_judged_is_told_with_its_cause() -> None:
    told = paragraphs(explain("GET /media/../x HTTP/1.1\nHost: a\n"))
    assert told["verdict"].startswith("Refused with 400, unjudged: the path has")
    assert "no Host" in explain("GET / HTTP/1.1\n")
    assert story("GET / HTTP/1.1\nHost: a\nHost: b\n")["malformed"] == "two Host lines"


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
    """Of 500 seeded random inputs each is judged (0) or refused with words (2)."""
    seed = 20261122
    source = random.Random(seed)
    runner, ends = CliRunner(), {0: 0, 2: 0}
    for number in range(500):
        text = garbage(source)
        arguments = ["explain", "--json"] if number % 2 else ["explain"]
        done = runner.invoke(main, arguments, input=text, env={"ANTISCRAPE_SECRET": SECRET})
        assert done.exit_code in ends, (seed, number, text, done.exception)
        assert done.exit_code == 0 or done.stderr.startswith("antiscrape: ")
        ends[done.exit_code] += 1
    assert min(ends.values()) > 50, "one of the two ends is never reached, so the inputs prove little"


def test_the_command_reads_a_pipe(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")}
    done = subprocess.run(
        [sys.executable, "-c", "from antiscrape.cli import main; main()", "explain"],
        cwd=ROOT,
        env=own,
        input=CURL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("warning: no secret is set")
    assert done.stdout.startswith("GET https://photos.example/media/1281.jpg\n")
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_help_shows_how_to_ask() -> None:
    text = explain("", "--help")
    assert "curl -sv -o /dev/null https://photos.example/media/1.jpg 2>&1 | antiscrape explain" in text
