"""What a client is beside the ladder, by proof: a verified crawler, or a partner of the operator's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.crawler import Proof

if TYPE_CHECKING:
    from antiscrape.core.rules import Allowance


class Role(NamedTuple):
    """What became of a request's claim to be somebody.

    ``allowance`` is what the somebody may have, None where nothing was proven; ``signed`` tells that the
    claim was a signature and not a name; ``token`` is the word
    by which robots.txt speaks to it; ``payer`` is the store key of whose budgets are spent, where it is not the
    address's.
    """

    name: str = ""
    proof: Proof = Proof.UNVERIFIED
    allowance: Allowance | None = None
    signed: bool = False
    payer: str = ""
    token: str = ""


#: No claim was made.
NOBODY: Final = Role()
#: Nobody has looked yet: compared by identity.
UNASKED: Final = Role("")
