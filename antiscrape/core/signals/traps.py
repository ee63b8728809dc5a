"""Links and pictures that nobody sees on a page: who asks for them reads the source, not the page.

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
           "measured: three of four text browsers do it once, where it is hidden by a style sheet",
           lambda h: h.traps >= 1),
    Signal("trap-followed-again", "traps", 40, "Links that no page shows were followed again and again.",
           "measured: no person did it three times", lambda h: h.traps >= 3),
    Signal("trap-picture-fetched", "traps", 15, "A picture was fetched that no page shows.",
           "HTML §4.12.3; measured: Chromium and Firefox leave it alone; a browser that knows no templates may not, however often",
           lambda h: h.odd.pictures >= 1),
    Signal("trap-link-borrowed", "traps", 40, "A link was followed that no page shows and that somebody else had been given.",
           "a link is bound to whom it was given to by a keyed hash (RFC 7693) and to the hour", lambda h: h.odd.borrowed >= 1),
    Signal("grants-made-up", "traps", 15, "Grants came that nobody signed for those pictures.",
           "a token whose form is right and whose signature is not is no accident: one was moved to another picture, or guessed; "
           "a site's own script may do that to every visitor, so it weighs little", lambda h: h.odd.forged >= 3),
)  # fmt: skip
