"""Fetch BotD's released file anew, and lay it unchanged beside our own with its licence.

Run as ``python -m antiscrape.browser.vendor [VERSION]``. The npm client fetches the package and checks it against
the registry's digest; what it brings is copied byte for byte.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from antiscrape.errors import ConfigurationError

PACKAGE: Final = "@fingerprintjs/botd"
#: What of the package goes where.
FILES: Final = {"package/dist/botd.esm.js": "botd.js", "package/LICENSE": "botd.LICENSE"}
_FOLDER: Final = Path(__file__).with_name("script")
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
_PATIENCE: Final = 120.0


def vendor(version: str = "") -> list[Path]:
    """Fetch ``version`` (the latest if it is empty), and return the files that were written.

    Raise ``ConfigurationError`` where there is no npm client, or the package is not what it was.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigurationError("no npm client is installed")
    if version and _VERSION.fullmatch(version) is None:
        raise ConfigurationError(f"{version!r} is not a version, such as 2.0.0")
    with tempfile.TemporaryDirectory(prefix="antiscrape-vendor-") as folder:
        wanted = f"{PACKAGE}@{version}" if version else PACKAGE
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, wanted]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603  npm, found on PATH, and a version that was checked
        packages = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packages) != 1:
            raise ConfigurationError(f"npm could not fetch {wanted}: {done.stderr.strip()[:500]}")
        return unpack(packages[0], _FOLDER)


def unpack(package: Path, folder: Path) -> list[Path]:
    """Copy what is wanted of a package into ``folder``."""
    written = []
    with tarfile.open(package) as archive:
        for name, target in FILES.items():
            found = archive.extractfile(name) if name in archive.getnames() else None
            if found is None:
                raise ConfigurationError(f"{PACKAGE} has no {name} any more")
            (folder / target).write_bytes(found.read())
            written.append(folder / target)
    return written


if __name__ == "__main__":
    for path in vendor(*sys.argv[1:2]):
        sys.stdout.write(f"{path}\n")
