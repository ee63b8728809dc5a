"""The words that the server's process and its image workers exchange: frames of a head and a body.

A head is 13 bytes: the body's length, a tag that a reply repeats from its job, and what the frame is.
Neither side believes the other further than it must: a worker has read hostile bytes and may speak
for them, so replies are bounded and a wrong tag ends the worker.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

#: Length of the body in bytes, tag, :class:`Task` or :class:`Outcome`.
HEAD = Struct("!IQB")

#: Bytes of the largest body that a worker may answer with. A 1200 x 1200 JPEG of pure noise has 1.4 MB.
LARGEST_REPLY = 4 * 2**20


class Task(IntEnum):
    """What a worker is asked for."""

    PREVIEW = 1
    MARKED = 2


class Outcome(IntEnum):
    """What became of a job. The last three are the pool's own words and never travel."""

    READY = 0  # the worker has started and may be given jobs
    JPEG = 1  # done; the body is a JPEG
    PNG = 2
    WEBP = 3
    UNREADABLE = 16  # the source cannot be decoded, or is larger than the rules allow; it never will be
    MEMORY = 17  # the worker met its memory limit
    UNFIT = 18  # the worker cannot work at all; the body says why
    BUSY = 32  # no room in the queue
    LOST = 33  # the worker died or was ended for taking too long
    CLOSED = 34  # no worker can be started, or the pool is closed


#: The media types of the outcomes that carry a picture.
MEDIA_TYPES = {Outcome.JPEG: "image/jpeg", Outcome.PNG: "image/png", Outcome.WEBP: "image/webp"}


class Reply(NamedTuple):
    """An outcome and, where it carries a picture, the encoded picture."""

    outcome: Outcome
    body: bytes = b""
