"""The words that the server's process and its image workers exchange: frames of a head and a body.

A head is 13 bytes: the body's length, a tag that a reply repeats from its job, and what the frame is.
Between the head of a job and its body, the source, stand 25 bytes with the rest of the order. The
first frame of all tells a new worker its duty.
Neither side believes the other further than it must: a worker has read hostile bytes and may speak
for them, so replies are bounded and a wrong tag ends the worker.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from antiscrape.images.formats import EVERY

#: Length of the body in bytes, tag, :class:`Task` or :class:`Outcome`.
HEAD = Struct("!IQB")

#: Bytes of the largest body that a worker may answer with. A 1200 x 1200 JPEG of pure noise has 1.4 MB.
LARGEST_REPLY = 4 * 2**20


#: What an order says beside its task: formats, seed, payload.
ORDER = Struct("!B16sQ")

#: Bytes of an order's seed.
SEED_BYTES = 16
#: Bytes of a source that a decoy is made from: a JPEG's size stands behind its metadata, of which Exif and XMP may have
#: a segment's 64 kB each.
DECOY_HEAD = 0x24000


class Task(IntEnum):
    """What a worker is asked for."""

    PREVIEW = 1
    MARKED = 2
    DECOY = 3
    STAMP = 4  # a rendition that our own workers made, with the trace of its taker


class Duty(IntEnum):
    """What a worker is there for: the first word that it is told, with the key that it needs, before it is confined."""

    MAKE = 1  # it reads whatever the site sends, and holds no key
    STAMP = 2  # it holds the trace's key, and reads only what our own workers made

    def hello(self, key: bytes = b"") -> bytes:
        """Return the frame that says so."""
        return HEAD.pack(len(key), 0, self) + key


class Order(NamedTuple):
    """What a worker is to make of the source that comes with it.

    ``formats`` is a mask of the bits of
    :class:`~antiscrape.images.formats.Format`: what the client can read. ``seed`` is 16 bytes that decide what a
    decoy looks like, ``payload`` the 64 bits of a trace.
    """

    task: Task
    formats: int = EVERY
    seed: bytes = bytes(SEED_BYTES)
    payload: int = 0

    def pack(self) -> bytes:
        """Return the order, without its task, as it stands in front of the source."""
        return ORDER.pack(self.formats, self.seed, self.payload)

    @classmethod
    def unpack(cls, task: int, packed: bytes) -> Order:
        """Return the order that was packed; raise ``ValueError`` for a task that there is not."""
        return cls(Task(task), *ORDER.unpack(packed))


def seed_of(name: bytes, key: bytes = b"") -> bytes:
    """Return what a decoy for the picture called ``name`` is drawn from."""
    return blake2b(name, digest_size=SEED_BYTES, key=key, person=b"antiscrape decoy").digest()


class Outcome(IntEnum):
    """What became of a job. The last four are the server's own words and never travel."""

    READY = 0  # the worker has started and may be given jobs
    JPEG = 1  # done; the body is a JPEG
    PNG = 2
    WEBP = 3
    AVIF = 4
    GIF = 5
    UNREADABLE = 16  # the source cannot be decoded, or is larger than the rules allow; it never will be
    MEMORY = 17  # the worker met its memory limit
    UNFIT = 18  # the worker cannot work at all; the body says why
    BUSY = 32  # no room in the queue
    LOST = 33  # the worker died or was ended for taking too long
    CLOSED = 34  # no worker can be started, or the pool is closed
    FAULT = 35  # a fault of our own, which the log tells of


#: The media types of the outcomes that carry a picture.
MEDIA_TYPES = {
    Outcome.JPEG: "image/jpeg",
    Outcome.PNG: "image/png",
    Outcome.WEBP: "image/webp",
    Outcome.AVIF: "image/avif",
    Outcome.GIF: "image/gif",
}


class Reply(NamedTuple):
    """An outcome and, where it carries a picture, the encoded picture."""

    outcome: Outcome
    body: bytes = b""
