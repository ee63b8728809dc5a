"""What a request asks for, told by its route (and, later, by the response's Content-Type), never by a file suffix."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple


class Kind(Enum):
    """The classes of resource that policy speaks of."""

    IMAGE = "image"
    PAGE = "page"
    SUBJECT = "subject"  # a page that belongs to one subject: a profile, an album
    API = "api"
    ASSET = "asset"  # what a page needs to be drawn: styles, scripts, fonts, favicons
    TRAP = "trap"  # nobody who sees the page follows this
    EXEMPT = "exempt"  # never judged: robots.txt, /.well-known/, health
    UNTOLD = "untold"  # no route says; the response's Content-Type will

    __hash__ = object.__hash__


class Size(Enum):
    """Whether an image is one that the ``originals`` budget counts."""

    ORIGINAL = "original"
    THUMBNAIL = "thumbnail"
    UNTOLD = "untold"  # told by the picture's own dimensions when it comes

    __hash__ = object.__hash__


#: Names of subjects are short; longer ones are hashed each time, so that what is remembered stays small.
_LONGEST_NAME = 128


class Resource(NamedTuple):
    """One resource, in exactly one reading.

    ``path`` is percent-decoded once, with its case kept. ``identity`` is a stable 64-bit name of
    the resource, the same for every spelling of it. ``subject`` is the captured subject's name, or
    ``""``. ``number`` is the first number of the last segment (a photo's id: 1001 of
    ``/media/1001-320.jpg``, whatever size follows), or -1.
    """

    kind: Kind
    path: str
    identity: int
    size: Size = Size.UNTOLD
    subject: str = ""
    number: int = -1

    def asked_with(self, query: bytes) -> Resource:
        """Tell ``/photo?id=1`` from ``/photo?id=2``; ``query`` is without a grant, which makes no other picture."""
        if not query:
            return self
        digest = blake2b(query, digest_size=8, key=self.identity.to_bytes(8, "big")).digest()
        return self._replace(identity=int.from_bytes(digest, "big"))


def subject_identity(subject: str) -> int:
    """Return a stable 64-bit name of a subject: the same in every process, as a shared store needs it."""
    return _name_subject(subject) if len(subject) <= _LONGEST_NAME else _name_subject.__wrapped__(subject)


@lru_cache(maxsize=8192)
def _name_subject(subject: str) -> int:
    # A site may hand over any str as an owner's name, halves of surrogate pairs too.
    name = subject.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=8, person=b"subject").digest(), "big")
