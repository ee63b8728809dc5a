"""Finished renditions on disk: they outlive the server, and the workers of one site share them.

A file is a head and the picture. The head ends in a keyed hash over the file's name and all that follows, so
a file that a crash tore, a disk rotted or somebody exchanged is no rendition and is dropped. Names are keyed
hashes too: who reads the folder's listing cannot try whether a picture that he knows was asked for.

Nothing here is waited for by a client that could be answered otherwise, and no fault of the disk is
anybody's but the cache's: it is counted, said once in the log, and the folder is left alone for a while.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import threading
from collections import Counter
from contextlib import suppress
from hashlib import blake2b
from hmac import compare_digest
from itertools import count
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from antiscrape import clock
from antiscrape.images.frames import LARGEST_REPLY, MEDIA_TYPES
from antiscrape.ports import Rendered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.images.frames import Outcome

_log = logging.getLogger(__name__)

_HEAD = Struct("!4sB12s16s")  # what it is, the outcome, the ETag's value, the keyed hash
_MAGIC = b"asr1"
_LARGEST = _HEAD.size + LARGEST_REPLY
#: Our own folder within the one that is named, so that a wrong name costs nobody his files.
_OURS = "renditions"
_INNER = re.compile(r"[0-9a-f]{2}")
_NAME = re.compile(r"[0-9a-f]{40}")
_UNFINISHED = re.compile(r"[0-9a-f]{40}\.[0-9]+-[0-9]+\.part")
#: Seconds after which an unfinished file's writer is gone: it takes milliseconds to write one.
_ABANDONED = 600
#: Seconds for which the folder is left alone once it could not be written.
REST = 60.0
#: A file that is read is young again, but its time is written at most once an hour.
_YOUNG = 3600
#: The folder is counted again when this share of its room was written: several processes write, each knows its own.
_SHARE = 16
#: It is emptied to seven eighths, so that not every file costs another count.
_KEPT = 7 / 8


class _Entry(NamedTuple):
    modified: float
    size: int
    path: str


class Shelf:
    """Keeps renditions in ``folder``, up to ``room`` bytes of them; blocking, so to be called in a thread.

    ``key`` is 16 to 64 secret bytes. Construction never fails and touches nothing. ``counts`` tells how often a file was
    ``stored``, ``found``, ``torn`` (dropped for its hash), ``evicted``, and how often the disk ``failed``.
    """

    def __init__(self, folder: Path, *, room: int, key: bytes) -> None:
        self.counts: Counter[str] = Counter()
        self._folder = folder / _OURS
        self._room = room
        self._key = key
        self._written = room  # so that the first file has the folder counted
        self._held = 0
        self._rest_until = 0.0
        self._said: set[int | None] = set()
        self._numbers = count()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes in the folder when it was last counted, and what this process has written since."""
        return self._held

    def get(self, key: bytes) -> Rendered | None:
        """Return the rendition that was stored under ``key``, by whichever process, or ``None``."""
        name = self._name(key)
        path = self._path(name)
        try:
            # Non-blocking: a pipe that lies in a file's place must not hold a thread for ever.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENOENT:
                self._failed(error)
            return None
        try:
            with open(handle, "rb") as file:  # noqa: PTH123 - opened above, so as not to follow links
                found = self._read(name, file.read(_LARGEST + 1))
                if found is not None and clock.wall() - os.fstat(handle).st_mtime > _YOUNG:
                    with suppress(OSError):  # a read-only folder still serves what it holds
                        os.utime(handle)
        except OSError as error:
            self._failed(error)
            return None
        self.counts["torn" if found is None else "found"] += 1
        if found is None:
            _remove(path)
        return found

    def put(self, key: bytes, rendered: Rendered, outcome: Outcome) -> None:
        """Store ``rendered``; where the disk does not let us, count that."""
        name = self._name(key)
        etag = bytes.fromhex(rendered.etag)
        head = _HEAD.pack(_MAGIC, outcome, etag, self._seal(name, outcome, etag, rendered.body))
        if clock.monotonic() < self._rest_until or len(head) + len(rendered.body) > self._room // 8:
            return
        try:
            self._write(name, head + rendered.body)
        except OSError as error:
            self._rest_until = clock.monotonic() + REST
            self._failed(error)
            return
        self.counts["stored"] += 1
        with self._lock:
            self._written += _HEAD.size + len(rendered.body)
            self._held += _HEAD.size + len(rendered.body)
            if self._written < self._room // _SHARE:
                return
            self._written = 0
        self._make_room()

    def _write(self, name: str, content: bytes) -> None:
        """Write a file beside its place and move it there: a name never stands for half a file."""
        path = self._path(name)
        self._open_folder(path.parent)
        unfinished = path.with_name(f"{name}.{os.getpid()}-{next(self._numbers)}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(unfinished, flags, 0o600), "wb") as file:  # noqa: PTH123 - with these flags
                file.write(content)
            unfinished.replace(path)
        except OSError:
            _remove(unfinished)
            raise

    def _open_folder(self, inner: Path) -> None:
        """Make the folders where they are missing; raise ``PermissionError`` where others can write to ours."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = self._folder.lstat()
        ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid()
        if not ours or stat.S_IMODE(state.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            words = "it is open to others than this server"
            raise PermissionError(errno.EPERM, words, str(self._folder))
        inner.mkdir(mode=0o700, exist_ok=True)

    def _read(self, name: str, content: bytes) -> Rendered | None:
        """Return what a file holds, or ``None`` where it is not as it was written."""
        if not _HEAD.size < len(content) <= _LARGEST:
            return None
        magic, kind, etag, seal = _HEAD.unpack_from(content)
        body, media_type = content[_HEAD.size :], MEDIA_TYPES.get(kind)
        if magic != _MAGIC or media_type is None:
            return None
        if not compare_digest(seal, self._seal(name, kind, etag, body)):
            return None
        return Rendered(body, media_type, etag.hex())

    def _name(self, key: bytes) -> str:
        return blake2b(key, digest_size=20, key=self._key, person=b"shelf name").hexdigest()

    def _seal(self, name: str, kind: int, etag: bytes, body: bytes) -> bytes:
        seal = blake2b(digest_size=16, key=self._key, person=b"shelf seal")
        seal.update(name.encode("ascii") + bytes((kind,)) + etag)
        seal.update(body)
        return seal.digest()

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _make_room(self) -> None:
        """Count the folder, and delete the files that were not wanted for the longest time, where it is too full."""
        try:
            entries = sorted(self._entries())
        except OSError as error:
            self._failed(error)
            return
        held = sum(entry.size for entry in entries)
        if held > self._room:
            for entry in entries:
                if held <= self._room * _KEPT:
                    break
                _remove(Path(entry.path))
                self.counts["evicted"] += 1
                held -= entry.size
        self._held = held

    def _entries(self) -> Iterator[_Entry]:
        """Yield the files that are ours; delete what a writer left unfinished."""
        for inner in self._folder.iterdir():
            if not _INNER.fullmatch(inner.name):
                continue
            for entry in os.scandir(inner):
                try:
                    state = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process was faster
                    continue
                if _NAME.fullmatch(entry.name):
                    yield _Entry(state.st_mtime, state.st_size, entry.path)
                elif _UNFINISHED.fullmatch(entry.name) and clock.wall() - state.st_mtime > _ABANDONED:
                    _remove(Path(entry.path))

    def _failed(self, error: OSError) -> None:
        self.counts["failed"] += 1
        if error.errno not in self._said:
            self._said.add(error.errno)
            _log.warning(
                "images.cache_folder: %s: %s; renditions are made anew meanwhile",
                self._folder,
                error.strerror,
            )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a read-only folder keeps it, and whoever reads it finds out again
        return
