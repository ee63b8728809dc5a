"""Who may fetch what, by RFC 9309: its rules as tables and hostile files."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.robots import LONGEST_FILE, Robots, canonical, product_token, read_line
from tests.costs import calls_of, ends


def robots(*lines: str) -> Robots:
    return Robots.parse("\n".join(lines).encode())


def allows(pattern: str, path: str) -> bool:
    """Tell whether one disallowing rule lets a path pass."""
    return robots("User-agent: *", f"Disallow: {pattern}").allows("Foo", path.encode())


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("/", "/anything?at=all", False),
        ("", "/anything", True),
        ("/fish", "/fish.html", False),
        ("/fish", "/Fish", True),
        ("/fish", "/catfish", True),
        ("/fish/", "/fish", True),
        ("/fish*", "/fishheads/yummy.html?id=1", False),
        ("/*.php", "/folder/any.php.file.html", False),
        ("/*.php", "/folder/", True),
        ("/*.php$", "/filename.php", False),
        ("/*.php$", "/filename.php?parameters", True),
        ("/*.php$", "/a.php/b.php", False),
        ("/fish*.php", "/fishheads/catfish.php?parameters", False),
        ("/fish*.php", "/Fish.PHP", True),
        ("/a*a$", "/a", True),
        ("/a*a$", "/aa", False),
        ("/a$b", "/a$b", False),
        ("/a$", "/a", False),
        ("/a$", "/ab", True),
        ("*", "/x", False),
        ("*.gif$", "/x.gif", False),
        ("fish", "/fish", True),
        ("/*/*/*/x", "/1/2/3/x", False),
        ("/*/*/*/x", "/1/2/x", True),
        ("/ab*b", "/ab", True),
        ("/x**y", "/x-y", False),
        ("/*?", "/search?q=1", False),
        ("/*?", "/search%3Fq", True),
        ("/a/b", "/a%2Fb", True),
    ],
)  # fmt: skip
def test_a_pattern_matches_from_the_start_and_as_its_special_characters_say(
    pattern: str, path: str, *, allowed: bool
) -> None:  # RFC 9309 §2.2.2 and §2.2.3
    assert allows(pattern, path) is allowed


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A//foo.bar"),
        ("/foo/bar/ツ", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%e3%83%84", "/foo/bar/ツ"),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
        ("/foo/bar/baz", "/foo/bar/%62%61%7a"),
        ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html"),
        ("/path/foo-%24", "/path/foo-$"),
        ("/100%", "/100%25"),
        ("/a b", "/a%20b"),
        ("/%2f", "/%2F"),
    ],
)
def test_two_spellings_of_one_path_are_one(pattern: str, path: str) -> None:
    """RFC 9309 §2.2.2, its table of encodings, and that of §2.2.3."""
    assert not allows(pattern, path)


def test_an_escaped_star_is_a_star_and_no_wildcard() -> None:
    assert allows("/a%2Ab", "/a-b")
    assert not allows("/a%2Ab", "/a%2ab")


@given(st.binary(max_size=60))
def test_the_canonical_spelling_is_ascii_and_stays(path: bytes) -> None:
    spelled = canonical(path)
    assert spelled.isascii()
    assert b" " not in spelled
    assert canonical(spelled) == spelled


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        (("Allow: /p", "Disallow: /"), "/page", True),
        (("Disallow: /folder", "Allow: /folder"), "/folder/page", True),
        (("Allow: /page", "Disallow: /*.htm"), "/page.htm", False),
        (("Allow: /x/page.", "Disallow: /*.html"), "/x/page.html", True),
        (("Allow: /$", "Disallow: /"), "/", True),
        (("Allow: /$", "Disallow: /"), "/page.htm", False),
        (("Allow: /example/page/", "Disallow: /example/page/disallowed.gif"), "/example/page/disallowed.gif", False),
        (("Disallow: /ab*", "Allow: /a**"), "/abc", True),
        (("Allow: /longer/than", "Disallow: /a****************"), "/a", False),
    ],
)  # fmt: skip
def test_the_rule_of_most_octets_wins_and_of_equals_the_one_that_allows(
    rules: tuple[str, ...], path: str, *, allowed: bool
) -> None:
    for order in itertools.permutations(rules):
        assert robots("User-agent: *", *order).allows("Foo", path.encode()) is allowed


def test_groups_of_one_agent_are_one_group() -> None:
    """RFC 9309 §2.2.1, its table of merged groups."""
    file = robots(
        "user-agent: ExampleBot", "disallow: /foo", "disallow: /bar", "", "user-agent: examplebot", "disallow: /baz"
    )  # fmt: skip
    assert [file.allows("EXAMPLEBOT", path) for path in (b"/foo", b"/bar", b"/baz", b"/qux")] == [
        False
    ] * 3 + [True]
    assert file.agents() == ("examplebot",)


def test_an_agent_with_a_group_of_its_own_obeys_no_other() -> None:
    file = robots(
        "User-agent: *", "Disallow: /", "User-agent: Foo", "User-agent: Bar", "Disallow: /x", "User-agent: Q"
    )
    assert file.allows("Foo", b"/y")
    assert file.allows("bar", b"/y")
    assert not file.allows("Bar", b"/x")
    assert file.allows("Q", b"/x")  # §2.1: the last group may have no rules
    assert not file.allows("Baz", b"/y")
    assert not file.allows("", b"/y")
    assert file.disallows_everyone(b"/y")
    assert not file.disallows_everyone(b"/robots.txt")
    assert not robots("User-agent: Foo", "Disallow: /").disallows_everyone(b"/")


def test_the_most_specific_name_counts() -> None:
    file = robots(
        "User-agent: Googlebot", "Disallow: /a", "User-agent: Googlebot-Image", "Disallow: /b", "User-agent: *",
        "Disallow: /c",
    )  # fmt: skip
    told = {agent: [path for path in (b"/a", b"/b", b"/c") if not file.allows(agent, path)]
            for agent in ("Googlebot", "Googlebot-Image", "Googlebot-News", "Googlebots", "Google")}  # fmt: skip
    assert told == {
        "Googlebot": [b"/a"], "Googlebot-Image": [b"/b"], "Googlebot-News": [b"/a"], "Googlebots": [b"/c"],
        "Google": [b"/c"],
    }  # fmt: skip


def test_other_records_are_kept_and_end_no_group() -> None:
    """RFC 9309 §2.2.4."""
    file = robots(
        "Host: example.org", "User-agent: BarBot", "Sitemap: https://foo.bar/sitemap", "Crawl-Delay: 5",
        "User-agent: *", "Disallow: /", "Content-Usage: / train-ai=n", "SITE-MAP: https://foo.bar/2",
    )  # fmt: skip
    assert not file.allows("BarBot", b"/")
    assert not file.allows("FooBot", b"/")
    assert file.sitemaps == ("https://foo.bar/sitemap", "https://foo.bar/2")
    assert file.records == (("host", b"example.org"),)
    (group,) = file.groups
    assert group.records == (("crawl-delay", b"5"), ("content-usage", b"/ train-ai=n"))
    assert (group.agents, group.early, group.opened) == (("barbot", "*"), ("barbot",), 4)


def test_rules_before_the_first_group_are_ignored() -> None:
    assert robots("Disallow: /", "User-agent: *", "Disallow: /x").allows("Foo", b"/y")


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", ["", "end"])
def test_a_file_may_end_its_lines_in_any_way_and_start_with_a_mark(
    ending: str, start: bytes, last: str
) -> None:
    text = ending.join(["User-Agent : Foo # who", "\tDisallow:/x # where", "#", "", "ALLOW\t:\t/x/y"])
    file = Robots.parse(start + (text + (ending if last else "")).encode())
    assert [file.allows("foo", path) for path in (b"/x", b"/x/y", b"/z")] == [False, True, True]


@pytest.mark.parametrize(
    "line",
    [
        "Dissallow: /x",
        "dissalow: /x",
        "Disalow: /x",
        "Diasllow: /x",
        "DISALLAW: /x",
        "disallow /x",
        "Disallow\t\t/x",
    ],
)
@pytest.mark.parametrize(
    "name", ["User-agent: *", "Useragent: *", "user agent: *", "user-agent *", "User-agent: * # all"]
)
def test_what_crawlers_accept_is_accepted(line: str, name: str) -> None:
    assert not robots(name, line).allows("Foo", b"/x")


def test_a_line_that_is_none_is_passed_over() -> None:
    assert [read_line(line) for line in (b"", b"#", b": /x", b"disallow", b"disallow /a /b", b"   ")] == [
        None
    ] * 6
    assert product_token("MJ12bot/v1.4.8 (http://mj12bot.com/)") == "mj12bot"
    assert product_token(" Sogou web spider") == "sogou"
    assert product_token("*bot") == ""
    assert product_token("") == ""


@pytest.mark.security("D5")
def test_a_long_name_of_a_client_costs_no_more_than_a_short_one() -> None:
    """It is shortened from dash to dash until a group has it, so dashes must be bounded."""
    file = robots("User-agent: *", "Disallow: /")
    costs = [calls_of(lambda name=name: file.allows(name, b"/x")) for name in ("a-" * 64, "a-" * 4_000)]  # type: ignore[misc]  # mypy infers no default
    assert costs[0] == costs[1]


def test_a_file_is_read_up_to_its_last_whole_line_within_500_kib() -> None:
    """RFC 9309 §2.5. A line that is cut off may say more than it did: "/private" would become "/"."""
    head = b"User-agent: *\nDisallow: /first\n"
    line = b"Disallow: /private\n"
    filler = b"#" * (LONGEST_FILE - len(head) - len(line) + 8 - 1) + b"\n"
    file = Robots.parse(head + filler + line)
    assert len(head + filler) + len(b"Disallow: /") == LONGEST_FILE
    assert not file.disallows_everyone(b"/private")
    assert file.disallows_everyone(b"/first")
    assert Robots.parse(head + filler[8:] + line).disallows_everyone(b"/private")


@given(st.binary(max_size=200), st.binary(max_size=40), st.text(max_size=20))
def test_any_bytes_are_a_file_any_bytes_a_path_and_any_text_an_agent(
    body: bytes, path: bytes, agent: str
) -> None:
    file = Robots.parse(body)
    assert file.allows(agent, path) in {True, False}
    assert file.allows(agent, b"/robots.txt?x")


_LINES = st.lists(
    st.one_of(
        st.sampled_from(["User-agent: a", "User-agent: b", "User-agent: *", "Crawl-delay: 1", "Sitemap: x", "", "#"]),
        st.builds("{}: {}".format, st.sampled_from(["Allow", "Disallow"]), st.from_regex(r"/[ab*?%$]{0,6}", fullmatch=True)),
    ),
    max_size=12,
)  # fmt: skip


def by_the_book(lines: list[str], agent: str, path: str) -> bool:
    """Answer as RFC 9309 is written, at whatever cost: every group, every rule, each as a regular expression."""
    groups: list[tuple[list[str], list[tuple[bool, str]]]] = []
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "User-agent":
            if not groups or groups[-1][1]:
                groups.append(([], []))
            groups[-1][0].append(value)
        elif key in {"Allow", "Disallow"} and groups:
            groups[-1][1].append((key == "Allow", value))
    mine = [group for group in groups if agent in group[0]] or [group for group in groups if "*" in group[0]]
    matches = [(0, True)]
    for allow, pattern in (rule for group in mine for rule in group[1]):
        body = pattern.removesuffix("$")
        source = "".join(".*" if char == "*" else re.escape(char) for char in body)
        if re.match(source + (r"\Z" if body != pattern else ""), path, re.DOTALL):
            matches.append((len(pattern.replace("%", "%25").replace("$", "D")), allow))
    return max(matches)[1]


@given(_LINES, st.sampled_from(["a", "b", "c"]), st.from_regex(r"/[ab?$]{0,8}", fullmatch=True))
def test_every_file_is_read_as_the_rfc_is_written(lines: list[str], agent: str, path: str) -> None:
    assert robots(*lines).allows(agent, path.encode()) is by_the_book(lines, agent, path)


HOSTILE = {
    "stars": b"User-agent: *\nDisallow: /" + b"*a" * 200_000 + b"b\n",
    "stars end": b"User-agent: *\n" + b"Disallow: /*a*a*a*a*a*a*a*a*b$\n" * 16_000,
    "many patterns": b"User-agent: *\n" + b"".join(b"Disallow: /*%d$\n" % n for n in range(24_000)),
    "prefixes": b"User-agent: *\n" + b"".join(b"Disallow: /" + b"a" * n + b"\n" for n in range(900)),
    "many agents": b"".join(b"User-agent: a%d\n" % n for n in range(14_000)) + b"Disallow: /x\n" * 14_000,
    "many groups": b"User-agent: a\nDisallow: /x\n" * 18_000,
    "crossed": b"".join(b"User-agent: a%d\n" % n for n in range(9_000)) + b"Disallow: /a\n" * 9_000
    + b"".join(b"User-agent: a%d\nAllow: /%d\n" % (n, n) for n in range(5_000)),
    "escapes": b"User-agent: *\nDisallow: /" + b"%" * 500_000,
    "one line": b"x" * 510_000,
    "colons": b":" * 510_000,
    "returns": b"\r" * 510_000,
    "names": b"User-agent: " + b"a-" * 250_000 + b"\nDisallow: /\n",
    "zeros": b"\0" * 510_000,
}  # fmt: skip


@pytest.mark.security("D5")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_costs_what_it_is_long_and_no_more(name: str) -> None:
    """The attack: patterns that backtrack, or groups that multiply. Each takes minutes where the cost is not linear."""
    with ends(20):
        file = Robots.parse(HOSTILE[name])
        for path in (b"/" + b"a" * 8_000, b"/" + b"ab" * 4_000 + b"?", b"/"):
            file.allows("a" + "-" * 8_000, path)
            file.allows("a", path)
            file.longest_allow(path)


@pytest.mark.security("D5")
def test_the_calls_for_a_group_do_not_grow_with_the_agents_that_share_it() -> None:
    def parse(agents: int) -> int:
        body = b"".join(b"User-agent: a%d\n" % n for n in range(agents)) + b"Disallow: /x\n" * 400
        return calls_of(lambda: Robots.parse(body))

    assert parse(800) < 2 * parse(400) + 1_000
