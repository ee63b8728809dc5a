"""What the checks look at: the policy, the secrets, and what came back when the site was asked, each question once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.tokens import KeyRing
from antiscrape.errors import EdgeError
from antiscrape.operate.doctor.edge import TOOL, Edge, Reply
from antiscrape.operate.doctor.tokens import FIELD, NONCE, PATH, Passwords
from antiscrape.operate.doctor.view import ADDRESSED, View, read_view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from antiscrape.core.rules import Policy

#: Of a network that nobody has (RFC 5737 §3): what the doctor says that it is, to see who believes it.
DISGUISE: Final = "192.0.2.77"
#: Seconds between the site's clock and ours beyond which a password is not read, so that it is made by the site's.
_STEP: Final = 30.0


class Secret(NamedTuple):
    """A secret's id, and when it was made, in seconds since 1970; None where nobody wrote it down."""

    id: str
    made: float | None


class Store(NamedTuple):
    """What the shared store answered: its clock less ours in seconds, or what is wrong."""

    ahead: float = 0.0
    problem: str = ""


class Asked(NamedTuple):
    """A question to the running site: the answer that came, and the view in it, None where there is none."""

    reply: Reply
    view: View | None
    nonce: str
    key: int  # which secret it took, counted back from the newest
    sent: float  # when it was asked and when it was answered, seconds since 1970 on our clock
    answered: float

    def ahead(self, time: float) -> float:
        """Return by how many seconds a clock that said ``time`` meanwhile is surely ahead of ours; below 0: behind."""
        return min(0.0, time - self.sent) + max(0.0, time - self.answered)


@dataclass
class Patient:
    """One deployment. ``edge`` is None where no URL was given; ``secrets`` is empty where none could be read."""

    policy: Policy
    edge: Edge | None
    wall: Callable[[], float]
    secrets: Sequence[Secret] = ()
    secret_file: Path | None = None
    config_file: Path | None = None
    store: Store | None = None  # None where each process counts for itself
    image: str = ""  # the picture to be compared; "" for one of the page
    unreachable: str = ""
    plain: Asked | None = None  # asked as whoever we are
    disguised: Asked | None = None  # asked with fields that say that we are somebody else
    again: Asked | None = None  # asked a second time under one URL
    _answers: dict[tuple[str, str], Reply | None] = field(default_factory=dict)

    @property
    def view(self) -> View | None:
        """What the running site sees of us, None where it could not be asked."""
        return None if self.plain is None else self.plain.view

    def ask(self, target: str, fields: Mapping[str, str]) -> Reply | None:
        """Ask the edge, once for the same question; None where it does not answer."""
        if self.edge is None or self.unreachable:
            return None
        key = target, fields.get("User-Agent", "")
        if key not in self._answers:
            try:
                self._answers[key] = self.edge.ask(target, fields)
            except EdgeError:
                self._answers[key] = None
        return self._answers[key]


def examine(patient: Patient) -> None:
    """Ask the running site how it sees us: as whoever we are, and as somebody who lies about it."""
    edge = patient.edge
    if edge is None:
        return
    questions = Questions(patient.policy, edge, patient.wall)
    try:
        patient.plain = questions.find()
        if patient.view is not None:
            header = patient.policy.identity.header
            lies = {name: DISGUISE for name in (*ADDRESSED, header) if name != "forwarded"}
            lies["forwarded"] = f"for={DISGUISE}"
            patient.disguised = questions.ask(patient.plain.key, lies)
            questions.ask(patient.plain.key, target=PATH)
            patient.again = questions.ask(patient.plain.key, target=PATH)
    except EdgeError as error:
        patient.unreachable = str(error)


class Questions:
    """Asks a running site what it sees."""

    def __init__(self, policy: Policy, edge: Edge, wall: Callable[[], float]) -> None:
        self._edge, self._wall = edge, wall
        self._count = len(policy.secrets)
        self._passwords = Passwords(KeyRing(policy.secrets), policy.site)
        self._ahead = 0.0

    def find(self) -> Asked:
        """Ask with the newest secret, and while it is not known with former ones: a site may not have read it yet."""
        first = self.ask(0)
        date = first.reply.date
        if first.view is None and date is not None and abs(first.ahead(date)) > _STEP:
            self._ahead = first.ahead(date)
            first = self.ask(0)
        asked = first
        for key in range(1, self._count):
            if asked.view is not None:
                return asked
            asked = self.ask(key)
        return asked if asked.view is not None else first

    def ask(self, key: int, fields: Mapping[str, str] | None = None, *, target: str = "") -> Asked:
        """Ask once, with further fields, under a URL that nobody has asked for unless ``target`` names one.

        Raise ``EdgeError``.
        """
        nonce = secrets.token_bytes(NONCE)
        password = self._passwords.make(nonce, now=self._wall() + self._ahead, key=key)
        sent = self._wall()
        reply = self._edge.ask(
            target or f"{PATH}?{nonce.hex()[:8]}", {**TOOL, FIELD: password, **(fields or {})}
        )
        view = read_view(reply.body) if reply.status == HTTPStatus.OK else None
        return Asked(reply, view, nonce.hex(), key, sent, self._wall())
