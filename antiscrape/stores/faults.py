"""What can be wrong with the shared store, in words that an operator can act on.

Neither the words nor the errors that carry them hold a password, a key or an argument: only where
the store is, and what is the matter there (SECURITY I3, J9).
"""

from __future__ import annotations

import socket
import ssl
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from redis import exceptions as theirs

from antiscrape.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Of an answer that nobody foresaw, this much is repeated.
LONGEST_ANSWER = 160


class Fault(StrEnum):
    """What is wrong with a store; the names are labels of metrics."""

    REFUSED = "refused"
    UNKNOWN_HOST = "unknown-host"
    TIMED_OUT = "timed-out"
    LOST = "connection-lost"
    TLS = "tls"
    NOT_RESP = "not-resp"
    PASSWORD_NEEDED = "password-needed"  # noqa: S105  the name of a fault
    PASSWORD_WRONG = "password-wrong"  # noqa: S105  the name of a fault
    FORBIDDEN = "forbidden"
    READ_ONLY = "read-only"
    OUT_OF_MEMORY = "out-of-memory"
    LOADING = "loading"
    NO_MASTER = "no-master"
    CLUSTER_DOWN = "cluster-down"
    IS_CLUSTER = "is-a-cluster"
    NO_CLUSTER = "is-no-cluster"
    TOO_MANY_CLIENTS = "too-many-clients"
    ANSWER = "error-answered"


WORDS: Final = {
    Fault.REFUSED: "refuses connections; is it running, and is this its address?",
    Fault.UNKNOWN_HOST: "has a name that no address is known for",
    Fault.LOST: "closed the connection before it had answered",
    Fault.TLS: "cannot be spoken to over TLS",
    Fault.NOT_RESP: "does not speak the protocol of Valkey (RESP); what listens at this address?",
    Fault.PASSWORD_NEEDED: "asks for a password; name a file that holds it in store.password_file",
    Fault.PASSWORD_WRONG: "does not take the user and password that it was given",
    Fault.FORBIDDEN: "does not let this user do what is needed: EVAL, EVALSHA, PUBLISH, SUBSCRIBE and the site's keys",
    Fault.READ_ONLY: "is a read-only replica; give its master's address, or its Sentinels'",
    Fault.OUT_OF_MEMORY: "has used its maxmemory and takes nothing new",
    Fault.LOADING: "is still loading its data",
    Fault.NO_MASTER: "has no Sentinel that knows a master of this name",
    Fault.CLUSTER_DOWN: "is a cluster in which slots have no master",
    Fault.IS_CLUSTER: 'is a node of a cluster; its address starts with "valkey+cluster://"',
    Fault.NO_CLUSTER: 'is no node of a cluster; its address starts with "valkey://"',
    Fault.TOO_MANY_CLIENTS: "has as many clients as it allows (maxclients)",
}

#: The store as a whole cannot be used; waiting for every single request to find that out helps nobody.
AWAY: Final = frozenset(Fault) - {Fault.ANSWER, Fault.LOST, Fault.OUT_OF_MEMORY}

_BY_TYPE: Final[tuple[tuple[type[BaseException], Fault], ...]] = (
    (theirs.NoPermissionError, Fault.FORBIDDEN),
    (theirs.ReadOnlyError, Fault.READ_ONLY),
    (theirs.OutOfMemoryError, Fault.OUT_OF_MEMORY),
    (theirs.BusyLoadingError, Fault.LOADING),
    (theirs.ClusterDownError, Fault.CLUSTER_DOWN),
    (theirs.AskError, Fault.IS_CLUSTER),  # MOVED is a kind of it
    (theirs.InvalidResponse, Fault.NOT_RESP),
    (theirs.TimeoutError, Fault.TIMED_OUT),
    (ssl.SSLError, Fault.TLS),
    (TimeoutError, Fault.TIMED_OUT),
    (ConnectionRefusedError, Fault.REFUSED),
    (FileNotFoundError, Fault.REFUSED),
    (PermissionError, Fault.REFUSED),
    (socket.gaierror, Fault.UNKNOWN_HOST),
)
#: Errors that only their words tell apart, in the order in which they are looked for.
_BY_WORDS: Final = (
    ("Authentication required", Fault.PASSWORD_NEEDED),
    ("without any password configured", Fault.PASSWORD_WRONG),
    ("max number of clients", Fault.TOO_MANY_CLIENTS),
    ("cluster support disabled", Fault.NO_CLUSTER),
    ("Protected mode", Fault.REFUSED),
)


def told(error: BaseException, where: object, *, timeout: float) -> StoreError:
    """Return what is wrong at ``where`` (an address without secrets), after an error of the client or the system.

    ``timeout`` (seconds) is how long was waited.
    """
    if isinstance(error, StoreError):
        return error
    fault = fault_of(error)
    if fault is Fault.TIMED_OUT:
        words = f"did not answer within {timeout * 1000:.0f} ms"
    elif fault is Fault.ANSWER:
        words = f"answered with an error: {_shown(str(error))}"
    elif fault is Fault.TLS:
        words = f"{WORDS[fault]}: {_shown(_reason(error))}"
    else:
        words = WORDS[fault]
    return StoreError(f"the store {where} {words}", fault=fault, away=fault in AWAY)


def fault_of(error: BaseException) -> Fault:
    """Return which fault an error of the client or the system is."""
    chain = tuple(_chain(error))
    for one in chain:
        for words, fault in _BY_WORDS:
            if words in str(one):
                return fault
        if isinstance(one, theirs.AuthenticationError):
            return Fault.PASSWORD_WRONG
    for one in reversed(chain):  # what happened first says more than what was made of it
        for kind, fault in _BY_TYPE:
            if isinstance(one, kind):
                return fault
    if isinstance(error, theirs.ConnectionError | OSError):
        return Fault.LOST
    # what is no error of the client's was raised by its parser, over bytes that nobody should send
    return Fault.ANSWER if isinstance(error, theirs.RedisError) else Fault.NOT_RESP


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it; the client wraps the system's errors, some of them twice."""
    one: BaseException | None = error
    for _ in range(5):
        if one is None:
            return
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _reason(error: BaseException) -> str:
    return next((one.reason or "" for one in _chain(error) if isinstance(one, ssl.SSLError)), "")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:LONGEST_ANSWER]
