"""Renditions on disk: what is torn, foreign, full or unreadable costs the cache and nothing else."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape import clock
from antiscrape.images.frames import Outcome
from antiscrape.images.shelf import Shelf
from antiscrape.ports import Rendered
from tests.costs import ends

if TYPE_CHECKING:
    from collections.abc import Callable


ROOT = Path(__file__).parents[2]
KEY = b"k" * 32
MADE = Rendered(b"\xff\xd8" + b"picture" * 50, "image/jpeg", "0123456789abcdef01234567")


def shelf_in(folder: Path, room: int = 2**20, key: bytes = KEY) -> Shelf:
    return Shelf(folder, room=room, key=key)


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_stored_is_found_by_another_process(tmp_path: Path) -> None:
    """Another shelf of the same key and folder: a second worker, or the server after its restart."""
    shelf_in(tmp_path).put(b"a", MADE, Outcome.JPEG)
    later = shelf_in(tmp_path)
    assert later.get(b"a") == MADE
    assert later.get(b"b") is None
    assert later.counts == {"found": 1}


@pytest.mark.security("J1")
def test_nothing_of_a_picture_shows_in_the_folder(tmp_path: Path) -> None:
    """Names are keyed: two sites name the same picture differently, and neither name can be guessed."""
    for key in (KEY, b"l" * 32):
        shelf_in(tmp_path, key=key).put(b"photos.example/1.jpg", MADE, Outcome.JPEG)
    names = {path.name for path in files_in(tmp_path)}
    assert len(names) == 2
    assert all(len(name) == 40 and set(name) <= set("0123456789abcdef") for name in names)
    for path in (tmp_path / "renditions").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((tmp_path / "renditions").stat().st_mode) == 0o700


def _torn(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _zeroed(content: bytes) -> bytes:
    """Return what a file system leaves of a file whose blocks never reached the disk."""
    return bytes(len(content))


def _flipped(content: bytes) -> bytes:
    return content[:-1] + bytes((content[-1] ^ 1,))


def _relabelled(content: bytes) -> bytes:
    """Make the JPEG a PNG."""
    return content[:4] + bytes((Outcome.PNG,)) + content[5:]


def _longer(content: bytes) -> bytes:
    return content + b"\0"


@pytest.mark.security("J1")
@pytest.mark.parametrize("spoil", [_torn, _zeroed, _flipped, _relabelled, _longer, lambda _: b""])
def test_a_file_that_is_not_as_it_was_written_is_dropped(
    spoil: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    shelf = shelf_in(tmp_path)
    shelf.put(b"a", MADE, Outcome.JPEG)
    (path,) = files_in(tmp_path)
    path.write_bytes(spoil(path.read_bytes()))
    assert shelf.get(b"a") is None
    assert not files_in(tmp_path)
    assert shelf.counts["torn"] == 1
    shelf.put(b"a", MADE, Outcome.JPEG)
    assert shelf.get(b"a") == MADE


@pytest.mark.security("J1")
def test_no_file_can_be_given_for_another(tmp_path: Path) -> None:
    """Who can write the folder cannot show one picture in another's place."""
    shelf = shelf_in(tmp_path)
    shelf.put(b"a", MADE, Outcome.JPEG)
    (first,) = files_in(tmp_path)
    shelf.put(b"b", MADE._replace(body=b"other"), Outcome.JPEG)
    (second,) = set(files_in(tmp_path)) - {first}
    second.replace(first)
    assert shelf.get(b"a") is None


def test_the_least_recently_wanted_go_when_the_room_is_full(tmp_path: Path) -> None:
    made = MADE._replace(body=bytes(1000))
    shelf = shelf_in(tmp_path, room=20_000)
    for number in range(15):
        shelf.put(b"%d" % number, made, Outcome.JPEG)
        os.utime(_newest(tmp_path), (number, number))
    assert shelf.get(b"0") is not None  # which makes it young again
    for number in range(15, 30):
        shelf.put(b"%d" % number, made, Outcome.JPEG)
    assert sum(path.stat().st_size for path in files_in(tmp_path)) <= 20_000 * 17 / 16
    assert shelf.counts["evicted"] > 0
    assert shelf.get(b"0") is not None
    assert shelf.get(b"1") is None
    assert shelf.get(b"29") is not None


def _newest(folder: Path) -> Path:
    return max(files_in(folder), key=lambda path: path.stat().st_mtime)


def test_what_a_crash_left_unfinished_is_swept_and_what_is_foreign_stays(tmp_path: Path) -> None:
    ours = tmp_path / "renditions" / "ab"
    ours.mkdir(parents=True, mode=0o700)
    (tmp_path / "renditions").chmod(0o700)
    abandoned, at_work = ours / f"{'ab' * 20}.7-1.part", ours / f"{'ab' * 20}.8-1.part"
    foreign = [ours / "notes.txt", tmp_path / "holiday.jpg"]
    for path in (abandoned, at_work, *foreign):
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    os.utime(at_work)
    shelf_in(tmp_path).put(b"a", MADE, Outcome.JPEG)  # the first one has the folder counted
    assert not abandoned.exists()
    assert at_work.exists()
    assert all(path.exists() for path in foreign)


@pytest.mark.security("J1")
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_folder_that_others_can_enter_is_not_used(
    mode: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "renditions").mkdir()
    (tmp_path / "renditions").chmod(mode)
    shelf = shelf_in(tmp_path)
    shelf.put(b"a", MADE, Outcome.JPEG)
    assert not files_in(tmp_path)
    assert "open to others" in caplog.text


@pytest.mark.security("J1")
def test_links_are_not_followed(tmp_path: Path) -> None:
    shelf, elsewhere = shelf_in(tmp_path / "cache"), tmp_path / "elsewhere"
    shelf.put(b"a", MADE, Outcome.JPEG)
    (path,) = files_in(tmp_path / "cache")
    path.replace(elsewhere)
    path.symlink_to(elsewhere)
    assert shelf.get(b"a") is None


def test_a_pipe_in_a_files_place_holds_nobody(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path)
    shelf.put(b"a", MADE, Outcome.JPEG)
    (path,) = files_in(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with ends():
        assert shelf.get(b"a") is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_costs_the_cache_and_is_said_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder is then left alone for a minute, and tried again."""
    now = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    shelf = shelf_in(tmp_path)
    opened = os.open

    def refuse(*given: Any, **named: Any) -> int:
        if given[1] & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return opened(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        for _ in range(3):
            shelf.put(b"a", MADE, Outcome.JPEG)
        assert shelf.counts == {"failed": 1}
        now += 61
        shelf.put(b"a", MADE, Outcome.JPEG)
        assert shelf.counts == {"failed": 2}
    assert len(caplog.records) == 1
    assert os.strerror(number) in caplog.text
    now += 61
    shelf.put(b"a", MADE, Outcome.JPEG)
    assert shelf.get(b"a") == MADE


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    """A file size limit of the process stands for the disk: the kernel refuses the write in the middle."""
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from antiscrape.images.frames import Outcome\n"
        "from antiscrape.images.shelf import Shelf\n"
        "from antiscrape.ports import Rendered\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "shelf = Shelf(Path(sys.argv[1]), room=2**20, key=b'k' * 32)\n"
        "shelf.put(b'a', Rendered(bytes(100_000), 'image/jpeg', '00' * 12), Outcome.JPEG)\n"
        "assert shelf.counts == {'failed': 1}, shelf.counts\n"
        "assert shelf.get(b'a') is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=120, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not files_in(tmp_path)


def test_one_picture_never_takes_an_eighth_of_the_room(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path, room=8 * len(MADE.body))
    shelf.put(b"a", MADE, Outcome.JPEG)
    assert not files_in(tmp_path)
