"""The event sink: a line each, never waited for, nothing lost but what is counted."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from antiscrape.errors import ConfigurationError
from antiscrape.evidence import pen
from antiscrape.evidence.events import LineSink, NoSink, encode, open_sink
from tests.costs import ends

if TYPE_CHECKING:
    from pathlib import Path


def test_every_event_is_a_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = open_sink(str(path))
    for number in range(500):
        sink.emit({"event": "verdict", "number": number})
    sink.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["number"] for row in rows] == list(range(500))
    assert sink.dropped == 0
    assert path.stat().st_mode & 0o007 == 0, "addresses are not for everybody to read"


def test_a_file_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        sink = open_sink(str(path))
        sink.emit({"a": 1})
        sink.close()
    assert path.read_text() == '{"a":1}\n' * 2


def test_a_full_pipe_makes_nobody_wait_and_what_finds_no_room_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody reads the pipe: a request must not notice."""
    monkeypatch.setattr(pen, "_WAITING", 200)
    read, write = os.pipe()
    sink = LineSink(write, owned=True)
    with ends():
        for number in range(5000):
            sink.emit({"number": number, "filler": "x" * 500})
    assert sink.dropped > 4000
    drained = bytearray()

    def drain() -> None:
        while data := os.read(read, 65_536):
            drained.extend(data)

    reader = threading.Thread(target=drain)
    reader.start()
    sink.close()
    reader.join(10.0)
    assert not reader.is_alive()
    os.close(read)
    told = [json.loads(line) for line in drained.splitlines()]
    rows = [row for row in told if "number" in row]
    assert len(rows) + sink.dropped == 5000
    assert sum(row["lost"] for row in told if "number" not in row) == sink.dropped
    assert [row["number"] for row in rows] == sorted(row["number"] for row in rows)


def test_a_disk_that_was_full_has_a_gap_that_says_so(tmp_path: Path) -> None:
    """Fault 24: the kernel refuses (ENOSPC), then takes half a line, then all again."""
    path = tmp_path / "events.jsonl"
    sink = LineSink(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), owned=True)
    kept, full = os.dup(sink._descriptor), os.open("/dev/full", os.O_WRONLY)

    def emit(number: int, dropped: int) -> None:
        sink.emit({"number": number})
        with ends():
            while sink._lines or sink._filled.is_set() or sink.dropped != dropped:
                pass

    emit(1, 0)
    assert b"1" in until_written(path, 1)
    os.dup2(full, sink._descriptor)
    for number in range(2, 12):
        emit(number, number - 1)
    os.dup2(kept, sink._descriptor)
    emit(12, 10)
    sink.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"number": 1}, {"event": "events-lost", "lost": 10}, {"number": 12}]


def until_written(path: Path, lines: int) -> bytes:
    with ends():
        while (found := path.read_bytes()).count(b"\n") < lines:
            pass
    return found


def test_half_a_line_is_ended_before_the_next() -> None:
    """A pipe that has room for some of it takes that (pipe(7): a line of more than PIPE_BUF is not written as a whole)."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    room = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    if room > 4096:
        pytest.skip("this machine's pages are larger than a line")
    sink = LineSink(write, owned=True)
    sink.emit({"texts": ["x" * 500] * (room // 500 + 2)})
    with ends():
        while sink.dropped != 1:
            pass
    torn = os.read(read, 2 * room)
    sink.emit({"number": 2})
    sink.close()
    first, *rest, end = (torn + os.read(read, 2 * room)).split(b"\n")
    assert first.startswith(b'{"texts":["xxx')
    assert [json.loads(line) for line in rest] == [{"event": "events-lost", "lost": 1}, {"number": 2}]
    assert end == b""
    os.close(read)


def test_a_reader_that_is_gone_is_counted_and_raises_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    sink = LineSink(write, owned=True)
    for _ in range(10):
        sink.emit({"a": 1})
    sink.close()
    assert sink.dropped == 10


def test_after_the_end_events_are_counted_and_dropped(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "e"))
    sink.close()
    sink.close()
    sink.emit({"a": 1})
    assert sink.dropped == 1


def test_off_is_nowhere_and_a_path_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    assert isinstance(open_sink("off"), NoSink)
    with pytest.raises(ConfigurationError, match=r"record\.events"):
        open_sink(str(tmp_path / "no" / "such" / "folder"))


@pytest.mark.security("J5")
@pytest.mark.parametrize(
    "text", ["a\nb", "\x1b[2J", "\u2028", "\u0085", "\x00", '"', "\\", "\udcff", "\U0001f600", "</script>"]
)
def test_what_a_client_chose_is_escaped(text: str) -> None:
    line = encode({"path": text, "user_agent": text})
    assert line.endswith(b"\n")
    assert line[:-1].isascii()
    assert all(byte >= 0x20 and byte != 0x7F for byte in line[:-1])
    assert json.loads(line)["path"] == text
