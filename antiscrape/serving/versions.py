"""Which parsers and servers are trusted: the oldest releases without a known way to be desynchronised."""

from __future__ import annotations

import importlib.metadata

from antiscrape.errors import ConfigurationError

#: Older ones are refused at the start (SECURITY C1): h11 below 0.16 takes malformed chunks
#: (CVE-2025-43859), httptools below 0.8 carries an older llhttp. h11 is checked although it parses
#: nothing here, because it comes with uvicorn and somebody may point another server at it.
MINIMUM = {"uvicorn": (0, 51), "httptools": (0, 8), "uvloop": (0, 21), "aiohttp": (3, 14)}
MINIMUM_IF_PRESENT = {"h11": (0, 16), "websockets": (14,)}


def check_versions() -> None:
    """Raise ``ConfigurationError`` naming every package that is missing or older than we trust."""
    problems = []
    for wanted, needed in ((MINIMUM, True), (MINIMUM_IF_PRESENT, False)):
        for name, least in wanted.items():
            version = _installed(name)
            if version is None and needed:
                problems.append(f"{name} is missing; install antiscrape[serve]")
            elif version is not None and version < least:
                oldest = ".".join(map(str, least))
                problems.append(f"{name} {'.'.join(map(str, version))} is too old; {oldest} or newer is safe")
    if problems:
        raise ConfigurationError(*problems)


def _installed(name: str) -> tuple[int, ...] | None:
    """Return the leading numbers of a distribution's version, or None where it is not installed."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
