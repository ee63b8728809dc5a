"""Every signal of a request, for and against, through the panel that the gate uses; and whole header sets of people and tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from antiscrape.core import signals
from antiscrape.core.agent import AgentKind
from antiscrape.core.resource import Kind
from antiscrape.core.rules import SignalRule
from antiscrape.core.signals import OF_REQUEST, SIGNALS, Panel
from antiscrape.core.signals.headers import READ
from antiscrape.core.traits import Traits, read_traits
from antiscrape.core.verdict import Mode, Standing
from tests.house import (
    Clock,
    agent_book,
    changed,
    gate_of,
    head_of,
    person,
    policy_of,
    tool,
    visitor,
    visitors,
)

if TYPE_CHECKING:
    from tests.house import Pairs, Visitor

PANEL = Panel({})
KINDS = {"image": Kind.IMAGE, "page": Kind.PAGE}
CHROME, CHROME_PAGE = visitor("chromium image"), visitor("chromium page")
SAFARI = visitor("safari on a phone image")
SAVED = visitor("chromium saves an image")
NO_FETCH = ((b"sec-fetch-dest", None), (b"sec-fetch-mode", None), (b"sec-fetch-site", None))
FOX_RELAYED = [*person(), (b"via", b"1.1 proxy")]


def traits(headers: Pairs, kind: str = "image", *, secure: bool = True, version: str = "1.1") -> Traits:
    head = head_of("/x", headers, http_version=version, scheme="https" if secure else "http")
    agent = agent_book().read(head.fields.get(b"user-agent"))
    return read_traits(head, agent, KINDS[kind])


def agent(value: bytes) -> Traits:
    return traits(changed(person(), (b"user-agent", value)))


#: Signal, a request that shows it, a request as near as can be that does not.
OF_FIELDS: dict[str, tuple[Traits, Traits]] = {
    "accept-missing": (traits(person((b"accept", None))), traits(SAVED)),
    "accept-language-missing": (traits(person((b"accept-language", None))), traits(person((b"accept-language", b"*")))),
    "accept-language-malformed": (
        traits(person((b"accept-language", b"en_US"))),
        traits(person((b"accept-language", b"zh-Hant-TW, de-CH-1996;q=0.8,*;q=0,, "))),
    ),
    "accept-encoding-missing": (traits(person((b"accept-encoding", None))), traits(person((b"accept-encoding", b"x")))),
    "image-not-accepted": (traits(person((b"accept", b"text/html"))), traits(visitor("netsurf image"))),
    "page-accepted-as-anything": (
        traits(person((b"accept", b"*/*"), kind="page"), "page"),
        traits(person((b"accept", b"*/*"), (b"sec-fetch-dest", b"empty"), kind="page"), "page"),
    ),
    "fetch-metadata-missing": (traits(person(*NO_FETCH)), traits(person(*NO_FETCH), secure=False)),
    "fetch-metadata-in-part": (traits(person((b"sec-fetch-dest", None))), traits(person(*NO_FETCH))),
    "fetch-metadata-contradicts": (
        traits(person((b"sec-fetch-dest", b"image"), (b"sec-fetch-mode", b"navigate"))),
        traits(SAVED),
    ),
    "image-fetched-by-script": (
        traits(changed(SAVED, (b"sec-fetch-mode", b"cors"))),
        traits(SAVED),
    ),
    "client-hints-missing": (traits(changed(CHROME, (b"sec-ch-ua", None))), traits(SAVED)),
    "client-hints-foreign": (traits(person((b"sec-ch-ua", b'"Chromium";v="151"'))), traits(CHROME)),
    "client-hints-other-version": (
        traits(changed(CHROME, (b"sec-ch-ua", b'"Chromium";v="120", "Google Chrome";v="120"'))),
        traits(changed(CHROME, (b"sec-ch-ua", b'"Chromium";v="151", "Another Brand";v="8"'))),
    ),
    "client-hints-other-platform": (
        traits(changed(CHROME, (b"sec-ch-ua-platform", b'"Windows"'))),
        traits(changed(CHROME, (b"sec-ch-ua-platform", b'"Unknown"'))),
    ),
    "field-order-foreign": (
        traits([pair for pair in person() if pair[0] != b"accept-language"] + [(b"accept-language", b"en")]),
        traits([pair for pair in FOX_RELAYED if pair[0] != b"accept-language"] + [(b"accept-language", b"en")]),
    ),
    "field-repeated": (
        traits([*person(), (b"user-agent", b"curl/8")]),
        traits([*person(), (b"accept", b"image/png"), (b"cookie", b"b=1")]),
    ),
    "field-too-long": (traits(person((b"accept", b"image/png," * 500))), traits(person((b"cookie", b"a" * 9000)))),
    "field-bytes-foreign": (
        traits(person((b"accept-language", b"en\xff"))),
        traits(person((b"referer", b"https://caf\xc3\xa9.example/"))),
    ),
    "http-too-old": (traits(person(), version="1.0"), traits(FOX_RELAYED, version="1.0")),
    "reserved-field-sent": (
        traits(person((b"x_antiscrape.User", b"1"), (b"x_antiscrape_user", b"1"))),
        traits(person((b"x-antiscraped", b"1"))),
    ),
    "agent-missing": (traits(person((b"user-agent", None))), agent(b"x")),
    "agent-is-a-tool": (agent(b"Photo Shovel Pro v2"), agent(b"Mozilla/5.0 (X11; Linux x86_64) curly")),
    "agent-is-a-crawler": (
        agent(b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
        agent(b"Mozilla/5.0 (Linux; Android 10; CUBOT_X18 Build/1) AppleWebKit/537.36 Chrome/99.0.0.0 Safari/537.36"),
    ),
    "agent-is-an-ai-crawler": (agent(b"Mozilla/5.0 (compatible; GPTBot/1.2)"), agent(b"Mozilla/5.0 (X11; egpt)")),
    "agent-is-automation": (
        traits(changed(CHROME, (b"sec-ch-ua", b'"HeadlessChrome";v="151", "Chromium";v="151"'))),
        traits(CHROME),
    ),
    "agent-carries-an-address": (
        agent(b"Shovel (github.com/someone/shovel)"),
        agent(b"Mozilla/5.0 (X11; ASP.NET; com.app.viewer; ios@9.2) a @ b"),
    ),
    "agent-names-no-platform": (agent(b"Photofox 1.0 for Android phones"), agent(b"NetSurf/3.11 (Linux)")),
    "agent-is-antique": (
        agent(b"Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/45.0"),
        agent(b"Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/115.0"),
    ),
    "agent-is-unborn": (
        agent(b"Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/901.0"),
        agent(b"Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/300.0"),
    ),
    "agent-of-odd-length": (agent(b"Mozilla/5.0 (X11) " + b"a; " * 170), agent(b"w3m/0.5.3")),
}  # fmt: skip


def test_every_signal_of_a_request_has_a_case_for_and_a_case_against() -> None:
    assert set(OF_FIELDS) == {signal.name for signal in OF_REQUEST}


def test_no_two_signals_have_one_name() -> None:
    assert len(SIGNALS) == len(signals._ALL)


@pytest.mark.parametrize("name", OF_FIELDS)
def test_a_signal_of_a_request_fires_where_it_should_and_nowhere_near(name: str) -> None:
    shows, shows_not = OF_FIELDS[name]
    assert name in {finding.name for finding in PANEL.of_request(shows)[1]}
    assert name not in {finding.name for finding in PANEL.of_request(shows_not)[1]}


def test_a_person_may_save_what_they_see() -> None:
    """Chromium saves by a navigation to nowhere, without Accept and client hints; a script's request has another mode."""
    assert PANEL.of_request(traits(SAVED)) == (0, ())
    for mode in (b"cors", b"no-cors"):
        findings = PANEL.of_request(traits(changed(SAVED, (b"sec-fetch-mode", mode))))[1]
        names = {finding.name for finding in findings}
        assert names == {"accept-missing", "image-fetched-by-script", "client-hints-missing"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"Photo Shovel Pro v2", AgentKind.TOOL), (b"{{user_agent}}", AgentKind.TOOL), (b"3c0b8f9a2d", AgentKind.TOOL),
        (b"<class 'shovel.Agent'>", AgentKind.TOOL), (b"Lynx/2.9 (https://shovel.example)", AgentKind.TOOL),
        (b"Mozilla/5.0 (Shovel) AppleWebKit/537.36 (KHTML, like Gecko)", AgentKind.CRAWLER),
        (b"Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 (KHTML, like Gecko) Shovel/0.2", AgentKind.CRAWLER),
        (b"Mozilla/5.0 (platform; rv:version) Gecko/trail Firefox/version", AgentKind.CRAWLER),
        (b"Mozilla/5.0 (X11; Linux; rv:77.0) Gecko/20100101 Firefox/77.0 Time/1710000000000", AgentKind.CRAWLER),
        (b"Mozilla/5.0 (Unknown; Linux) AppleWebKit/602.1 (KHTML, like Gecko) Safari/602.1", AgentKind.AUTOMATION),
        (b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)", AgentKind.BROWSER),
        (b"Photos/3 CFNetwork/1410.1 Darwin/22.6.0", AgentKind.BROWSER),
        (b"fooTV/4.75.0 (Linux;Android 9; AFTDCT31)", AgentKind.BROWSER), (b"PS5Viewer/1 (PlayStation 5)", AgentKind.BROWSER),
    ],
)  # fmt: skip
def test_an_agent_that_no_list_names_is_known_by_its_shape(value: bytes, kind: AgentKind) -> None:
    assert agent_book().read(value).kind is kind


def test_small_browsers_are_told_from_what_borrows_their_names() -> None:
    assert agent_book().read(b"Dillo/3.0.5").small
    for value in (dict(CHROME)[b"user-agent"], b"Dillo/3.0.5 (https://a.example)", b"Photofox 1.0"):
        assert not agent_book().read(value).small


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
def test_evidence_costs_and_says_why(signal: object) -> None:
    row = SIGNALS[getattr(signal, "name")]  # noqa: B009 - the parameter's type is the table's union
    assert row.weight > 0
    assert row.weight % 5 == 0 or row.weight < 5, "less is for what is told of, and costs something else"
    assert row.sentence.endswith(".")
    assert row.source
    assert row.weight < policy_of().banned_at, "a single signal is never a sentence"


@pytest.mark.parametrize("name", OF_FIELDS)
def test_a_signal_in_shadow_is_named_and_weighs_nothing_and_one_that_is_off_is_not_looked_at(
    name: str,
) -> None:
    shows = OF_FIELDS[name][0]
    full, _ = PANEL.of_request(shows)
    shadow, findings = Panel({name: SignalRule(50, Mode.SHADOW)}).of_request(shows)
    assert shadow == full - SIGNALS[name].weight
    assert [finding.weight for finding in findings if finding.name == name] == [0]
    off, findings = Panel({name: SignalRule(50, Mode.OFF)}).of_request(shows)
    assert off == shadow
    assert name not in {finding.name for finding in findings}


def test_a_profile_is_remembered_by_every_field_that_a_signal_reads() -> None:
    """What is read and not in the memo's key would let one client's profile stand for another's."""
    asked: set[bytes] = set()

    class Spy(dict[bytes, bytes]):
        def get(self, name: bytes, default: bytes | None = None) -> bytes | None:  # type: ignore[override]  # narrower
            asked.add(name)
            return super().get(name, default)

    for shows, shows_not in OF_FIELDS.values():
        for seen in (shows, shows_not):
            PANEL.of_request(seen._replace(fields=Spy(seen.fields)))
    assert asked <= set(READ)


def first_standing(one: Visitor) -> tuple[Standing, int, list[str]]:
    gate = gate_of(policy_of(), Clock())
    path = "/media/7.jpg" if one.kind == "image" else "/p/7"
    head = head_of(path, one.headers, http_version=one.version)
    verdict = gate.judge(head).verdict
    return verdict.standing, verdict.score, [finding.name for finding in verdict.findings]


@pytest.mark.parametrize("one", visitors("people"), ids=lambda one: one.name)
def test_a_person_stands_as_a_browser(one: Visitor) -> None:
    standing, score, findings = first_standing(one)
    assert standing is Standing.BROWSER, (score, findings)


@pytest.mark.parametrize("one", visitors("small_browsers"), ids=lambda one: one.name)
def test_a_small_browser_is_at_worst_unknown(one: Visitor) -> None:
    standing, score, findings = first_standing(one)
    assert standing in {Standing.BROWSER, Standing.UNKNOWN}, (score, findings)


@pytest.mark.parametrize("one", visitors("tools"), ids=lambda one: one.name)
def test_a_tool_is_no_browser(one: Visitor) -> None:
    standing, score, findings = first_standing(one)
    assert standing is Standing.BOT, (score, findings)


def test_a_tool_by_another_name_is_still_short_of_a_browser() -> None:
    """One copied field mends one signal, not the others."""
    renamed = changed(tool(), (b"user-agent", dict(person())[b"user-agent"]))
    score, findings = PANEL.of_request(traits(renamed))
    assert score >= policy_of().bot_at, findings
