"""How the site tells which account a request is of, how old that is, and whose picture an answer shows.

There are three ways, asked in this order, and the first that names an account is believed:

* a callable that is given the scope (``account``, ``owner``), for apps that know at once;
* ``scope["antiscrape"]``, a mapping that a middleware around this one sets:
  ``{"account": "ada", "account_created": 1700000000, "owner": "grace"}``, every key optional;
* fields of the site's answer, for whatever stands behind the reverse proxy: ``X-Antiscrape-Account``
  (empty: nobody is signed in), ``X-Antiscrape-Account-Created`` (seconds since the epoch, or an RFC 3339
  date) and ``X-Antiscrape-Owner``. They never reach the client, and what a client sends under these names
  never reaches the site.

An answer comes after its request was judged, so what it says of an account is remembered by the
request's session cookies for the next ones. That memory is a guess: a client can spell its cookie so that
the site reads it and we do not. What the answer itself says is not, and it is there before a picture is sent.

None of this can fail a request. A callable that raises, a name that is no text, a date that is none are
reported once each and read as nothing said, which leaves the request to its clearance or network.
"""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.account import Account, SessionBook, bare, canonical_name
from antiscrape.core.memo import Memo
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.types import Headers, Scope
    from antiscrape.core.account import AccountRules
    from antiscrape.core.request import RequestHead, Shape

    AskAccount = Callable[[Scope], Account | str | None]
    AskOwner = Callable[[Scope], str | None]

#: The key of the scope, and of nothing that a server or a client sets.
SCOPE_KEY: Final = "antiscrape"
_IN_SCOPE: Final = f'scope["{SCOPE_KEY}"]'
_NOTHING: Final[Mapping[object, object]] = MappingProxyType({})
_PREFIX: Final = b"x-antiscrape-"
_SHAPES: Final = 2048
#: Types and errors are few, but how many is for the site's code to choose.
_MOST_REPORTS: Final = 64
#: RFC 3339 §5.6, without leap seconds. A date alone will do.
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ][0-2]\d:[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d))?", re.ASCII
)
_SECONDS = re.compile(r"\d{1,11}(?:\.\d{1,9})?", re.ASCII)
#: Seconds since the epoch have ten digits until 2286; JavaScript's milliseconds have thirteen.
_LAST_MOMENT: Final = 1e10
#: 1990: no account is older than the web. A smaller number is an age, a date without its hyphens, or a zero for "unknown".
_FIRST_MOMENT: Final = 631_152_000.0
_log = logging.getLogger("antiscrape.accounts")


class Told(NamedTuple):
    """What one answer said: the fields that go out, the account (None: not told, or nobody), the owner (or ``""``)."""

    headers: Headers
    account: Account | None
    owner: str


class Accounts:
    """Finds the account of each request, by what the site says.

    ``key`` is 32 secret bytes of this purpose; ``clock`` never steps. Raise ``ConfigurationError`` for a
    callable that would have to be awaited, and for two fields of one name.
    """

    def __init__(
        self,
        rules: AccountRules,
        *,
        key: bytes,
        clock: Callable[[], float],
        account: AskAccount | None = None,
        owner: AskOwner | None = None,
    ) -> None:
        for name, asked in (("account", account), ("owner", owner)):
            if asked is not None and not _callable_at_once(asked):
                raise ConfigurationError(
                    f"{name} is no plain callable; expected one that answers without await"
                )
        self._ask_account = account
        self._ask_owner = owner
        self._clock = clock
        named = (rules.account_header, rules.created_header, rules.owner_header)
        self._account, self._created, self._owner = (name.lower().encode("latin-1") for name in named)
        self._fields = frozenset({self._account, self._created, self._owner})
        if len(self._fields) < len(named):
            raise ConfigurationError("two of the account's and the owner's fields have one name")
        self._sessions: SessionBook | None = None
        if rules.cookies:
            self._sessions = SessionBook(
                rules.cookies, key, bound=rules.max_sessions, lifetime=rules.remember
            )
        self._ours: Memo[Shape, bool] = Memo(_SHAPES)
        self._reported: set[tuple[str, str]] = set()

    def of_request(self, scope: Scope, head: RequestHead) -> Account | None:
        """Return the account that a request is of, None where nobody names one; never raise."""
        found = None
        if self._ask_account is not None:
            found = self._called(self._ask_account, scope)
        if found is None and SCOPE_KEY in scope:
            found = self._stated(scope)
        if found is None and self._sessions is not None and head.shape.cookie:
            found = self._sessions.find(head.value(b"cookie"), self._clock())
        return found

    def owner_of(self, scope: Scope) -> str:
        """Return the subject that the site names for what is requested, ``""`` for none; never raise."""
        owner = ""
        try:
            if self._ask_owner is not None:
                owner = self._name("owner", self._ask_owner(scope))
            return owner or (
                self._name(_IN_SCOPE, self._said(scope).get("owner")) if SCOPE_KEY in scope else ""
            )
        except Exception as error:  # noqa: BLE001  whatever the site's code raises, the request goes on
            self._failed("owner", error)
            return ""

    def of_answer(self, head: RequestHead, headers: Headers) -> Told:
        """Take what an answer to ``head`` says, remember it for the session, and return the fields without it.

        Where nothing is said the fields come back as they are. Two lines of one name say nothing, and
        neither does an answer out of a cache about who is signed in: an ``Age`` means that it was made for
        another request (RFC 9111 §5.1).
        """
        names = [name.lower() for name, _ in headers]
        if self._fields.isdisjoint(names):
            return Told(headers, None, "")
        kept = [pair for pair, name in zip(headers, names, strict=True) if name not in self._fields]
        fields = self._once(headers, names)
        value = fields.get(self._owner)
        owner = self._named(value) if value else ""
        if self._account not in fields:
            return Told(kept, None, owner)
        if b"age" in names:
            self._report(
                "answer", "names an account and comes out of a cache; the site must keep it from being stored"
            )
            return Told(kept, None, owner)
        account = self._answered(fields)
        if self._sessions is not None:
            given = set_cookies(kept) if b"set-cookie" in names else {}
            problem = self._sessions.learn(head.value(b"cookie"), given, account, self._clock())
            if problem:
                self._report("the cookies", problem)
        return Told(kept, account, owner)

    def _once(self, headers: Headers, names: list[bytes]) -> dict[bytes, bytes]:
        """Return those of our fields that came on one line."""
        fields: dict[bytes, bytes] = {}
        for pair, name in zip(headers, names, strict=True):
            if name in self._fields:
                if names.count(name) == 1:
                    fields[name] = pair[1]
                else:
                    self._report("answer", "has one of the account's fields on two lines")
        return fields

    def for_site(self, scope: Scope, head: RequestHead) -> Scope:
        """Return the scope that the site is given: the same, but without fields that are ours to say.

        A spelling that WSGI and CGI read as one of them (``X_Antiscrape_Account``) goes too (SECURITY A5).
        """
        shape = head.shape
        known = self._ours.young.get(shape)
        if known is None:
            known = any(map(self._is_ours, shape.names))
            if shape.kept:
                self._ours.put(shape, known)
        if not known:
            return scope
        return {**scope, "headers": [pair for pair in scope["headers"] if not self._is_ours(pair[0])]}

    def without(self, headers: Headers) -> Headers:
        """Return fields of a request or an answer without those by which the site names an account or an owner."""
        return [pair for pair in headers if not self._is_ours(pair[0])]

    def _is_ours(self, name: bytes) -> bool:
        folded = name.lower().replace(b"_", b"-").replace(b".", b"-")
        return folded.startswith(_PREFIX) or folded in self._fields

    def _called(self, ask: AskAccount, scope: Scope) -> Account | None:
        try:
            answer = ask(scope)
            if answer is None:
                return None
            if isinstance(answer, Account):
                return self._account_of("account", *answer)
            return self._account_of("account", answer, None)
        except Exception as error:  # noqa: BLE001  whatever the site's code raises, the request goes on
            self._failed("account", error)
            return None

    def _stated(self, scope: Scope) -> Account | None:
        try:
            said = self._said(scope)
            return self._account_of(_IN_SCOPE, said.get("account"), said.get("account_created"))
        except Exception as error:  # noqa: BLE001  a mapping is the site's code too
            self._failed(_IN_SCOPE, error)
            return None

    def _said(self, scope: Scope) -> Mapping[object, object]:
        """Return what an outer middleware put into the scope."""
        said = scope[SCOPE_KEY]
        if isinstance(said, dict | Mapping):
            return said
        if said is not None:
            self._report(_IN_SCOPE, f"is a {type(said).__name__}; expected a mapping")
        return _NOTHING

    def _account_of(self, source: str, name: object, created: object) -> Account | None:
        text = self._name(source, name)
        return Account(text, self._moment(source, created)) if text else None

    def _name(self, source: str, name: object) -> str:
        if name is None:
            return ""
        if isinstance(name, str):
            return canonical_name(name)
        if inspect.iscoroutine(name):
            name.close()  # or Python warns, at some later request, that nobody awaited it
        self._report(source, f"names a {type(name).__name__}; expected a str")
        return ""

    def _moment(self, source: str, created: object) -> float | None:
        if created is None:
            return None
        try:
            return read_moment(created)
        except ValueError as error:
            self._report(source, f"gives a date that {error}")
            return None

    def _answered(self, fields: Mapping[bytes, bytes]) -> Account | None:
        name = self._named(fields[self._account])
        created = fields.get(self._created, b"").strip()
        if not name:
            return None
        return Account(name, self._moment("answer", created.decode("latin-1")) if created else None)

    @staticmethod
    def _named(value: bytes) -> str:
        # UTF-8 as it stands; other bytes become surrogates, and with them the name its digest
        return canonical_name(value.decode("utf-8", "surrogateescape"))

    def _failed(self, source: str, error: Exception) -> None:
        if (source, "raised") in self._reported:
            return
        frames = traceback.extract_tb(error.__traceback__)
        # Not its words: they may repeat what a client sent, line breaks and all.
        place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "an unknown place"
        self._report(source, f"raised {type(error).__name__} at {place}", kind="raised")

    def _report(self, source: str, problem: str, *, kind: str = "") -> None:
        """Say once what is wrong; ``kind`` stands for problems whose words differ."""
        if (source, kind or problem) not in self._reported and len(self._reported) < _MOST_REPORTS:
            self._reported.add((source, kind or problem))
            _log.error("accounts: %s %s; nobody is signed in by it (told once)", source, problem)


def set_cookies(headers: Headers) -> dict[bytes, bytes]:
    """Return the cookies that an answer sets; of one name the last counts (RFC 6265 §5.3)."""
    pairs = [
        value.partition(b";")[0].partition(b"=") for name, value in headers if name.lower() == b"set-cookie"
    ]
    return {name.strip(b" \t"): bare(value) for name, _, value in pairs}


def read_moment(value: object) -> float:
    """Return the seconds since the epoch that a number, a text or a ``datetime`` with a zone means.

    A date without a time is that day's end, in UTC: an account is as young as it may be. Raise
    ``ValueError``, which never repeats the value; milliseconds and what lies before 1990 are refused and not guessed.
    """
    seconds = _seconds(value)
    if seconds is None or not _FIRST_MOMENT <= seconds < _LAST_MOMENT:
        raise ValueError(
            "is no account's date; expected seconds since 1970, or as RFC 3339 has it, such as 2026-01-31T12:00:00Z"
        )
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo is not None else None
    if isinstance(value, str):
        text = value.strip()
        if _SECONDS.fullmatch(text):
            return float(text)
        return _rfc3339(text.upper()) if _DATE.fullmatch(text) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < _LAST_MOMENT else None
    return None


def _rfc3339(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC) + timedelta(days=1)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _callable_at_once(asked: object) -> bool:
    method = getattr(asked, "__call__", None)  # noqa: B004  an object's own, to see whether it is async
    return callable(asked) and not any(map(inspect.iscoroutinefunction, (asked, method)))
