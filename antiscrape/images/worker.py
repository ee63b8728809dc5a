"""One image worker: a process that reads jobs from a socket, makes renditions, and can do little else.

It is started by :mod:`antiscrape.images.workers` and holds nothing worth stealing: no secret (but
for the trace's key in those that put traces into finished renditions, see :mod:`antiscrape.images.stamping`), no
environment, no request. Before it reads its first hostile byte it gives up the means to open a file,
a socket or a process, to write a core dump, and to take more memory than the rules allow. It ends
when its socket does, so it cannot outlive the server, and an alarm ends it when a job never does.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import socket
from typing import TYPE_CHECKING

import PIL
from PIL import Image, features

from antiscrape.core.rules import ImageRules
from antiscrape.images.decode import limit_pixels
from antiscrape.images.formats import Format
from antiscrape.images.frames import HEAD, ORDER, Duty, Order, Outcome, Reply
from antiscrape.images.recipes import Maker, recipes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from antiscrape.images.frames import Task

#: The first releases with the decoder fixes of 2026 (Pillow) and of CVE-2023-4863 (libwebp).
LEAST_PILLOW = (12, 3)
LEAST_LIBWEBP = (1, 3, 2)
_NICE = 5
_TEST_CARD = 128  # pixels


def main(settings: str) -> None:
    """Work until the socket on standard input ends. ``settings`` is an ``ImageRules`` as JSON."""
    rules = ImageRules.read(settings)
    # Ctrl-C reaches the whole foreground process group; the server decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=0) as line:
        try:
            check_libraries()
            table = _table(line, rules)
            limit_pixels(rules.max_pixels)
            rehearse(table)
            confine(rules.worker_memory)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server is told and starts no storm of workers
            _send(line, 0, Reply(Outcome.UNFIT, f"{type(error).__name__}: {error}".encode()))
            return
        _send(line, 0, Reply(Outcome.READY))
        _serve(line, rules, table)


def _table(line: socket.socket, rules: ImageRules) -> Mapping[Task, Maker]:
    """Return what this worker does, by the first word of the server: a key stands neither in its arguments nor its environment."""
    head = _read(line, HEAD.size)
    length, _, duty = HEAD.unpack(head) if head is not None else (0, 0, Duty.MAKE)
    if duty == Duty.MAKE:
        return recipes(rules)
    # Only here: a worker that reads the site's bytes has no use for it, nor for what it imports.
    from antiscrape.images.stamping import stamps  # noqa: PLC0415

    return stamps(bytes(_read(line, length) or b""), rules.rights)


def check_libraries() -> None:
    """Raise ``ImportError`` where the decoders are older than the fixes of known holes."""
    if _version(PIL.__version__) < LEAST_PILLOW:
        raise ImportError(f"Pillow {PIL.__version__} has known holes; 12.3 or newer is needed")
    libwebp = features.version("webp")
    if libwebp is not None and _version(libwebp) < LEAST_LIBWEBP:
        raise ImportError(f"libwebp {libwebp} has CVE-2023-4863; 1.3.2 or newer is needed")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def rehearse(table: Mapping[Task, Maker]) -> None:
    """Make every rendition of a test card in every format, and meet a broken one.

    This loads all that decoding loads late (codecs, fonts, tables), since nothing can be opened
    after :func:`confine`; and a worker that cannot do its work says so before it is given any.
    """
    card = Image.linear_gradient("L").resize((_TEST_CARD, _TEST_CARD)).convert("RGBA")
    card.putalpha(128)
    most = 4 * _TEST_CARD**2  # frames are counted, too
    for kind in Format:
        if not features.check(kind.value.lower()) and kind in {Format.WEBP, Format.AVIF}:
            continue
        sample = io.BytesIO()
        (card.convert("RGB") if kind is Format.JPEG else card).save(sample, kind.value)
        whole = sample.getvalue()
        for task, recipe in table.items():
            order = Order(task)
            recipe.make(whole, order, max_pixels=most)
            _attempt(recipe, whole[: len(whole) // 2], order, most)


def confine(memory: int) -> None:
    """Give up, for good, what decoding does not need; ``memory`` bounds the address space, in bytes."""
    os.nice(_NICE)
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),  # a core dump would hold people's pictures
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 3),  # the three that are open
    ):
        hard = resource.getrlimit(limit)[1]
        lowered = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (lowered, lowered))


def _serve(line: socket.socket, rules: ImageRules, table: Mapping[Task, Maker]) -> None:
    # The server ends a slow worker after ``timeout``; the alarm is for a server that cannot any more.
    alarm = 2 * rules.timeout + 1
    for tag, order, source in _jobs(line):
        signal.setitimer(signal.ITIMER_REAL, alarm)
        reply = _attempt(table[order.task], source, order, rules.max_pixels)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(line, tag, reply)


def _attempt(recipe: Maker, source: bytes, order: Order, max_pixels: int) -> Reply:
    try:
        return recipe.make(source, order, max_pixels=max_pixels)
    except MemoryError:
        return Reply(Outcome.MEMORY)
    except Exception:  # noqa: BLE001 - decoders raise OSError, SyntaxError, struct.error, ... at hostile bytes
        return Reply(Outcome.UNREADABLE)


def _jobs(line: socket.socket) -> Iterator[tuple[int, Order, bytes]]:
    """Yield the jobs that arrive, until the server closes its end or is gone."""
    while True:
        head = _read(line, HEAD.size + ORDER.size)
        if head is None:
            return
        length, tag, task = HEAD.unpack_from(head)
        source = _read(line, length)
        if source is None:
            return
        yield tag, Order.unpack(task, bytes(head[HEAD.size :])), bytes(source)


def _read(line: socket.socket, length: int) -> bytearray | None:
    """Return ``length`` bytes, or ``None`` where the line ends before."""
    buffer = bytearray(length)
    rest = memoryview(buffer)
    try:
        while rest:
            taken = line.recv_into(rest)
            if not taken:
                return None
            rest = rest[taken:]
    except ConnectionError:
        return None
    return buffer


def _send(line: socket.socket, tag: int, reply: Reply) -> None:
    try:
        line.sendall(HEAD.pack(len(reply.body), tag, reply.outcome) + reply.body)
    except ConnectionError:
        # The server is gone; the next read says so.
        return
