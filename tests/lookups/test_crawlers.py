"""The book of crawlers: who a User-Agent claims to be, and what makes a book wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.crawler import Purpose
from antiscrape.errors import ConfigurationError
from antiscrape.lookups.crawlers import CrawlerBook, load_book
from tests.costs import ends
from tests.lookups.books import GOOGLE, GPT, NOW, SHIPPED, WALL, book_of, claimed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def shipped() -> CrawlerBook:
    return load_book(SHIPPED, now=NOW, wall=WALL)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "googlebot"),
        ("Googlebot-Image/1.0", "googlebot"),
        ("MOZILLA/5.0 (COMPATIBLE; GOOGLEBOT/2.1)", "googlebot"),
        ("Mozilla/5.0 (compatible; Google-InspectionTool/1.0)", "googlebot"),
        ("Mozilla/5.0 (X11; Linux x86_64; Storebot-Google/1.0) AppleWebKit/537.36", "googlebot"),
        ("GoogleOther-Image/1.0", "googleother"),
        ("AdsBot-Google-Mobile-Apps", "google-special"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://a/) Chrome/1", "bingbot"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/600.2.5 Safari/600.2.5 (Applebot/0.1)", "applebot"),
        ("DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", "duckduckbot"),
        ("DuckAssistBot/1.2; (+http://duckduckgo.com/duckassistbot.html)", "duckassistbot"),
        ("Mozilla/5.0 (compatible; YandexRenderResourcesBot/1.0; +http://yandex.com/bots)", "yandex"),
        ("Mozilla/5.0 (compatible; Baiduspider-render/2.0; +http://www.baidu.com/search/spider.html)", "baiduspider"),
        ("Mozilla/5.0 (compatible; Qwantbot-news/2.0; +https://help.qwant.com/bot/)", "qwantbot"),
        ("Mozilla/5.0 (compatible; SeznamBot/4.0; +http://napoveda.seznam.cz/seznambot-intro/)", "seznambot"),
        ("Mozilla/5.0 (compatible;PetalBot;+https://webmaster.petalsearch.com/site/petalbot)", "petalbot"),
        ("Mozilla/5.0 (compatible; MojeekBot/0.11; +https://www.mojeek.com/bot.html)", "mojeekbot"),
        ("Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)", "gptbot"),
        ("Mozilla/5.0 (compatible; OAI-SearchBot/1.0; +https://openai.com/searchbot)", "oai-searchbot"),
        ("Mozilla/5.0; compatible; ChatGPT-User/1.0; +https://openai.com/bot", "chatgpt-user"),
        ("Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "claudebot"),
        ("Claude-User (claude-code/2.1.86; +https://support.anthropic.com/)", "claude-user"),
        ("Mozilla/5.0 (compatible; Claude-SearchBot/1.0)", "claude-searchbot"),
        ("Mozilla/5.0 (compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)", "perplexitybot"),
        ("Mozilla/5.0 (compatible; Perplexity-User/1.0; +https://perplexity.ai/perplexity-user)", "perplexity-user"),
        ("Mozilla/5.0 (compatible; Amazonbot/0.1; +https://developer.amazon.com/support/amazonbot)", "amazonbot"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "facebook"),
        ("meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)", "meta-externalagent"),
        ("meta-externalfetcher/1.1", "meta-externalfetcher"),
        ("Mozilla/5.0 (Linux; Android 5.0) Mobile Safari/537.36 (compatible; Bytespider; a@b)", "bytespider"),
        ("CCBot/2.0 (https://commoncrawl.org/faq/)", "ccbot"),
        ("Mozilla/5.0 (compatible; archive.org_bot +http://archive.org/details/archive.org_bot)", "archive-org"),
        ("Twitterbot/1.0", "twitterbot"),
        ("LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)", "linkedinbot"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "slackbot"),
        ("Slack-ImgProxy (+https://api.slack.com/robots)", "slackbot"),
        ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "discordbot"),
        ("WhatsApp/2.23.20.0", "whatsapp"),
        ("Pinterest/0.2 (+https://www.pinterest.com/bot.html)", "pinterestbot"),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "uptimerobot"),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", "pingdom"),
        ("Feedbin feed-id:2005098 - 2 subscribers", "feedbin"),
        ("Mozilla/5.0 (compatible; inoreader.com; 1 subscribers)", "inoreader"),
        ("Mastodon/4.2.1 (http.rb/5.1.1; +https://example.social/)", "mastodon"),
        ("Misskey/2023.12.2 (https://example.social)", "misskey"),
        ("Pleroma 2.6.1; https://example.social <a@example.social>", "pleroma"),
        ("Lemmy/0.19.8; +https://example.social", "lemmy"),
        # the first that is named counts, and a model is no claim
        ("TelegramBot (like TwitterBot)", "telegrambot"),
        ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)", "feedly"),
        ("Mozilla/5.0 (like TwitterBot) Googlebot/2.1", "googlebot"),
        ("Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0", "facebook"),
        ("caf\u00e9 \u0130 Googlebot/2.1", "googlebot"),
    ],
)  # fmt: skip
def test_a_crawler_is_known_by_its_words(shipped: CrawlerBook, agent: str, name: str) -> None:
    assert claimed(shipped, agent).name == name
    assert claimed(shipped, agent).name == name, "the second time from memory"


@pytest.mark.parametrize(
    "agent",
    [
        "",
        "-",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        "NotGooglebot/1.0",
        "Googlebots/2.1",
        "fake-googlebot/1",
        "SentiBot www.sentibot.eu (compatible with Googlebot)",
        "(like TwitterBot)",
        "MastodonAndroid/2.9",
        "x" * 5000 + " Googlebot/2.1",
    ],
)
def test_what_names_no_known_crawler_claims_nothing(shipped: CrawlerBook, agent: str) -> None:
    assert shipped.claim(agent.encode()) is None


def test_no_user_agent_claims_nothing_and_an_empty_book_knows_nobody(shipped: CrawlerBook) -> None:
    assert shipped.claim(None) is None
    assert CrawlerBook([]).claim(b"Googlebot/2.1") is None


def test_no_persons_browser_claims_to_be_a_crawler(shipped: CrawlerBook, shared: Path) -> None:
    folder = shared / "corpora/user-agents"
    text = (folder / "isbot-browsers.yml").read_text()
    agents = re.findall(r"^  - [\"']?(.*?)[\"']?$", text, re.MULTILINE)
    agents += re.findall(
        r"user_agent_string: ['\"]?(.*?)['\"]?$",
        (folder / "uap-core-firefox_user_agent_strings.txt").read_text(),
        re.MULTILINE,
    )
    taken = [agent for agent in agents if shipped.claim(agent.encode())]
    assert len(agents) > 200
    assert [
        agent for agent in taken if "Amzn-User" not in agent
    ] == []  # the list takes that fetcher for a person


@pytest.mark.security("D5")
def test_a_claim_is_read_in_linear_time_and_the_memory_is_bounded(shipped: CrawlerBook) -> None:
    with ends():
        for number in range(20_000):
            shipped.claim(b"googlebo" * 12 + str(number).encode())
        shipped.claim(b"like googlebot " * 100_000)
    assert len(shipped._memo) <= 8192


def test_every_shipped_crawler_is_whole(shipped: CrawlerBook) -> None:
    assert {crawler.purpose for crawler in shipped.crawlers} == set(Purpose)
    for crawler in shipped.crawlers:
        assert claimed(shipped, crawler.tokens[0]) is crawler
    assert shipped.problems == ()
    assert all(source.url.startswith("https://") for source in shipped.sources)
    assert len({source.file for source in shipped.sources}) == len(shipped.sources)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[crawler]\n", "cannot be read"),
        ("[crawlers]\n", "crawlers: only"),
        (GOOGLE + GOOGLE.replace('"Googlebot"', '"Other"'), "googlebot: is named twice"),
        (GOOGLE + GPT.replace("GPTBot", "GOOGLEBOT"), "the token 'GOOGLEBOT' is googlebot's"),
        (GOOGLE + GPT.replace("gpt.json", "google.json", 1).replace('"gpt.json"', '"google.json"').replace(
            "lists.example/google.json", "lists.example/gpt.json"), "keeps the list of another URL"),
        (GOOGLE.replace('"search"', '"spying"'), "purpose"),
        (GOOGLE.replace('"Googlebot"', ""), "tokens"),
        (GOOGLE.replace('"googlebot.com"', '"com"'), "suffixes.0"),
        (GOOGLE.replace('"googlebot.com"', '".googlebot.com"'), "suffixes.0"),
        (GOOGLE.replace('"googlebot.com"', '"bc.googleusercontent.com"'), "belong to whoever rents"),
        (GOOGLE.replace('"googlebot.com"', '"amazonaws.com"'), "belong to whoever rents"),
        (GOOGLE.replace("https://", "http://"), "ranges.0.url"),
        (GOOGLE.replace('"google.json"', '"../google.json"'), "ranges.0.file"),
        (GOOGLE + 'colour = "red"', "colour"),
        (re.sub("suffixes.*|ranges.*", "", GOOGLE), "is complete, but gives no way"),
        ("", "no crawler is named"),
    ],
)  # fmt: skip
def test_a_book_that_is_wrong_stops_the_start(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        book_of(tmp_path, text)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        book_of(tmp_path, GOOGLE.replace('"search"', '"spying"'), GPT.replace("https", "ftp"))
    assert len(raised.value.problems) == 2
    assert all(problem.startswith("crawlers.toml: crawler ") for problem in raised.value.problems)
