"""What nobody should send: a verdict or a 4xx for all of it, one line of ASCII JSON at most, and no exception."""

from __future__ import annotations

import asyncio
import functools
import json
import random
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import antiscrape
from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Identity
from antiscrape.core.rules import IdentityRules
from antiscrape.evidence.events import encode
from antiscrape.settings.units import read_network
from tests.costs import ends
from tests.fuzz import FACTOR
from tests.house import answers, changed, drive, house, person, policy_of, scope_of, tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.house import Answer, House, Pairs

#: Every field that any room reads.
READ = (
    b"user-agent", b"accept", b"accept-language", b"accept-encoding", b"sec-fetch-dest", b"sec-fetch-mode",
    b"sec-fetch-site", b"sec-fetch-user", b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform", b"sec-purpose",
    b"referer", b"cookie", b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip", b"host",
    b"range", b"if-range", b"if-none-match", b"if-modified-since", b"x-antiscrape-user", b"content-length",
)  # fmt: skip
TRUSTING = {"ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["203.0.113.0/24"]'}
#: What may be answered to a request that an app answers 200.
JUDGED = {200, 206, 304, 403, 416, 429}


def naughty(shared: Path) -> list[bytes]:
    rows = json.loads((shared / "corpora/naughty-strings/blns.json").read_text())
    return [row.encode("utf-8", "surrogatepass") for row in rows]


def held(site: House, answer: Answer, *, before: int) -> None:
    """Hold an answer and what was recorded of it to the rule."""
    assert answer.status in JUDGED or 400 <= answer.status < 500, answer.status
    judged = (
        site.recorder.malformed + sum(site.recorder.plain.values()) + sum(site.recorder.verdicts.values())
    )
    assert judged == before + 1, "the request passed unjudged, or was judged twice"
    for event in site.ledger.events:
        line = encode(event)
        assert line.isascii()
        assert line.count(b"\n") == 1
        assert len(line) <= 8192
        assert isinstance(json.loads(line), dict)
    site.ledger.events.clear()


async def judged(site: House, path: str | bytes, headers: Pairs, **more: object) -> Answer:
    before = (
        site.recorder.malformed + sum(site.recorder.plain.values()) + sum(site.recorder.verdicts.values())
    )
    answer = await drive(site.app, scope_of(path, headers, **more))  # type: ignore[arg-type]  # any scope's field
    held(site, answer, before=before)
    return answer


@pytest.mark.security("D9")
@pytest.mark.security("J5")
def test_naughty_strings_in_every_field_and_in_the_path(shared: Path) -> None:
    rows = naughty(shared)
    assert len(rows) >= 485

    async def main() -> None:
        async with house(answers(b"{}", b"application/json"), policy_of(TRUSTING)) as site:
            for index, row in enumerate(rows):
                clean = bytes(byte for byte in row if byte not in b"\r\n\0")
                for name in READ:
                    headers = changed(person(), (name, clean))
                    await judged(site, "/api/x", headers, peer=f"203.0.113.{index % 250}")
                await judged(site, b"/" + clean.replace(b"?", b"%3F"), tool())
                await judged(site, b"/page?" + clean, tool())

    asyncio.run(main())


def await_all(*cases: Pairs) -> None:
    """Send each case, and hold it to the rule."""

    async def main() -> None:
        async with house(answers(b"{}", b"application/json"), policy_of(TRUSTING)) as site:
            for headers in cases:
                await judged(site, "/api/warm", person(), peer="192.0.2.1")
                with ends():
                    await judged(site, "/api/x", headers)

    asyncio.run(main())


@pytest.mark.security("C5")
@pytest.mark.security("D8")
@pytest.mark.parametrize("name", [b"x-forwarded-for", b"accept", b"cookie", b"x-other"])
def test_ten_thousand_lines_of_one_name_cost_little(name: bytes) -> None:
    """A list that is joined line by line costs the square of its lines; servers without a limit pass them all."""
    await_all([*person(), *[(name, b"192.0.2.1, " * 10)] * 10_000])


def test_five_thousand_names_are_too_many() -> None:
    await_all([*person(), *[(b"x-%d" % number, b"") for number in range(5000)]])


@pytest.mark.security("D8")
def test_oversized_and_repeated_fields_cost_little() -> None:
    """Each is 64 kB, 10,000 hops or everything twice; a millisecond of CPU is the goal, ten the bound."""
    cookies = b"; ".join([b'a="b'] * 13_000)
    hops = b", ".join([b"192.0.2.%d" % (n % 250) for n in range(10_000)])
    await_all(
        changed(person(), (b"cookie", cookies)),
        changed(person(), (b"cookie", b"=" * 65_536)),
        changed(person(), (b"x-forwarded-for", hops)),
        changed(person(), (b"forwarded", b"for=" + b'"' * 65_536)),
        changed(person(), (b"accept-language", b"a" + b",    " * 8000 + b"!")),
        changed(person(), (b"accept-language", b"en," * 21_000)),
        changed(person(), (b"sec-ch-ua", b'"Chromium";v="1", ' * 3600)),
        changed(person(), (b"user-agent", b"Mozilla/5.0 (iPhone" * 3400)),
        changed(person(), (b"range", b"bytes=" + b"0-1," * 16_000)),
        changed(person(), (b"if-none-match", b'"a",' * 16_000)),
        [pair for pair in person() for _ in range(2)],
        [pair for pair in person() if pair[0] != b"host" for _ in range(4)] + [(b"host", b"a.example")],
    )


SYNTAX = b"/\\%;?#&=.:@[]{}<>\"' \t\x00\x7f\x80\xff\xc0\xc1,*+~^|"


def noise(rng: random.Random, most: int) -> bytes:
    kind = rng.random()
    if kind < 0.3:
        return rng.randbytes(rng.randrange(most))
    if kind < 0.7:
        return bytes(rng.choice(SYNTAX + b"abc019") for _ in range(rng.randrange(most)))
    return bytes(rng.randrange(32, 127) for _ in range(rng.randrange(most)))


@pytest.mark.security("J5")
def test_scopes_of_noise_get_a_verdict_or_a_refusal() -> None:
    rng = random.Random(20_261)

    async def main() -> None:
        async with house(answers(b"{}", b"application/json"), policy_of(TRUSTING)) as site:
            for number in range(3000):
                headers = rng.choice([person, tool])()
                for _ in range(rng.randrange(5)):
                    value = noise(rng, 80)
                    headers = changed(headers, (rng.choice(READ), value))
                    if rng.random() < 0.2:
                        headers = [*headers, (rng.choice(READ), noise(rng, 20))]
                rng.shuffle(headers)
                path = b"/" * (rng.random() < 0.9) + noise(rng, 60)
                await judged(
                    site,
                    path,
                    headers,
                    method=rng.choice(["GET", "HEAD", "POST", "get", "\xe9", ""]),
                    peer=rng.choice(
                        ["203.0.113.7", "::ffff:203.0.113.7", "", "fe80::1%eth0", None, f"n{number}"]
                    ),
                    scheme=rng.choice(["http", "https", "ws", ""]),
                    http_version=rng.choice(["1.0", "1.1", "2", "9"]),
                )

    asyncio.run(main())


@pytest.mark.security("B12")
@pytest.mark.parametrize(
    "host",
    [b"", b" ", b"a,b", b"user@photos.example", b"a b", b"caf\xc3\xa9.example", b"a" * 300, b"a:b", b"a:123456",
     b"photos.example/x?", b"[::1", b"[::1]x", b"-a", b".", b"a\x00", b"http://a", b"[fe80::1%25eth0]"],
)  # fmt: skip
def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    async def main() -> None:
        async with house(answers(b"x", b"text/plain")) as site:
            assert (await judged(site, "/", changed(person(), (b"host", host)))).status == 400

    asyncio.run(main())


@pytest.mark.security("B12")
@pytest.mark.parametrize("hosts", [[], [b"a.example", b"a.example"], [b"a.example", b"b.example"]])
def test_no_host_and_two_hosts_are_refused(hosts: list[bytes]) -> None:
    async def main() -> None:
        headers = [(b"host", host) for host in hosts] + changed(person(), (b"host", None))
        async with house(answers(b"x", b"text/plain")) as site:
            assert (await judged(site, "/", headers)).status == 400

    asyncio.run(main())


@pytest.mark.security("J5")
def test_a_line_stays_short_whatever_is_in_it() -> None:
    """8 kB, even of a path, an agent and a list of findings that are each made of escapes."""
    longest = '\u2028\x1b[31m\n"\\' * 4000
    event = {
        "event": "verdict", "path": longest, "user_agent": longest, "host": longest, "subject": longest,
        "method": longest, "client": longest,
        "signals": [{"name": "x" * 30, "weight": 5, "sentence": "y" * 90} for _ in range(60)],
    }  # fmt: skip
    line = encode(event)
    assert len(line) <= 8192
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line)["event"] == "verdict"


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    """Yield every pattern that a module or a class of the package holds."""
    root = Path(antiscrape.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
        if "demo" in name.split(".") or name.endswith("__main__"):
            continue
        import_module(name)
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("antiscrape") or ".demo" in name:
            continue
        holders: list[tuple[str, Mapping[str, Any]]] = [(name, vars(module))]
        # Asked of its type: what Django makes when it is first looked at would be made by isinstance().
        holders += [
            (f"{name}.{key}", vars(value))
            for key, value in vars(module).items()
            if issubclass(type(value), type)
        ]
        for place, holder in holders:
            for key, value in list(holder.items()):
                if issubclass(type(value), re.Pattern):
                    yield f"{place}.{key}", value


PATTERNS = dict(patterns())
#: Patterns that only ever see text of a bounded length, and that bound, which the code keeps before them.
BOUNDED = {
    "antiscrape.core.agent._IOS": 1024,
    "antiscrape.core.agent._CHROMIUM": 1024,
    "antiscrape.core.agent._GECKO": 1024,
    "antiscrape.core.agent._WEBKIT": 1024,
    "antiscrape.core.signals.agents._URL": 512,
    "antiscrape.lookups.agents._NOT_ROBOTS": 1024,
    "antiscrape.lookups.agents._PEOPLES": 1024,
    "antiscrape.asgi.caching._DIRECTIVE": 8190,  # the site's own field, as long as servers take; linear
    "antiscrape.asgi.spelling._CANDIDATE": 16_384,  # quoted.LONGEST
    "antiscrape.settings.positions._TOKEN": 20_000,  # the operator's file; linear
}


#: Bytes of a subject for all other patterns.
LONG = 50_000 if FACTOR == 1 else 100_000


@functools.cache
def shapes(length: int) -> tuple[str, ...]:
    """Return attacks on backtracking: runs, alternations and near misses of what the patterns look for."""
    atoms = [
        "a", " ", ",", "a,", ", ", "a-", "a;q=", " \t", '"', '\\"', '="', "a=", "%", "%2", "/", "//", "./", "../",
        ":", "0", "1-", "for=", ";for=", '"Chromium";', '"Chromium"; v="', "(iPhone", "(iPhone OS 1", "Chrome/",
        "Version/1 ", "Gecko/1 ", "@", "a@", "a@a.", "http", "&", "&#", "&#x1", "<a ", "<!--", "url(", 'url("', "{", "*",
        "\\", "\\u00", "=", ";", "-", "_", ".", "x.", "\n", "é",
    ]  # fmt: skip
    runs = [(atom * (length // len(atom) + 1))[:length] for atom in atoms]
    return (*runs, *("x" + run[: length - 2] + "!" for run in runs))


@functools.cache
def calls() -> dict[str, set[str]]:
    """Return the methods by which the package's code calls its patterns, by the patterns' own names."""
    found: dict[str, set[str]] = {}
    call = re.compile(r"\b(\w+)\.(fullmatch|match|search|finditer|findall|sub|split)\(")
    for path in Path(antiscrape.__file__).parent.rglob("*.py"):
        for name, method in call.findall(path.read_text()):
            found.setdefault(name, set()).add(method)
    return found


def attack(pattern: re.Pattern[str] | re.Pattern[bytes], use: str, text: str) -> None:
    """Use ``pattern`` once on ``text``."""
    subject = text.encode("latin-1") if isinstance(pattern.pattern, bytes) else text
    method = getattr(pattern, use)
    if use == "sub":
        method(lambda _found: subject[:0], subject)
    elif use == "finditer":
        for _ in method(subject):
            pass
    else:
        method(subject)


@pytest.mark.security("D5")
@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_no_pattern_can_be_made_to_backtrack(name: str) -> None:
    """50 kB of each shape, by the methods that the code uses; short ones first, for a quick end.

    Work with the square of that is a minute's; ``make fuzz`` takes 100 kB.
    """
    pattern = PATTERNS[name]
    for length in (40, 1000, BOUNDED.get(name, LONG)):
        for shape in shapes(min(length, BOUNDED.get(name, length))):
            for use in sorted(calls().get(name.rpartition(".")[2], {"match"})):
                with ends():
                    attack(pattern, use, shape)


@pytest.mark.security("A9")
def test_bad_hops_are_read_to_an_end() -> None:
    (network,) = read_network("203.0.113.7")
    identity = Identity(IdentityRules(trusted_proxies=(network,)))
    chains = [
        b"unknown", b"_x", b"1.2.3", b"01.2.3.4", b"[::1", b"1.2.3.4:99999", b"fe80::1%eth0", b", " * 32_000,
        b", ".join([b"192.0.2.1"] * 10_000), b"1" * 65_536, b"[" * 65_536, b'"' * 65_536, b":" * 65_536,
    ]  # fmt: skip
    for chain in chains:
        with ends():
            found = identity.find("203.0.113.7", chain)
        assert found.address in {"203.0.113.7", "192.0.2.1"}


def test_limits_of_noise_are_read_or_refused() -> None:
    rng = random.Random(3)
    for _ in range(2000):
        text = "".join(rng.choice("0123456789./, dayhminskMB") for _ in range(rng.randrange(20)))
        try:
            for limit in parse_limits(text, sizes=rng.random() < 0.5):
                assert limit.amount >= 0
                assert limit.window > 0
        except ValueError:
            pass
