"""The table of the site's accounts: who says whose a request is, and what a new account may have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from antiscrape.core.account import AccountRules, parse_ages
from antiscrape.settings.names import FieldName, Listed
from antiscrape.settings.table import Remark, Table
from antiscrape.settings.units import Duration, lasting

if TYPE_CHECKING:
    from collections.abc import Iterator


def _cookie(text: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", text):
        msg = 'is not a cookie\'s name; expected letters, digits, "-" and "_", such as "sessionid" (RFC 6265 §4.1.1)'
        raise ValueError(msg)
    return text


def _ages(text: str) -> str:
    parse_ages(text)
    return text


def _own_field(text: str) -> str:
    if not text.startswith("x-"):
        msg = 'is a field that others use, too; expected one that begins with "x-"'
        raise ValueError(msg)
    return text


Cookie = Annotated[str, AfterValidator(_cookie)]
Ages = Annotated[str, AfterValidator(_ages)]
OwnField = Annotated[FieldName, AfterValidator(_own_field)]


class Accounts(Table):
    """Which account a request belongs to: the site says so, and its budget outranks the address's."""

    enabled: bool = Field(
        default=False,
        description='Take the site\'s word for it: by fields of its answers, or by scope["antiscrape"]. On in any case '
        "where the middleware is given a callable.",
    )
    cookies: Annotated[tuple[Cookie, ...], Listed] = Field(
        default=(),
        max_length=8,
        description="Every cookie that the site takes to be signed in, a signature's too: what an answer says of the "
        "account is remembered for them. Empty: no session is remembered.",
    )
    account_header: OwnField = Field(
        default="x-antiscrape-account",
        description="The field of the site's answers that names the account; an empty value means nobody. It goes no "
        "further than here, and is never believed from a client.",
    )
    created_header: OwnField = Field(
        default="x-antiscrape-account-created",
        description="When the account was made: seconds since 1970, or a date (RFC 3339).",
    )
    owner_header: OwnField = Field(
        default="x-antiscrape-owner",
        description="Whose picture an answer shows: the subject, where the route does not tell.",
    )
    ages: Ages = Field(
        default="0.25 in the first day, 0.5 in the first week",
        max_length=400,
        description="The share of a member's originals, subjects and bytes that a new account has: privacy authorities "
        "ask sites to watch how fast a new one looks at others.",
    )
    age_untold: float = Field(
        default=1.0, ge=0, le=1, description="The share of an account whose age nobody tells."
    )
    remember: Annotated[Duration, lasting("1min", "7d")] = Field(
        default=3600.0, description="How long a session is known after an answer last named its account."
    )
    max_sessions: int = Field(
        default=100_000, ge=1000, le=10_000_000, description="Sessions that are remembered at once."
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield fields of one name."""
        names = [self.account_header, self.created_header, self.owner_header]
        if len(set(names)) < len(names):
            yield ("account_header",), "two of the three fields have one name"

    def rules(self) -> AccountRules:
        """Return the rules, compiled."""
        return AccountRules(**{**dict(self), "ages": parse_ages(self.ages)})
