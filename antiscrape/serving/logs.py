"""How a server of ours speaks: one line of ASCII a record, and nothing that a client can repeat at will.

Nothing waits for who reads it: a record that is written where requests are served would hold them all up as soon as the pipe
behind stderr is full (SECURITY fault 25).
"""

from __future__ import annotations

import logging
import sys

from antiscrape.errors import AntiscrapeError
from antiscrape.evidence.pen import Pen

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "antiscrape.serving.logs.OneLine"}},
    "filters": {"sound": {"()": "antiscrape.serving.logs.Sound"}},
    "handlers": {
        "stderr": {"class": "antiscrape.serving.logs.Unwaiting", "formatter": "line", "filters": ["sound"]}
    },
    "loggers": {
        # uvicorn's warnings repeat what clients do wrong, once per request: a client could fill the disk
        "uvicorn": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        "antiscrape.reload": {"level": "INFO"},
        "antiscrape": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


class Unwaiting(logging.Handler):
    """Writes records to the process's stderr, and says how many found no room."""

    def __init__(self) -> None:
        super().__init__()
        descriptor = sys.__stderr__.fileno() if sys.__stderr__ else 2
        self._pen = Pen(descriptor, owned=False, gap=_missing)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record."""
        self._pen.put(self.format(record).encode("ascii", "backslashreplace") + b"\n")

    def close(self) -> None:
        """Write what waits, for at most a second."""
        self._pen.close()
        super().close()


def _missing(lost: int) -> bytes:
    return b"antiscrape: warning: %d lines of this log are missing here: nobody took them\n" % lost


class OneLine(logging.Formatter):
    """Write each record as one line of ASCII, whatever a client or a site put into it (SECURITY J5)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an error that was foreseen shows its cause, any other its traceback."""
        message = record.getMessage().strip()
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, AntiscrapeError):
            message = f"{type(error).__name__}: {error}"
        elif record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        line = message.encode("unicode_escape").decode("ascii")
        return f"antiscrape: {record.levelname.lower()}: {line}"


class Sound(logging.Filter):
    """Leave out what uvicorn calls an error of every websocket that was declined in the way ASGI names for it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is worth a line."""
        return record.msg != "ASGI callable returned without completing handshake."
