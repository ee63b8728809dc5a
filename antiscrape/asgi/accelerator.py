"""The accelerator: the module that ``native`` was compiled to, where it was.

It is built where the package is installed from source and a C compiler and Python's headers are there
(``hatch_build.py``). Without it, and with ``ANTISCRAPE_PURE=1`` in the environment, the Python code does all of it;
nothing but the cost of a request differs.

An accelerator that was built from another source than the one beside it is not used: it could judge by
yesterday's rules.
"""

from __future__ import annotations

import importlib
import os
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

#: Set to anything but 0, it keeps the accelerator from being used, and from being built.
PURE: Final = "ANTISCRAPE_PURE"
_SOURCE: Final = Path(__file__).with_name("native")


def load() -> tuple[Any, str]:
    """Return the accelerator's module, or None, and what is to be said of it."""
    if os.environ.get(PURE, "0") not in {"", "0"}:
        return None, f"not in use: {PURE} is set"
    try:
        found: Any = importlib.import_module("antiscrape.asgi._swift")
    except ImportError:
        return None, "not there: no C compiler when this was installed, or no headers of Python"
    digest = sha256()
    for part in (parts := sorted(_SOURCE.glob("*.[ch]"))):
        digest.update(part.read_bytes())
    if parts and digest.hexdigest() != found.SOURCE:
        return None, "not in use: built from another source; install antiscrape anew"
    return found, "in use"


#: The accelerator, or None; and what is to be said of it.
module, STATE = load()
