"""The table [serve]: what its words become, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiscrape.core.rules import ServeRules
from antiscrape.errors import ConfigurationError
from antiscrape.settings.load import load
from antiscrape.settings.model import Settings
from tests.house import SECRET

ENVIRON = {"ANTISCRAPE_SECRET": SECRET}


def test_the_defaults_are_those_of_the_rules() -> None:
    assert Settings().serve.rules(Path()) == ServeRules()


@pytest.mark.security("C5")
@pytest.mark.security("C6")
def test_the_defaults_are_within_what_is_asked_for() -> None:
    rules = ServeRules()
    assert (rules.first_byte, rules.head, rules.body) <= (5.0, 10.0, 10.0)
    assert rules.head_bytes <= 32 * 1024
    assert rules.target_bytes <= 8 * 1024
    assert rules.fields <= 100
    assert rules.pipelined <= 16
    assert rules.rate >= 1000
    assert rules.buffer_bytes <= 2**20


def test_words_become_numbers_and_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        '[serve]\nhead = "3s"\nhead_bytes = "16KiB"\nrate = "2kB"\ntls_certificate = "tls/site.pem"\n'
        'tls_key = "/etc/site.key"\ntls_minimum = "1.3"\nproxy_protocol = true\n'
        '[identity]\ntrusted_proxies = ["10.0.0.1"]\n'
    )
    rules = load(path, environ=ENVIRON).policy.serve
    assert (rules.head, rules.head_bytes, rules.rate) == (3.0, 16 * 1024, 2000)
    assert (rules.tls_certificate, rules.tls_key) == (str(tmp_path / "tls/site.pem"), "/etc/site.key")
    assert (rules.tls_minimum, rules.proxy_protocol) == ("1.3", True)


@pytest.mark.security("A3")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[serve]\nproxy_protocol = true\n",
            "serve.proxy_protocol: is taken from identity.trusted_proxies only",
        ),
        ('[serve]\ntls_key = "a"\n', "serve.tls_key: is the key of serve.tls_certificate, which is not set"),
        ('[serve]\nhead_bytes = "1KiB"\n', "serve.target_bytes: 8192 bytes do not fit into head_bytes"),
        ('[serve]\nfirst_byte = "1h"\n', 'serve.first_byte: "1h" is not between 100ms and 5min'),
        ('[serve]\ntls_minimum = "1.1"\n', "serve.tls_minimum"),
        ("[serve]\nfields = 1\n", "serve.fields"),
    ],
)
def test_what_cannot_be_meant_is_said_where_it_stands(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ=ENVIRON)
    assert any(words in problem for problem in caught.value.problems), caught.value.problems
