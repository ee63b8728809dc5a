"""``antiscrape explain``: what it says of real clients, of visits, and of what is no request."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from antiscrape.cli import main
from antiscrape.core.signals import SIGNALS
from antiscrape.operate.pasted import PEER
from tests.cli.heads import (
    BROWSERS_TOOLS,
    CHROMIUM,
    CURL,
    FIREFOX,
    LYNX,
    REQUESTS,
    SECRET,
    explain,
    paragraphs,
    person,
    request,
    story,
)

ROOT = Path(__file__).parents[2]


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
    assert told["signals"].startswith("None")
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


def test_a_visit_shows_what_speaks_against_it_when_it_comes_up() -> None:
    output = explain("\n".join(request(f"/media/{number}.jpg") for number in range(60)))
    lines = output.splitlines()
    steps = [line.split() for line in lines if re.match(r" {0,3}\d+ ", line)]
    assert steps[0] == ["1", "0.0s", "GET", "/media/0.jpg", "image", "browser", "0", "original"]
    assert len(steps) == 60
    assert (steps[1][5], steps[-1][5], steps[-1][7]) == ("browser", "bot", "preview")
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


def test_a_pace_is_told_and_none_is_made_up(gallery: tuple[str, str]) -> None:
    """Requests without times are put a second apart: that is nobody's clock."""
    lines = person(12).splitlines()
    assert "cadence-too-regular" not in explain("\n".join(lines), *gallery)
    timed = [json.dumps({**json.loads(line), "time": place}) for place, line in enumerate(lines)]
    assert "cadence-too-regular" in explain("\n".join(timed), *gallery)


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
    assert "Counted as 2001:db8:1:2::/64, with its household as 2001:db8:1::/56, and with" in v6
    assert "its neighbours as 2001:db8:1::/48." in v6


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


def test_the_command_reads_a_pipe(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")}
    done = subprocess.run(
        [sys.executable, "-c", "from antiscrape.cli import main; main()", "explain"],
        cwd=ROOT,
        env=own,
        input=CURL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("warning: no secret is set")
    assert done.stdout.startswith("GET https://photos.example/media/1281.jpg\n")
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_help_shows_how_to_ask() -> None:
    text = explain("", "--help")
    assert "curl -sv -o /dev/null https://photos.example/media/1.jpg 2>&1 | antiscrape explain" in text
