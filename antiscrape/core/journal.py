"""What a record has spent since its spending was last told to others: the news between two exchanges."""

from __future__ import annotations

#: The room of a journal that is to be told with the next exchange, whatever more is noted in it.
DUE = float("inf")


class Journal:
    """The news of one record. A store that shares its counts opens one when a record is first charged.

    ``requests`` are the seconds by which the record's own TAT was moved on, ``rates`` the same for TATs that
    are kept by name. ``originals`` and ``subjects`` are the identities that were charged, in their order; when they
    were stands in the record. ``told`` tells that a ban or a cooling is news. A journal of nothing but up to
    ``room`` seconds of requests, and as small a share of other limits, rests from when it ``begun`` on: there is no hurry to
    tell it.
    """

    __slots__ = ("all", "begun", "lifted", "originals", "rates", "requests", "room", "subjects", "told")

    def __init__(self, room: float = DUE, begun: float = 0.0) -> None:
        self.requests = 0.0
        self.room = room
        self.begun = begun
        self.rates: dict[str, float] | None = None
        self.originals: list[int] | None = None
        self.subjects: list[int] | None = None
        self.told = self.all = self.lifted = False

    @property
    def light(self) -> bool:
        """Whether there is nothing in it but requests: the usual case."""
        return self.rates is None and not (self.told or self.originals or self.subjects)

    def add_rate(self, name: str, seconds: float) -> None:
        """Note that the TAT called ``name`` was moved on."""
        rates = self.rates
        if rates is None:
            rates = self.rates = {}
        rates[name] = rates.get(name, 0.0) + seconds

    def add_original(self, identity: int) -> None:
        """Note that an original was charged."""
        if self.originals is None:
            self.originals = []
        self.originals.append(identity)

    def add_subject(self, identity: int) -> None:
        """Note that a subject was charged."""
        if self.subjects is None:
            self.subjects = []
        self.subjects.append(identity)

    def put_back(self, later: Journal) -> None:
        """Add what was noted while this could not be delivered."""
        self.requests += later.requests
        for name, seconds in (later.rates or {}).items():
            self.add_rate(name, seconds)
        for identity in later.originals or ():
            self.add_original(identity)
        for identity in later.subjects or ():
            self.add_subject(identity)
        self.told = self.told or later.told
        self.all = self.all or later.all
        self.lifted = self.lifted or later.lifted
