"""What a visitor brought home: one line for each answer, and the bodies of the pictures as files."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path

LINES = "answers.jsonl"
_PICTURE = re.compile(r"/media/(\d+)(?:-(\d+))?\.jpg")


class Taken(NamedTuple):
    """One answer: the URL asked for, its status (0: none came), its type, and the body's file or ``""``."""

    url: str
    status: int
    content_type: str = ""
    file: str = ""

    @property
    def picture(self) -> tuple[int, int] | None:
        """Return (photo id, size) of a picture's URL; size 0 is the original, ``None`` is no picture."""
        found = _PICTURE.fullmatch(urlsplit(self.url).path)
        return (int(found[1]), int(found[2] or 0)) if found else None


class Haul:
    """A folder that a visitor fills; the file of lines is flushed as it grows, so a visitor may be stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, url: str, status: int, content_type: str, body: bytes | None = None) -> Taken:
        """Write down one answer, and ``body`` as a file of its own if there is one."""
        file = ""
        picture = Taken(url, status).picture
        if body is not None and picture is not None:
            file = f"{picture[0]}-{picture[1]}.bin"
            (self.folder / file).write_bytes(body)
        taken = Taken(url, status, content_type, file)
        with (self.folder / LINES).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(taken._asdict()) + "\n")
        return taken


def read_haul(folder: Path) -> list[Taken]:
    """Return what was written into ``folder``, in order; a last line that was cut short is left out."""
    path = folder / LINES
    if not path.is_file():
        return []
    answers = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        answers.append(Taken(row["url"], row["status"], row["content_type"], row["file"]))
    return answers
