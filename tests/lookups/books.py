"""Books of crawlers that tests make, and the lists that they keep beside them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from antiscrape.lookups.crawlers import CrawlerBook, load_book
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.core.crawler import Crawler

SHIPPED = ROOT / "config/crawlers"
NOW, WALL = 50_000.0, 1_800_000_000.0

GOOGLE = """
[[crawler]]
name = "googlebot"
operator = "Google"
purpose = "search"
tokens = ["Googlebot"]
suffixes = ["googlebot.com"]
ranges = [{ url = "https://lists.example/google.json", file = "google.json" }]
complete = true
"""
GPT = """
[[crawler]]
name = "gptbot"
operator = "OpenAI"
purpose = "ai-training"
tokens = ["GPTBot"]
ranges = [{ url = "https://lists.example/gpt.json", file = "gpt.json" }]
complete = true
"""
TWO_LISTS = """
[[crawler]]
name = "pingdom"
operator = "SolarWinds"
purpose = "monitoring"
tokens = ["Pingdom.com_bot"]
ranges = [
  { url = "https://lists.example/4", file = "four.txt" },
  { url = "https://lists.example/6", file = "six.txt" },
]
complete = true
"""


def listing(*prefixes: str) -> str:
    entries = [{"ipv6Prefix" if ":" in prefix else "ipv4Prefix": prefix} for prefix in prefixes]
    return json.dumps({"creationTime": "2026-01-01T00:00:00", "prefixes": entries})


def keep(folder: Path, name: str, text: str, age: float = 0.0) -> None:
    """Leave a list in ``folder`` as it was fetched ``age`` seconds ago."""
    (folder / name).write_text(text)
    os.utime(folder / name, (WALL - age, WALL - age))


def book_of(folder: Path, *texts: str) -> CrawlerBook:
    (folder / "crawlers.toml").write_text("".join(texts))
    return load_book(folder, now=NOW, wall=WALL)


def claimed(book: CrawlerBook, agent: str) -> Crawler:
    crawler = book.claim(agent.encode())
    assert crawler is not None, agent
    return crawler
