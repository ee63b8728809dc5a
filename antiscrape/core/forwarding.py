"""How requests are carried to the site behind the reverse proxy, as the settings say it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the site may be silent where ``pattern`` matches the path, in seconds."""

    pattern: str
    read_timeout: float


@dataclass(frozen=True, slots=True)
class UpstreamRules:
    """Where the site is, how long it may take, and when one of several is left alone. Times in seconds.

    ``connections`` is for each of ``urls`` and each worker. ``check_path`` is ``""`` where nobody asks
    a site whether it is well, and ``ca_file`` where the system's authorities vouch for it.
    """

    urls: tuple[str, ...] = ()
    connect_timeout: float = 5.0
    read_timeout: float = 60.0
    send_timeout: float = 60.0
    continue_timeout: float = 1.0
    connections: int = 512
    keep_alive: float = 4.0
    fail_after: int = 3
    eject_least: float = 1.0
    eject_most: float = 60.0
    check_path: str = ""
    check_interval: float = 5.0
    ca_file: str = ""
    routes: tuple[Patience, ...] = ()
