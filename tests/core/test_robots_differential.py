"""Our reading of robots.txt against Protego's, over the real files of large sites and over meddled ones."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from protego import Protego

from antiscrape.core.robots import Robots, product_token, read_line
from tests.fuzz import sized

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.conftest import Require

# What no request target holds, and what urllib takes for an authority: Protego never gets to see these as they are.
_NO_URL = re.compile(r"[#\x00-\x20]|^//")
_LONE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Asked(NamedTuple):
    """What two readers of one file answered: how many questions, and each on which they differ, with its reason."""

    questions: int
    reasons: list[str]


def spread(items: Iterable[bytes], most: int) -> list[bytes]:
    distinct = list(dict.fromkeys(items))
    return distinct[:: max(1, len(distinct) // most)][:most]


def names_in(body: bytes) -> list[str]:
    """Return some of the names on a file's user-agent lines, as they are written."""
    records = (read_line(line) for line in body.removeprefix(b"\xef\xbb\xbf").splitlines())
    named = spread((record.value for record in records if record and record.key == "user-agent"), 6)
    return [name.decode("utf-8", "replace") for name in named if name and b"*" not in name]


def paths_of(file: Robots, most: int) -> list[str]:
    """Make paths that a file's own rules are about, and some beside them."""
    paths = {"/", "/a/b?c=d"}
    for pattern in spread((rule.pattern for group in file.groups for rule in group.rules), most):
        text = pattern.decode("utf-8", "ignore").removesuffix("$").replace("*", "x/y")
        text = text if text.startswith("/") else "/" + text
        paths |= {text, text + "z.html", text[:-1] or "/"}
    return sorted(path for path in paths if not _NO_URL.search(path))


def explained(file: Robots, body: bytes, agent: str, path: str) -> str:
    """Name the reason of a difference, or return ``""``."""
    token = product_token(agent)
    early = {name for group in file.groups for name in group.early}
    if token in early or (token not in file.agents() and "*" in early):
        return "a record such as Crawl-delay between two user-agent lines: it ends no group (RFC 9309 §2.2.4)"
    if token != agent.lower() or any(product_token(name) == token != name.lower() for name in names_in(body)):
        return "a name that is no product token: it is read up to its first other character (RFC 9309 §2.2.1)"
    if any(_LONE_PERCENT.search(rule.pattern) for group in file.groups for rule in group.rules):
        return "half an escape: Protego and Google's parser take it for the start of any, ours for a % alone"
    return ""


def compare(body: bytes, most: int) -> Asked:
    """Put questions about a file to Protego and to ours."""
    ours, theirs = Robots.parse(body), Protego.parse(body.decode("utf-8-sig", "replace"))
    questions, reasons = 0, []
    for agent in (*names_in(body), "Googlebot", "Googlebot-Image", "GPTBot", "bingbot", "Nobody"):
        for path in paths_of(ours, most):
            questions += 1
            if ours.allows(agent, path.encode()) is not theirs.can_fetch(f"https://site.test{path}", agent):
                reasons.append(explained(ours, body, agent, path))
                assert reasons[-1], (agent, path, body[:400])
    return Asked(questions, reasons)


@pytest.fixture(scope="module")
def corpus(shared: Path, require: Require) -> list[bytes]:
    """250 files of large sites."""
    folder = shared / "corpora" / "robots" / "protego" / "tests" / "test_data"
    if not folder.is_dir():
        require("shared", "the shared data has no robots.txt files")
    return [source.read_bytes() for source in sorted(folder.iterdir())]


def test_real_files_are_read_as_protego_reads_them(corpus: list[bytes]) -> None:
    """RFC 9309's rules are kept where Protego is more generous than they are."""
    asked = [compare(body, most=sized(8, 25)) for body in corpus]
    questions = sum(answer.questions for answer in asked)
    reasons = Counter(reason for answer in asked for reason in answer.reasons)
    assert questions > 15_000
    assert reasons.total() <= 0.005 * questions, reasons


def mutated(body: bytes, chance: Random) -> bytes:
    """Drop, double or swap a line, change a byte, cut the file off, or end its lines in another way."""
    lines = body.splitlines(keepends=True) or [b""]
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            place = chance.randrange(len(body) or 1)
            return body[:place] + bytes([chance.choice(b"*$%?/#: \n\tAz-")]) + body[place + 1 :]
        case 4:
            return body[: chance.randrange(len(body) + 1)]
        case _:
            return b"\r".join(body.splitlines())
    return b"".join(lines)


def test_files_that_were_meddled_with_are_read_as_protego_reads_them(corpus: list[bytes]) -> None:
    """One of each, from a fixed seed; ``make fuzz`` takes four."""
    chance = Random(9309)
    asked = []
    for body in itertools.chain(*[corpus] * sized(1, 4)):
        broken = mutated(mutated(body, chance), chance)
        asked.append(compare(broken, most=3))
    questions = sum(answer.questions for answer in asked)
    reasons = Counter(reason for answer in asked for reason in answer.reasons)
    assert questions > 10_000
    assert reasons.total() <= 0.005 * questions, reasons
