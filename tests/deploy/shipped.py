"""What is shipped for operators, read as those who take it read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "config" / "deploy"
MONITORING = ROOT / "config" / "monitoring"


class _Strict(yaml.SafeLoader):  # type: ignore[misc]  # ships no types
    """A loader that refuses a key that is given twice, as Kubernetes and Compose do."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  the base class's signature
        keys = [
            self.construct_object(key, deep=True)
            for key, _ in node.value
            if key.tag != "tag:yaml.org,2002:merge"
        ]
        assert len(set(keys)) == len(keys), f"{node.start_mark}: a key is given twice"
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return list(yaml.load_all(path.read_text(), Loader=_Strict))


def document(path: Path) -> Any:
    """Return the one document of a YAML file."""
    (found,) = documents(path)
    return found


def walk(node: Any) -> Iterator[Any]:
    """Yield a value and everything in it."""
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)
