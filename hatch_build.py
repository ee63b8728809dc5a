"""Builds the accelerator (``antiscrape/asgi/native``) into the wheel, where a C compiler and Python's headers are.

Without them the wheel is a pure one, and antiscrape does in Python what the accelerator would do.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("antiscrape", "asgi", "native")
#: The module that is made of it, beside it.
MODULE = "_swift"
#: Seconds; it takes two.
_PATIENCE = 120


def compile_accelerator(root: Path, folder: Path) -> tuple[Path | None, str]:
    """Compile ``root``'s accelerator into ``folder``; return the file, or None and the reason."""
    if os.environ.get("ANTISCRAPE_PURE", "0") not in {"", "0"}:
        return None, "ANTISCRAPE_PURE is set"
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None, "it is for CPython with its GIL"
    linker = shlex.split(sysconfig.get_config_var("LDSHARED") or "")
    if not linker or shutil.which(linker[0]) is None:
        return None, "no C compiler is here"
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").is_file():
        return None, "Python's headers are not here"
    source = root / SOURCE
    built = folder / f"{MODULE}{sysconfig.get_config_var('EXT_SUFFIX')}"
    digest = hashlib.sha256()
    for part in sorted(source.glob("*.[ch]")):
        digest.update(part.read_bytes())
    flags = [
        word for name in ("CFLAGS", "CCSHARED") for word in shlex.split(sysconfig.get_config_var(name) or "")
    ]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        # Made beside its place and moved there: a process that runs has the former one mapped.
        made = Path(name, built.name)
        command = [
            *linker,
            *flags,
            "-O2",
            f"-I{headers}",
            f'-DSOURCE="{digest.hexdigest()}"',
            str(source / "module.c"),
            "-o",
            str(made),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603  Python's own build says which compiler
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, f"{command[0]}: {error}"
        if done.returncode:
            return None, f"{command[0]}: {done.stderr.strip()[-400:]}"
        made.replace(built)
    return built, "built"


class Accelerator(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's hook is generic over its own settings
    """Puts the accelerator into the wheel, or beside its source for an editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is written."""
        editable = version == "editable"
        self._made = None if editable else tempfile.mkdtemp(prefix="antiscrape-")
        folder = Path(self.root) / SOURCE.parent if self._made is None else Path(self._made)
        built, reason = compile_accelerator(Path(self.root), folder)
        if built is None:
            self.app.display_warning(f"antiscrape without its accelerator: {reason}")
            return
        build_data["pure_python"], build_data["infer_tag"] = False, True
        if not editable:
            build_data["force_include"][str(built)] = str(SOURCE.with_name(built.name))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made on the way."""
        del version, build_data, artifact_path
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
