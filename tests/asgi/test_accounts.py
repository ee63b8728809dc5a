"""What the site says of accounts and owners: believed from it in three ways, and never from a client."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from antiscrape.asgi.accounts import Accounts, Told, read_moment, set_cookies
from antiscrape.core.account import Account, AccountRules
from antiscrape.errors import ConfigurationError
from tests.costs import calls_of
from tests.house import SECRET, Clock, drive, head_of, person, scope_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from antiscrape.core.request import RequestHead
    from tests.house import Pairs

KEY = bytes(range(32))
UNTYPED: Any = b"ada"
SESSION = b"0123456789abcdef"
MADE = 1_600_000_000.0
COOKIES = AccountRules(cookies=("sid",))
OK = [(b"content-type", b"text/html")]
COOKIE = (b"cookie", b"sid=" + SESSION)
SAYS_ADA = (b"x-antiscrape-account", b"ada")
OF_GRACE = (b"x-antiscrape-owner", b"grace")


def accounts(rules: AccountRules | None = None, **ways: Any) -> Accounts:
    return Accounts(rules or AccountRules(), key=KEY, clock=Clock().monotonic, **ways)


def ask(to: Accounts, *fields: tuple[bytes, bytes], **more: Any) -> Account | None:
    headers = person(*fields)
    return to.of_request(scope_of("/", headers, **more), head_of("/", headers))


def told(to: Accounts, *fields: tuple[bytes, bytes], head: RequestHead | None = None) -> Told:
    return to.of_answer(head or head_of("/", person(COOKIE)), [*OK, *fields])


def test_without_any_source_nobody_is_signed_in() -> None:
    assert ask(accounts()) is None
    assert accounts().owner_of(scope_of("/", person())) == ""


@pytest.mark.parametrize(
    ("answer", "account"),
    [
        (None, None), ("", None), ("ada", Account("ada")), (Account("ada"), Account("ada")),
        (Account(" ada", MADE), Account("ada", MADE)), (Account("", MADE), None),
    ],
)  # fmt: skip
def test_a_callable_names_the_account(answer: object, account: Account | None) -> None:
    assert ask(accounts(account=lambda _: answer)) == account


def test_a_callable_is_given_the_scope() -> None:
    site = accounts(account=lambda scope: scope["user"], owner=lambda scope: scope["path"][1:])
    assert ask(site, user="ada") == Account("ada")
    assert site.owner_of(scope_of("/grace", [])) == "grace"


@pytest.mark.parametrize("error", [KeyError("user"), RuntimeError("a\nb"), RecursionError()])
def test_a_callable_that_raises_is_reported_once_and_fails_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(_: Scope) -> str:
        raise error

    site = accounts(account=raises, owner=raises)
    for _ in range(3):
        assert ask(site, antiscrape={"account": "ada"}) == Account("ada"), "the next source is asked"
        assert site.owner_of(scope_of("/", [])) == ""
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert type(error).__name__ in record.getMessage()
        assert "test_accounts.py, line" in record.getMessage()
        assert "\n" not in record.getMessage(), "an error's words may be a client's"


@pytest.mark.parametrize("answer", [7, b"ada", ["ada"], Account(UNTYPED)])
def test_a_name_that_is_no_text_is_reported_and_nobodys(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    site = accounts(account=lambda _: answer, owner=lambda _: answer)
    assert ask(site) is None
    assert site.owner_of(scope_of("/", [])) == ""
    assert len(caplog.records) == 2


def test_a_callable_that_would_have_to_be_awaited_stops_the_start() -> None:
    async def later(_: Scope) -> str:
        return "ada"

    class Later:
        async def __call__(self, _: Scope) -> str:
            return "ada"

    for wrong in (later, Later(), "ada"):
        for ways in ({"account": wrong}, {"owner": wrong}):
            with pytest.raises(ConfigurationError, match="without await"):
                accounts(None, **ways)


def test_a_coroutine_that_comes_all_the_same_is_closed_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> str:
        return "ada"

    assert ask(accounts(account=lambda _: later())) is None
    assert "coroutine" in caplog.text


@pytest.mark.parametrize(
    ("stated", "account"),
    [
        ({"account": "ada"}, Account("ada")),
        ({"account": "ada", "account_created": MADE, "owner": "grace"}, Account("ada", MADE)),
        (MappingProxyType({"account": "ada"}), Account("ada")),
        ({"account": "ada", "account_created": "2020-09-13T12:26:40Z"}, Account("ada", MADE)),
        ({"account": "ada", "account_created": "yesterday"}, Account("ada")),
        ({"account": "ada", "account_created": MADE * 1000}, Account("ada")),
        ({"account_created": MADE}, None), ({"account": None}, None), ({"account": 7}, None), ({}, None), (None, None),
        ("ada", None), ([("account", "ada")], None),
    ],
)  # fmt: skip
def test_an_outer_middleware_names_the_account_in_the_scope(stated: object, account: Account | None) -> None:
    assert ask(accounts(), antiscrape=stated) == account


def test_the_owner_stands_in_the_scope_as_well() -> None:
    site = accounts(owner=lambda scope: scope.get("owner"))
    assert site.owner_of(scope_of("/", [], antiscrape={"owner": "grace"})) == "grace"
    assert site.owner_of(scope_of("/", [], antiscrape={"owner": "grace"}, owner="ada")) == "ada"
    for stated in ({"owner": 1}, "grace", None, {}):
        assert site.owner_of(scope_of("/", [], antiscrape=stated)) == ""


def test_a_mapping_that_raises_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(dict[str, object]):
        def get(self, *_: object) -> object:
            raise RuntimeError

    assert ask(accounts(), antiscrape=Odd()) is None
    assert accounts().owner_of(scope_of("/", [], antiscrape=Odd())) == ""
    assert caplog.text.count("RuntimeError") == 2


def test_the_callable_goes_before_the_scope_and_the_scope_before_the_session() -> None:
    site = accounts(COOKIES, account=lambda scope: scope.get("user"))
    told(site, (b"x-antiscrape-account", b"by-session"))
    stated = {"account": "by-scope"}
    assert ask(site, COOKIE, user="by-call", antiscrape=stated) == Account("by-call")
    assert ask(site, COOKIE, antiscrape=stated) == Account("by-scope")
    assert ask(site, COOKIE) == Account("by-session")


def test_an_answer_is_relieved_of_our_fields_and_believed() -> None:
    site = accounts(COOKIES)
    answer = told(
        site,
        (b"X-Antiscrape-Account", b"ada"),
        (b"x-antiscrape-account-created", b"1600000000"),
        (b"x-antiscrape-owner", b" gr\xc3\xa9ta "),
        (b"x-other", b"stays"),
    )
    assert answer == Told([*OK, (b"x-other", b"stays")], Account("ada", MADE), "gréta")
    assert ask(site, (b"cookie", b"a=b; sid=" + SESSION)) == Account("ada", MADE)
    assert ask(site, (b"cookie", b"sid=" + SESSION[::-1])) is None


def test_an_answer_that_says_nothing_keeps_its_fields_as_they_are() -> None:
    headers = [*OK]
    answer = accounts(COOKIES).of_answer(head_of("/", person(COOKIE)), headers)
    assert answer.headers is headers
    assert (answer.account, answer.owner) == (None, "")


def test_our_fields_are_taken_out_even_where_no_session_is_remembered() -> None:
    assert told(accounts(), SAYS_ADA, OF_GRACE) == Told(OK, Account("ada"), "grace")


def test_signing_in_and_out_by_header() -> None:
    site = accounts(COOKIES)
    told(site, SAYS_ADA, (b"set-cookie", b"sid=" + SESSION + b"; HttpOnly"), head=head_of("/", person()))
    assert ask(site, COOKIE) == Account("ada")
    told(site)
    assert ask(site, COOKIE) == Account("ada"), "an answer may leave it unsaid"
    assert told(site, (b"x-antiscrape-account", b"")).account is None
    assert ask(site, COOKIE) is None


def test_a_session_is_forgotten_in_time() -> None:
    clock = Clock()
    site = Accounts(COOKIES, key=KEY, clock=clock.monotonic)
    told(site, SAYS_ADA)
    clock.tick(3600)
    assert ask(site, COOKIE) is None


@pytest.mark.security("J1")
def test_an_answer_out_of_a_cache_does_not_say_who_asks(caplog: pytest.LogCaptureFixture) -> None:
    """The cache between us and the site keeps one member's answer, and gives it to the next visitor."""
    site = accounts(COOKIES)
    answer = told(site, SAYS_ADA, OF_GRACE, (b"Age", b"0"))
    assert answer == Told([*OK, (b"Age", b"0")], None, "grace")
    assert ask(site, COOKIE) is None
    assert "cache" in caplog.text


def test_two_lines_of_one_field_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    site = accounts(COOKIES)
    answer = told(site, SAYS_ADA, (b"X-Antiscrape-Account", b"bob"), OF_GRACE)
    assert answer == Told(OK, None, "grace")
    assert ask(site, COOKIE) is None
    assert len(caplog.records) == 1


def test_the_fields_have_the_names_that_the_operator_gives() -> None:
    site = accounts(AccountRules(account_header="X-User", owner_header="x-photo-of"))
    answer = told(site, (b"x-user", b"ada"), (b"X-Photo-Of", b"grace"), (b"x-antiscrape-owner", b"nobody"))
    assert answer == Told([*OK, (b"x-antiscrape-owner", b"nobody")], Account("ada"), "grace")
    with pytest.raises(ConfigurationError, match="one name"):
        accounts(AccountRules(account_header="X-User", owner_header="x-user"))


@pytest.mark.security("A5")
@pytest.mark.parametrize(
    "name", [b"x-antiscrape-account", b"x-antiscrape-owner", b"x_antiscrape_account", b"X-Antiscrape.Account", b"x-antiscrape-anything", b"x-user", b"x_user"]
)  # fmt: skip
def test_what_a_client_says_in_our_name_reaches_neither_us_nor_the_site(name: bytes) -> None:
    site = accounts(AccountRules(account_header="x-user", cookies=("sid",)))
    headers = [*person(), (name, b"ada")]
    scope, head = scope_of("/", headers), head_of("/", headers)
    assert site.of_request(scope, head) is None
    assert site.for_site(scope, head)["headers"] == site.for_site(scope, head)["headers"] == person()
    assert scope["headers"] == headers, "the server's own scope is left"


def test_a_request_without_our_fields_goes_to_the_site_as_it_came() -> None:
    site, scope = accounts(), scope_of("/", [*person(), (b"x-antiscrap", b"1")])
    head = head_of("/", scope["headers"])
    assert site.for_site(scope, head) is scope
    assert calls_of(lambda: site.for_site(scope, head)) <= 4, "one look-up"


Bytes = st.binary(max_size=200) | st.sampled_from([b"x" * 10_240, b"\xff", b"a\nb", b"\0", b"sid=" * 16_384])


@given(account=Bytes, created=Bytes, owner=Bytes, cookie=Bytes, given=Bytes)
def test_no_bytes_of_site_or_client_raise_or_get_through(
    account: bytes, created: bytes, owner: bytes, cookie: bytes, given: bytes
) -> None:
    site = accounts(COOKIES)
    head = head_of("/", person((b"cookie", b"sid=" + SESSION + b"; " + cookie)))
    fields = [(b"x-antiscrape-account", account), (b"x-antiscrape-account-created", created)]
    answer = told(site, *fields, (b"x-antiscrape-owner", owner), (b"set-cookie", given), head=head)
    assert answer.headers == [*OK, (b"set-cookie", given)]
    for name in (answer.owner, answer.account.name if answer.account else ""):
        assert name.isprintable()
        assert len(name) <= 254
    known = site.of_request(scope_of("/", []), head)
    assert known is None or known == answer.account


Anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(account=Anything, created=Anything, owner=Anything)
def test_no_value_in_the_scope_raises(account: object, created: object, owner: object) -> None:
    logging.getLogger("antiscrape.accounts").disabled = True  # thousands of problems, each of them new
    try:
        stated = {"account": account, "account_created": created, "owner": owner}
        site, scope = accounts(), scope_of("/", [], antiscrape=stated)
        found = site.of_request(scope, head_of("/", person()))
        assert (found is not None) is (isinstance(account, str) and account.strip(" \t") != "")
        assert site.owner_of(scope).isprintable()
    finally:
        logging.getLogger("antiscrape.accounts").disabled = False


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_600_000_000, MADE), (1_600_000_000.5, MADE + 0.5), ("1600000000", MADE), (" 1600000000.25 ", MADE + 0.25),
        ("2020-09-13T12:26:40Z", MADE), ("2020-09-13t12:26:40z", MADE), ("2020-09-13 12:26:40.5Z", MADE + 0.5),
        ("2020-09-13T14:26:40+02:00", MADE), ("2020-09-12", datetime(2020, 9, 13, tzinfo=UTC).timestamp()),
        (datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC), MADE),
        (datetime(2020, 9, 13, 14, 26, 40, tzinfo=timezone(timedelta(hours=2))), MADE),
    ],
)  # fmt: skip
def test_a_date_is_read_in_every_way_that_sites_write_it(value: object, seconds: float) -> None:
    assert read_moment(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        -1, 0, 86_400, True, None, float("nan"), float("inf"), 10**400, 1_600_000_000_000, "1600000000000", "", "now", "-1", "1e9", "٣",
        "2020-13-01", "2020-02-30", "2020-09-13T12:26:40", "2020-09-13T25:00:00Z", "2020-W37-7", "20200913", "0000-01-01",
        "9999-12-31", "1969-12-31T23:59:59Z", "Sun, 13 Sep 2020 12:26:40 GMT", "9" * 10_000, b"1600000000",
        datetime(2020, 9, 13, 12, 26, 40),  # noqa: DTZ001  no zone is what it is about
    ],
    ids=lambda value: repr(value)[:24],
)  # fmt: skip
def test_what_is_no_date_is_refused_without_being_repeated(value: object) -> None:
    with pytest.raises(ValueError, match=r"^is no account's date; expected seconds since 1970, or as RFC"):
        read_moment(value)


def test_the_cookies_that_an_answer_sets_are_read_as_a_browser_reads_them() -> None:
    lines = [b"sid=1; Path=/", b" sid = 2 ;HttpOnly", b'a="b"', b"flag", b"=", b""]
    cookies = set_cookies([(b"Set-Cookie", line) for line in lines])
    assert cookies == {b"sid": b"2", b"a": b"b", b"flag": b"", b"": b""}


class Joint:
    """The smallest thing that stands between a server and a site and asks the accounts."""

    def __init__(self, app: ASGIApp, site: Accounts) -> None:
        self.app, self.site = app, site
        self.asked: list[Account | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = head_of(scope["raw_path"], scope["headers"])
        self.asked.append(self.site.of_request(scope, head))

        async def relay(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self.site.of_answer(head, message["headers"]).headers}
            await send(message)

        await self.app(self.site.for_site(scope, head), receive, relay)


def community() -> ASGIApp:
    """Return a site with Starlette's sessions, which says in each answer who is signed in."""

    async def sign_in(request: Request) -> PlainTextResponse:
        request.session["user"] = request.path_params["user"]
        return PlainTextResponse("welcome", headers={"X-Antiscrape-Account": request.path_params["user"]})

    async def sign_out(request: Request) -> PlainTextResponse:
        request.session.clear()
        return PlainTextResponse("bye", headers={"X-Antiscrape-Account": ""})

    async def show(request: Request) -> PlainTextResponse:
        said = [name for name in request.headers if "antiscrape" in name]
        user = request.session.get("user", "")
        return PlainTextResponse(f"{user} {said}", headers={"X-Antiscrape-Account": user})

    routes = [Route("/in/{user}", sign_in), Route("/out", sign_out), Route("/", show)]
    return SessionMiddleware(Starlette(routes=routes), secret_key=SECRET)


def test_a_site_with_sessions_of_its_own_is_followed_from_sign_in_to_sign_out() -> None:
    joint = Joint(community(), accounts(AccountRules(cookies=("session",))))
    jar: dict[bytes, bytes] = {}

    async def visit(path: str, *extra: tuple[bytes, bytes]) -> bytes:
        headers: Pairs = [*person(), *extra]
        if jar:
            headers.append((b"cookie", b"; ".join(b"%b=%b" % pair for pair in jar.items())))
        answer = await drive(joint, scope_of(path, headers))
        assert not [name for name, _ in answer.fields if b"antiscrape" in name.lower()]
        jar.update(set_cookies(answer.fields))
        return answer.body

    async def main() -> None:
        assert await visit("/", (b"x-antiscrape-account", b"mallory")) == b" []"
        await visit("/in/ada")
        session = dict(jar)
        assert await visit("/") == b"ada []"
        await visit("/out")
        assert await visit("/") == b" []"
        jar.update(session)
        assert await visit("/") == b"ada []", "Starlette's sessions cannot be ended; the site says who it is"
        await visit("/")

    asyncio.run(main())
    ada = Account("ada")
    assert joint.asked == [None, None, ada, ada, None, None, ada]
