"""What verdicts cost an edge is measured with the file that is shipped for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtests.bench.forwarded import shipped

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kept", [True, False])
def test_only_ports_and_folders_are_changed_and_what_is_kept(tmp_path: Path, *, kept: bool) -> None:
    text = shipped(tmp_path, asking=1001, verdicts=1002, origin=1003, kept=kept)
    assert "listen 127.0.0.1:1001;" in text
    assert text.count("127.0.0.1:1002") >= 2
    assert ("proxy_cache antiscrape;" in text) is kept
    assert "auth_request /.antiscrape/verdict;" in text
    for placed in ("/srv/site", "/run/", "listen 80;", "127.0.0.1:8079"):
        assert placed not in text
