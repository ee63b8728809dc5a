"""The accelerator for tests: built from this checkout's source, whatever is installed."""

from __future__ import annotations

import fcntl
import importlib.util
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from antiscrape.asgi import swift

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from antiscrape.asgi.middleware import Middleware
    from antiscrape.asgi.types import ASGIApp

ROOT = Path(__file__).resolve().parents[1]


def module_of(name: str, path: Path) -> ModuleType:
    """Import one file as the module ``name``."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(folder: Path) -> tuple[Any, str]:
    """Return the accelerator, built into ``folder`` by whoever asks first; or None, and why there is none."""
    hook = module_of("hatch_build", ROOT / "hatch_build.py")
    with (folder / "swift.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path, reason = next(folder.glob("_swift*.so"), None), "built"
        if path is None:
            path, reason = hook.compile_accelerator(ROOT, folder)
    if path is None:
        return None, reason
    module = module_of("antiscrape.asgi._swift", path)
    module.bind(*swift.CLASSES)
    return module, reason


def put_inside(middleware: Middleware, app: ASGIApp) -> ASGIApp:
    """Put another site behind a middleware, and return the former one."""
    former, middleware.app = middleware.app, app
    way: Any = middleware.way
    if hasattr(way, "begin"):
        way.app = app
    return former


@contextmanager
def using(module: Any) -> Iterator[None]:
    """Have middlewares that are made meanwhile go by ``module``; None: by the Python code alone."""
    former = swift.module
    swift.module = module
    try:
        yield
    finally:
        swift.module = former
