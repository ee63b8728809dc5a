"""Links that nobody sees on a page: who follows them reads the source, not the page.

Text browsers show some of them (lynx, w3m and elinks ignore ``display: none``), and load nothing that
is needed to show a page: both together must not make a person a bot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.core.signals.table import Signal

if TYPE_CHECKING:
    from antiscrape.core.history import History

SIGNALS: tuple[Signal[History], ...] = (
    Signal("trap-followed", "traps", 15, "A link was followed that no page shows.",
           "measured: three of four text browsers do it once", lambda h: h.traps >= 1),
    Signal("trap-followed-again", "traps", 40, "Links that no page shows were followed again and again.",
           "measured: no person did it three times", lambda h: h.traps >= 3),
)  # fmt: skip
