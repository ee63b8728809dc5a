"""What the site says about being crawled: the same in every language, and added to what it says itself."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.robotparser import RobotFileParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from protego import Protego

from antiscrape.core.crawler import Purpose
from antiscrape.core.preferences import PreferenceRules, Statements, Wish
from antiscrape.core.resource import Kind
from antiscrape.core.robots import LONGEST_FILE, Robots
from antiscrape.errors import ConfigurationError
from tests.costs import ends

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.conftest import Require

TOKENS = {
    Purpose.AI_TRAINING: ("GPTBot", "CCBot", "Google-Extended"),
    Purpose.AI_ASSISTANT: ("ChatGPT-User",),
    Purpose.SEARCH: ("Googlebot",),
}
TRAP = "/8f14e45fceea/"


def statements(*traps: str, **rules: Any) -> Statements:
    return Statements(PreferenceRules(**rules), tokens=TOKENS, traps=traps)


def merged(site: str, *traps: str, **rules: Any) -> str:
    body = statements(*traps, **rules).robots(site.encode())
    assert body is not None
    return body.decode()


def allowed(agent: str, path: str, text: str) -> bool:
    """Tell whether a file allows a path; by our reading and by Protego's, which must be one."""
    ours = Robots.parse(text.encode()).allows(agent, path.encode())
    theirs = Protego.parse(text.removeprefix("\ufeff")).can_fetch(f"https://site.test{path}", agent)
    assert ours is theirs, (agent, path)
    return ours


def test_a_site_without_a_file_is_given_one() -> None:
    file = statements(TRAP, license="https://site.test/license.xml", search=Wish.YES).robots(None)
    assert file == (
        b"# The uses that this file answers with no (n) are reserved by the holders of the rights in the content:\n"
        b"# an express reservation in the sense of Article 4(3) of Directive (EU) 2019/790.\n"
        b"License: https://site.test/license.xml\n"
        b"\n"
        b"User-agent: *\n"
        b"Disallow: /8f14e45fceea/\n"
        b"Content-Usage: / train-ai=n, search=y\n"
        b"Content-Signal: search=yes, ai-train=no\n"
        b"\n"
        b"User-agent: GPTBot\n"
        b"User-agent: CCBot\n"
        b"User-agent: Google-Extended\n"
        b"Content-Usage: / train-ai=n, search=y\n"
        b"Content-Signal: search=yes, ai-train=no\n"
        b"Disallow: /\n"
    )


def test_what_is_for_everyone_goes_into_every_group_behind_its_agents() -> None:
    site = "User-agent: *\nAllow: /\n\nUser-agent: Foo\nUser-agent: Bar\nDisallow: /x\nSitemap: https://site.test/s.xml"
    file = merged(site, TRAP, disallow=(), content_signal=False)
    said = f"Disallow: {TRAP}\nContent-Usage: / train-ai=n\n"
    assert file == (
        f"User-agent: *\n{said}Allow: /\n\nUser-agent: Foo\nUser-agent: Bar\n{said}Disallow: /x\n"
        "Sitemap: https://site.test/s.xml\n\n"
        "# The uses that this file answers with no (n) are reserved by the holders of the rights in the content:\n"
        "# an express reservation in the sense of Article 4(3) of Directive (EU) 2019/790.\n"
    )


def test_a_crawler_with_a_group_of_its_own_is_joined_by_a_group_of_its_name() -> None:
    """RFC 9309 §2.2.1: groups of one name are one. What the site allows by name is its own decision."""
    file = merged("User-agent: GPTBot\nAllow: /press/\nDisallow: /x\n\nUser-agent: ccbot\nAllow: /\n", TRAP)
    assert [allowed("GPTBot", path, file) for path in ("/press/1", "/a", TRAP)] == [True, False, False]
    assert [allowed("CCBot", path, file) for path in ("/a", TRAP)] == [True, False]
    assert [allowed("Google-Extended", path, file) for path in ("/a", TRAP)] == [False, False]
    assert [allowed("Googlebot", path, file) for path in ("/a", TRAP)] == [True, False]


@pytest.mark.parametrize("site", ["", "User-agent: Slow\nCrawl-delay: 9\n", "User-agent: *\n"])
def test_what_is_for_a_few_is_not_for_everyone(site: str) -> None:
    """RFC 9309 §2.2: a group without rules takes in the group behind it, and we must write none."""
    file = merged(site)
    assert [allowed(agent, "/", file) for agent in ("GPTBot", "Nobody", "Slow")] == [False, True, True]


@pytest.mark.parametrize("traps", [(), (TRAP,)])
def test_a_last_group_without_rules_is_closed_before_another_follows(traps: tuple[str, ...]) -> None:
    """Or it would take in ours: what was allowed everything would be disallowed everything."""
    file = merged("User-agent: *\nDisallow: /x\n\nUser-agent: Friend", *traps)
    assert [allowed("Friend", path, file) for path in ("/x", "/", TRAP)] == [True, True, not traps]
    assert not allowed("GPTBot", "/", file)


def test_a_reader_that_lets_crawl_delay_end_a_group_meets_the_traps_too() -> None:
    site = "User-agent: Slow\nCrawl-delay: 9\n\nUser-agent: *\nDisallow: /x\n"
    file = merged(site, TRAP)
    for agent in ("Slow", "Other"):
        assert not allowed(agent, TRAP, file)
    assert Protego.parse(file).crawl_delay("Slow") == 9
    assert Protego.parse(file).can_fetch("https://site.test/x", "Slow")
    assert not Robots.parse(file.encode()).allows("Slow", b"/x")  # as before: by the RFC they are one group


@pytest.mark.parametrize(
    "rule", ["Allow: /8f14e45fceea/", "Allow: /*/$", "Allow: /8f14e45fceea/**************", "Allow: /"]
)
def test_no_rule_of_the_site_outweighs_a_trap(rule: str) -> None:
    file = merged(f"User-agent: *\n{rule}\nDisallow: /x\n", TRAP)
    assert not allowed("Foo", TRAP, file)
    assert allowed("Foo", "/y", file)


def test_a_reader_that_takes_the_first_rule_and_the_first_group_meets_the_traps() -> None:
    """The standard library's, for one: it knows neither longest matches nor groups of one name."""
    for agent in ("Foo", "Other"):
        reader = RobotFileParser()
        reader.parse(
            merged("User-agent: Foo\nAllow: /\n\nUser-agent: *\nAllow: /\nDisallow: /x\n", TRAP).splitlines()
        )
        assert not reader.can_fetch(agent, f"https://site.test{TRAP}a")
        assert reader.can_fetch(agent, "https://site.test/a")


def test_what_the_site_says_itself_is_not_said_again() -> None:
    site = (
        "License: https://site.test/own.xml\nUser-agent: *\nContent-Usage: / train-ai=y\nDisallow:\n"
        "User-agent: Foo\ncontent-signal: ai-train=yes\nDisallow: /x\n"
    )
    file = merged(site, license="https://site.test/license.xml", disallow=())
    groups = {
        group.agents: [record.key for record in group.records] for group in Robots.parse(file.encode()).groups
    }
    assert groups == {
        ("*",): ["content-signal", "content-usage"],
        ("foo",): ["content-usage", "content-signal"],
    }
    assert "license.xml" not in file


def test_what_the_site_says_of_a_part_is_completed() -> None:
    """draft-ietf-aipref-attach: of Content-Usage rules the one of the longest path holds."""
    file = merged(
        "User-agent: *\nContent-Usage: /open/ train-ai=y\nDisallow: /x\n", disallow=(), content_signal=False
    )
    assert re.findall("Content-Usage: (.*)", file) == ["/ train-ai=n", "/open/ train-ai=y"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_end_as_the_sites_do_and_its_mark_stays_in_front(ending: str, mark: str) -> None:
    site = mark + ending.join(["User-agent: *", "Disallow: /x", "", "User-agent: Foo", "Disallow: /y"])
    file = merged(site, TRAP)
    assert file.startswith(mark + "User-agent: *")
    assert set(re.findall(r"\r?\n|\r", file)) == {ending}
    assert not allowed("Foo", TRAP, file)
    assert not allowed("Foo", "/y", file)


def test_a_page_that_a_site_answers_everything_with_is_no_robots_file() -> None:
    assert merged("\n <!doctype html><title>Allow: /</title>", TRAP) == merged("", TRAP)


def test_what_cannot_be_extended_is_left_alone() -> None:
    """Beyond 500 KiB nobody needs to read (RFC 9309 §2.5), and UTF-16 is no extension of ASCII."""
    made = statements(TRAP)
    assert made.robots("User-agent: *\nDisallow: /x\n".encode("utf-16")) is None
    assert made.robots(b"#" * (LONGEST_FILE + 1)) is None
    assert made.robots(b"#" * (LONGEST_FILE - 10)) is None
    assert made.robots(b"#" * (LONGEST_FILE - 1_000)) is not None


@pytest.mark.parametrize("site", [None, b"", b"User-agent: *\nDisallow: /x\n"])
def test_nothing_to_say_is_no_change(site: bytes | None) -> None:
    silent = {"disallow": (), "content_usage": False, "content_signal": False}
    assert statements(**silent).robots(site) is None
    assert statements(TRAP, robots=False).robots(site) is None
    assert statements(tdmrep=False).tdmrep(site) is None


def test_a_wish_is_said_alike_in_every_language() -> None:
    for train, search, answer in itertools.product(Wish, repeat=3):
        made = statements(train=train, search=search, answer=answer, disallow=())
        fields = dict(made.fields(Kind.IMAGE))
        usage = [
            f"{key}={wish.value[0]}"
            for key, wish in (("train-ai", train), ("search", search))
            if wish is not Wish.UNSTATED
        ]
        signal = [f"{key}={wish.value}" for key, wish in (("search", search), ("ai-input", answer), ("ai-train", train))
                  if wish is not Wish.UNSTATED]  # fmt: skip
        assert fields.get(b"content-usage", b"").decode() == ", ".join(usage)
        file = (made.robots(None) or b"").decode()
        assert re.findall("^Content-Usage: / (.*)$", file, re.MULTILINE) == (
            [", ".join(usage)] if usage else []
        )
        assert re.findall("^Content-Signal: (.*)$", file, re.MULTILINE) == (
            [", ".join(signal)] if signal else []
        )
        assert ("2019/790" in file) is (Wish.NO in {train, search, answer})


def test_fields_go_with_what_can_be_used() -> None:
    made = statements(license="https://site.test/l.xml", tdm_policy="https://site.test/p.json")
    everything = (
        (b"content-usage", b"train-ai=n"),
        (b"tdm-reservation", b"1"),
        (b"tdm-policy", b"https://site.test/p.json"),
        (b"x-robots-tag", b"noai, noimageai"),
        (b"link", b'<https://site.test/l.xml>; rel="license"; type="application/rsl+xml"'),
    )
    for kind in (Kind.IMAGE, Kind.PAGE, Kind.SUBJECT):
        assert made.fields(kind) == everything
    assert made.fields(Kind.API) == tuple(pair for pair in everything if pair[0] != b"x-robots-tag")
    for kind in (Kind.ASSET, Kind.EXEMPT, Kind.TRAP, Kind.UNTOLD):
        assert made.fields(kind) == ()
    off = {"content_usage": False, "tdmrep": False, "noai": False}
    assert statements(**off, tdm_policy="https://site.test/p.json").fields(Kind.IMAGE) == ()


def test_tdmrep_has_our_entry_last_and_none_behind_one_for_everything() -> None:
    """W3C TDMRep: the first entry that matches holds."""
    made = statements(tdm_policy="https://site.test/p.json")
    ours = {"location": "/", "tdm-reservation": 1, "tdm-policy": "https://site.test/p.json"}
    assert json.loads(made.tdmrep(None) or b"") == [ours]
    site = [{"location": "/open/", "tdm-reservation": 0}]
    assert json.loads(made.tdmrep(json.dumps(site).encode()) or b"") == [*site, ours]
    for left in (
        b'[{"location": "*", "tdm-reservation": 0}]',
        b"{}",
        b"[1]",
        b"<html>",
        b"\xff",
        b"[NaN]",
        b"[" * 200_000,
    ):
        assert made.tdmrep(left) is None


@pytest.mark.parametrize(
    "url",
    ["site.test/l.xml", "ftp://site.test/l", "https://site.test/a b", "https://site.test/\r\nX: y", 'https://s.test/">', "https://s.test/é", "https://", "https://s.test/#x"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["license", "tdm_policy"])
def test_a_url_that_would_break_out_of_its_line_stops_the_start(name: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"preferences\.{name}"):
        PreferenceRules(**{name: url})  # type: ignore[arg-type]  # the name decides, and these two are strings


def test_a_token_or_a_path_that_is_none_stops_the_start() -> None:
    for token in ("", "a b", "a\nDisallow: /", "*", "Foo/1.0"):
        with pytest.raises(ConfigurationError, match="product token"):
            Statements(PreferenceRules(), tokens={Purpose.AI_TRAINING: (token,)})
    for trap in ("", "trap", "/a b", "/a\nAllow: /", "/a#", "/*", "/a$"):
        with pytest.raises(ConfigurationError, match="trap path"):
            Statements(PreferenceRules(), tokens={}, traps=(trap,))


def test_one_crawler_of_two_purposes_is_named_once() -> None:
    file = Statements(PreferenceRules(disallow=(Purpose.AI_TRAINING, Purpose.ARCHIVE)),
                      tokens={Purpose.AI_TRAINING: ("CCBot",), Purpose.ARCHIVE: ("ccbot", "ia_archiver")}).robots(None)  # fmt: skip
    assert [line for line in (file or b"").splitlines() if line.lower().startswith(b"user-agent: cc")] == [
        b"User-agent: ccbot"
    ]


def check_merge(body: bytes, agents: Iterable[str], paths: Iterable[str]) -> None:
    """Hold a merge to its promise, by our reading and by Protego's."""
    made = statements(TRAP, disallow=(Purpose.AI_TRAINING,))
    result = made.robots(body)
    assert result is not None
    kept = iter(result.splitlines())
    assert all(line in kept for line in body.splitlines())  # the site's own lines, all, and in their order
    before, after = Robots.parse(body), Robots.parse(result)
    text_before, text_after = (text.decode("utf-8-sig", "replace") for text in (body, result))
    old, new = Protego.parse(text_before), Protego.parse(text_after)
    named = {token.lower() for token in TOKENS[Purpose.AI_TRAINING]}
    for agent in agents:
        assert not after.allows(agent, TRAP.encode()), agent
        assert not new.can_fetch(f"https://site.test{TRAP}", agent), agent
        for path in paths if agent.lower() not in named else ():
            assert after.allows(agent, path.encode()) is before.allows(agent, path.encode()), (agent, path)
            url = f"https://site.test{path}"
            assert new.can_fetch(url, agent) is old.can_fetch(url, agent), (agent, path)
    for token in TOKENS[Purpose.AI_TRAINING]:
        if token.lower() not in before.agents():
            assert not any(after.allows(token, path.encode()) for path in paths), token
            assert not any(new.can_fetch(f"https://site.test{path}", token) for path in paths), token


def test_real_files_keep_their_meaning_and_gain_ours(shared: Path, require: Require) -> None:
    """250 files of large sites, read by our parser and by Protego."""
    folder = shared / "corpora" / "robots" / "protego" / "tests" / "test_data"
    if not folder.is_dir():
        require("shared", "the shared data has no robots.txt files")
    for source in sorted(folder.iterdir()):
        body = source.read_bytes()
        if body.lstrip().startswith(b"<"):  # some sites answer with a page
            continue
        file = Robots.parse(body)
        rules = [rule.pattern.decode("utf-8", "ignore") for group in file.groups for rule in group.rules]
        paths = {"/"} | {
            "/" + re.sub(r"[*$#\s]", "", rule).lstrip("/") for rule in rules[:: max(1, len(rules) // 8)]
        } - {"/robots.txt"}
        named = file.agents()[:: max(1, len(file.agents()) // 8)]
        check_merge(body, (*(name for name in named if name != "*"), "Googlebot", "GPTBot", "Nobody"), paths)


_PATTERNS = st.sampled_from(
    ["", "/", "/x", "/x/", "/*", "/*x$", "/x$", TRAP, TRAP + "*", "/8f", "/*/**************"]
)
_SITE = st.lists(
    st.one_of(
        st.builds("User-agent: {}".format, st.sampled_from(["*", "a", "b", "a-b", "GPTBot"])),
        st.builds("{}: {}".format, st.sampled_from(["Allow", "Disallow"]), _PATTERNS),
        st.sampled_from(["Crawl-delay: 1", "Sitemap: x", "", "#x", "Content-Usage: / train-ai=y", "junk", "License: y"]),
    ),
    max_size=14,
)  # fmt: skip


@given(_SITE, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_every_file_keeps_its_meaning_and_gains_ours(lines: list[str], ending: str, ended: bool) -> None:  # noqa: FBT001  drawn
    body = (ending.join(lines) + (ending if ended else "")).encode()
    check_merge(body, ("a", "b", "a-b", "c", "GPTBot"), ("/", "/x", "/x/y", "/y"))


@pytest.mark.security("D5")
def test_a_hostile_file_of_the_site_is_extended_in_linear_time() -> None:
    """Agents times records, agents times groups, and rules that match a trap: each takes minutes where one is."""
    agents = b"".join(b"User-agent: a%d\n" % n for n in range(9_000))
    usages = b"".join(b"Content-Usage: /%d train-ai=y\n" % n for n in range(7_000))
    groups = b"".join(b"User-agent: a\nAllow: /*%d\n" % n for n in range(3_000))
    with ends(20):
        for body in (
            agents + usages,
            groups,
            agents + groups,
            b"User-agent: *\nAllow: /" + b"*/" * 200_000,
        ):
            assert statements(TRAP).robots(body) is not None


@given(_SITE)
@example(["User-agent: *", "Allow: ", "Content-Usage: / train-ai=y", "User-agent: *", "User-agent: GPTBot"])
def test_a_file_that_passes_twice_says_nothing_twice(lines: list[str]) -> None:
    """As behind two of us: the second adds no statement that the first has made."""
    made = statements(license="https://site.test/l.xml")
    once = made.robots("\n".join(lines).encode()) or b""
    twice = made.robots(once) or b""
    for key in (b"Content-Usage", b"Content-Signal", b"License"):
        assert twice.count(key) == once.count(key)


@given(st.binary(max_size=300))
def test_any_bytes_can_be_extended(body: bytes) -> None:
    result = statements(TRAP).robots(body)
    if result is None:
        assert b"\0" in body
    else:
        assert not Robots.parse(result).allows("Foo", TRAP.encode())
        assert not Robots.parse(result).allows("GPTBot", b"/") or b"gptbot" in body.lower()
