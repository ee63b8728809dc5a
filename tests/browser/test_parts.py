"""What a browser is given: small, whole, and of BotD exactly what its makers released."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from antiscrape.browser.parts import Parts
from antiscrape.browser.vendor import FILES, unpack
from antiscrape.errors import ConfigurationError

SCRIPT = Path(__file__).parents[2] / "antiscrape" / "browser" / "script"
#: Of @fingerprintjs/botd 2.0.0's dist/botd.esm.js, as its registry gives it.
BOTD = "f438ed251dc7414ece9d4a2b6941441ad9ffae1a1905817f5f0c7366e701dd86"


def test_all_of_it_is_small() -> None:
    assert sum(len(part.packed) for name, part in Parts()._files.items() if name.endswith(".js")) <= 12 * 1024


def test_botd_is_its_makers_file() -> None:
    body = (SCRIPT / "botd.js").read_bytes()
    assert sha256(body).hexdigest() == BOTD
    assert b"BotD v2.0.0" in body
    assert (SCRIPT / "botd.LICENSE").read_text().startswith("MIT License")


def test_its_makers_are_told_nothing() -> None:
    """BotD's monitoring is one request in a thousand to its makers, unless it is asked not to."""
    assert "load({ monitoring: false })" in (SCRIPT / "check.js").read_text()
    ours = (SCRIPT / "check.js").read_text() + (SCRIPT / "work.js").read_text()
    assert not re.findall(r"https?://", ours)


def test_a_file_is_named_by_what_it_is() -> None:
    parts = Parts()
    part = parts.get("work.js")
    assert part is not None
    assert gzip.decompress(part.packed) == part.plain
    assert Parts().version == parts.version
    assert parts.get("../room.py") is None


@pytest.mark.parametrize("name", ["check.js", "work.js"])
def test_ours_go_without_their_comments_and_nothing_else(name: str) -> None:
    part, written = Parts().get(name), (SCRIPT / name).read_text()
    assert part is not None
    said = [line.strip() for line in written.splitlines()]
    assert part.plain.decode().splitlines() == [line for line in said if line and not line.startswith("//")]
    assert all(line.count("`") % 2 == 0 for line in said), "no template goes over lines"


def test_vendoring_copies_and_nothing_else(tmp_path: Path) -> None:
    package = tmp_path / "botd.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for name in FILES:
            body = f"{name}\n".encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    assert [path.read_text() for path in unpack(package, tmp_path)] == [f"{name}\n" for name in FILES]
    with tarfile.open(package, "w:gz"):
        pass
    with pytest.raises(ConfigurationError):
        unpack(package, tmp_path)


@pytest.mark.parametrize("where", ["worker", "worker without vectors", "worker over plain http", "page"])
def test_the_work_is_what_the_server_verifies(tmp_path: Path, where: str) -> None:
    """The script's scrypt against OpenSSL's, in node where that is installed; browsers do it in test_browsers.py.

    On a page no vectors are tried: its policy may forbid them, and report it. Over plain http a browser's own PBKDF2
    is not there (Web Cryptography, section 10).
    """
    import hashlib

    node = shutil.which("node")
    if node is None:
        pytest.skip("no node is installed")
    shutil.copy(SCRIPT / "work.js", tmp_path / "work.mjs")
    kept = "const kept = WebAssembly; let made = 0; globalThis.WebAssembly = { Module: kept.Module, Instance: class {\n"
    kept += "  constructor(module) { made++; return new kept.Instance(module); } } };\n"
    counted = "let own = 0; const derive = crypto.subtle.deriveBits;\n"
    counted += "crypto.subtle.deriveBits = function (...told) { own++; return derive.apply(this, told); };\n"
    none = "let own = 0; Object.defineProperty(globalThis, 'crypto', { value: {} });\n"
    (tmp_path / "run.mjs").write_text(
        (none if "plain" in where else counted)
        + ("let made = 0; globalThis.WebAssembly = undefined;\n" if "without" in where else kept)
        + "globalThis.document = {}; const { solve } = await import('./work.mjs');\n"
        "for (const [cost, memoryCost, keyLength] of [[16, 1, 32], [64, 8, 32], [1024, 8, 64], [2, 3, 16]])\n"
        "  console.log(cost, memoryCost, keyLength, JSON.stringify(await solve(\n"
        "    { nonce: '00ff'.repeat(8), salt: 'a5'.repeat(16), cost, memoryCost, keyLength, keyPrefix: '0' }"
        + (", () => {}" if where == "page" else "")
        + ")));\nconsole.log(own);\nconsole.log(made);\n"
    )
    done = subprocess.run(
        [node, "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    *lines, own, made = done.stdout.splitlines()
    assert len(lines) == 4
    assert int(made) == (4 if where in {"worker", "worker over plain http"} else 0)
    assert (int(own) > 0) is ("plain" not in where)
    for line in lines:
        cost, block, length, rest = line.split(" ", 3)
        counter, key = re.findall(r'"counter":(\d+),"derivedKey":"(0[0-9a-f]+)"', rest)[0]
        password = bytes.fromhex("00ff" * 8) + int(counter).to_bytes(4, "big")
        expected = hashlib.scrypt(
            password, salt=b"\xa5" * 16, n=int(cost), r=int(block), p=1, dklen=int(length), maxmem=2**26
        )
        assert expected.hex() == key
