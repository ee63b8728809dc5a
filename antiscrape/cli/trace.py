"""``antiscrape trace``: who took a copy that was found elsewhere, and when."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import click

from antiscrape import clock
from antiscrape.core.account import account_key
from antiscrape.core.identity import Identity, read_address
from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import (
    CODE_BITS,
    SHORT_CODE_BITS,
    payload_for,
    principal_code,
    served_around,
    served_at,
    trace_keys,
    unpack,
    unpack_short,
)
from antiscrape.evidence.recorder import names_at
from antiscrape.operate.prose import shown
from antiscrape.settings import load_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from antiscrape.core.rules import Policy
    from antiscrape.core.trace import Payload, TraceKeys
    from antiscrape.images.trace.reading import Geometry
    from antiscrape.images.trace.words import Word

_CONFIG = click.option(
    "--config", envvar="ANTISCRAPE_CONFIG", metavar="FILE", help="The policy; without it, the defaults."
)
_NO_NUMPY = "numpy is not installed, so only bytes were looked at: pip install 'antiscrape[trace]'"


class Trace(NamedTuple):
    """One mark that was found. ``served`` is the beginning of the hour or quarter day, ``newest`` the key's place."""

    where: str  # "bytes" or "pixels"
    code: str
    served: str
    hours: int
    key: int
    newest: int
    takers: tuple[str, ...]
    sure: float | None = None  # deviations; None: signed
    changed: str = ""


class Suspects:
    """Who may have taken a copy, and what the event record called each of them when it was served."""

    def __init__(self, policy: Policy, names: Sequence[str]) -> None:
        self._names = names
        self._ring = KeyRing(policy.secrets)
        self._identity = Identity(policy.identity)
        self._account_keys = self._ring.derive_all("account")

    def among(
        self, key: TraceKeys, place: int, served: float, matches: Callable[[int], bool]
    ) -> tuple[str, ...]:
        """Return those whose code, under the secret at ``place``, matches."""
        return tuple(
            name
            for name in self._names
            if any(matches(principal_code(key.code, one)) for one in self._called(name, place, served))
        )

    def _called(self, name: str, place: int, served: float) -> Iterator[str]:
        """Yield what a line may mean: a name from the events as it is, or an address or account that they hash."""
        yield name
        known = account_key(name, self._account_keys[place])
        for store_key in (
            (known, self._identity.find(name).key) if read_address(name) is not None else (known,)
        ):
            yield store_key  # record.addresses = "plain"
            yield names_at(self._ring, store_key, served)[place]


@click.group("trace")
def command() -> None:
    """Read the marks that name who took a picture, or lay one in to try it out."""


@command.command("read")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_CONFIG
@click.option("--among", type=click.File("r", errors="surrogateescape"), metavar="FILE", help="Who is to be compared with it, one a line: addresses, accounts, or clients as the event record writes them.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead.")
@click.pass_context
def read_command(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    config: str | None,
    among: TextIO | None,
    as_json: bool,
) -> None:
    """Say who took each FILE, a picture that was found somewhere.

    \b
        antiscrape trace read --config antiscrape.toml found.jpg
        antiscrape trace read --among principals.txt found.jpg

    The signed mark in the file's bytes is looked for first, then the one in its pixels, under every secret that
    the policy holds; a picture takes some seconds. A mark tells a code, not a name: the site knows its principals,
    and with --among each of them is compared. Addresses and accounts, such as an access log has, are hashed as the
    event record hashed them in the week that the mark tells. Several takers are told where copies were averaged.

    A mark that is not found proves nothing, and one in the bytes can have been copied from another file. Exit
    status: 0 where a mark was found in any file, 1 where in none, 2 where a file or the policy cannot be read.
    """  # noqa: D301  click's mark for lines that are not to be joined
    policy = load_policy(config)
    keys = trace_keys(KeyRing(policy.secrets))
    suspects = Suspects(policy, [line.strip() for line in among or () if line.strip()])
    if importlib.util.find_spec("numpy") is None:
        click.echo(f"antiscrape: {_NO_NUMPY}", err=True)
    found = unreadable = False
    for file in files:
        try:
            traces, problem = _traces(Path(file), policy, keys, suspects), ""
        except (OSError, ValueError) as error:
            traces, problem = [], str(error)
        found, unreadable = found or bool(traces), unreadable or bool(problem)
        lines = _told(file, traces, problem) if not as_json else [_json(file, traces, problem)]
        for line in lines:
            click.echo(line)
    ctx.exit(2 if unreadable else 0 if found else 1)


@command.command("write")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--principal", required=True, help="Who is to be named, such as 203.0.113.9.")
@_CONFIG
@click.option("--bytes", "only_bytes", is_flag=True, help="Mark the file's bytes and leave its pixels alone.")
def write_command(
    *, source: Path, target: Path, principal: str, config: str | None, only_bytes: bool
) -> None:
    """Mark SOURCE as taken by a principal now, and write TARGET, in the format that its suffix names.

    \b
        antiscrape trace write photo.jpg marked.jpg --principal 203.0.113.9
        antiscrape trace read marked.jpg

    It is for trying things out: the site marks what it serves by itself.
    """  # noqa: D301  click's mark for lines that are not to be joined
    policy = load_policy(config)
    keys = trace_keys(KeyRing(policy.secrets))[0]
    payload = payload_for(keys, principal, clock.wall())
    body = source.read_bytes()
    if only_bytes:
        target.write_bytes(_with_token(body, keys, payload))
        return
    from antiscrape.images.decode import Refused, decode  # noqa: PLC0415  `--help` needs no Pillow
    from antiscrape.images.steps import upright  # noqa: PLC0415
    from antiscrape.images.trace.embedding import embed  # noqa: PLC0415

    try:
        picture = upright(decode(body, max_pixels=policy.images.max_pixels, enough=policy.images.max_pixels))
        embed(picture.pixels, payload, keys.pattern).save(target, quality=90)
    except (Refused, OSError, ValueError, SyntaxError) as error:
        raise click.ClickException(str(error)) from None


def _with_token(body: bytes, keys: TraceKeys, payload: int) -> bytes:
    from antiscrape.images.splice import splice, token  # noqa: PLC0415

    spliced = splice(body, token(keys, payload))
    if spliced is None:
        raise click.ClickException("not a file of a format that bytes are put into")
    return spliced.head + spliced.tail


def _traces(path: Path, policy: Policy, keys: Sequence[TraceKeys], suspects: Suspects) -> list[Trace]:
    """Return the marks of one file; raise ``OSError`` or ``ValueError`` where it is no picture that can be read."""
    from antiscrape.images.splice import find_tokens  # noqa: PLC0415  `--help` needs no Pillow
    from antiscrape.images.trace.confined import open_confined  # noqa: PLC0415

    with path.open("rb") as opened:
        body = opened.read(policy.images.max_bytes + 1)
    if len(body) > policy.images.max_bytes:
        raise ValueError(f"larger than {policy.images.max_bytes} bytes (images.max_bytes)")
    now = clock.wall()
    traces = [
        _long("bytes", one.payload, keys[one.key], one.key, suspects, now) for one in find_tokens(body, keys)
    ]
    if importlib.util.find_spec("numpy") is None:
        return traces
    from antiscrape.images.trace.reading import read  # noqa: PLC0415  numpy is an extra

    try:
        pixels = open_confined(body, max_pixels=policy.images.max_pixels)
    except ValueError:
        if traces:  # the file is damaged, and its comment is not
            return traces
        raise
    reading = read(pixels, [one.pattern for one in keys])
    if reading is not None:
        told = _changed(reading.geometry)
        key = keys[reading.key]
        traces += [
            _of_word(word, key, reading.key, suspects, now)._replace(changed=told) for word in reading.words
        ]
    return traces


def _long(where: str, payload: Payload, key: TraceKeys, place: int, suspects: Suspects, now: float) -> Trace:
    served = served_at(payload.hour, now)
    takers = suspects.among(key, place, served, lambda code: code == payload.code)
    return Trace(where, f"{payload.code:08x}", _moment(served), 1, key.ident, place, takers)


def _of_word(word: Word, key: TraceKeys, place: int, suspects: Suspects, now: float) -> Trace:
    if not word.short:
        return _long("pixels", unpack(word.payload), key, place, suspects, now)._replace(sure=word.sure)
    short = unpack_short(word.payload)
    spare = CODE_BITS - SHORT_CODE_BITS
    served = served_around(short.quarter, now)
    takers = suspects.among(key, place, served, lambda code: code >> spare == short.code)
    return Trace("pixels", f"{short.code:05x}", _moment(served), 6, key.ident, place, takers, word.sure)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:00Z")


def _changed(geometry: Geometry) -> str:
    """Return what was done to a picture since it was marked, in words."""
    across, down = round(100 * geometry.across), round(100 * geometry.down)
    parts = []
    if (across, down) != (100, 100):
        parts.append(f"scaled to {across} %" if across == down else f"scaled to {across} % by {down} %")
    if round(geometry.turned, 1):
        parts.append(f"turned by {geometry.turned:.1f} degrees")
    return ", ".join(["mirrored", *parts] if geometry.mirrored else parts)


def _told(file: str, traces: list[Trace], problem: str) -> Iterator[str]:
    name = shown(file)
    if problem:
        yield f"{name}: cannot be read: {shown(problem)}"
    elif not traces:
        yield f"{name}: no mark found, which proves nothing"
    for trace in traces:
        sure = "signed" if trace.sure is None else f"{trace.sure:.0f} deviations from chance"
        secret = "the newest secret" if trace.newest == 0 else f"secret {trace.newest + 1} from the newest"
        yield f"{name}: taken by {trace.code}" + (
            f" ({', '.join(map(shown, trace.takers))})" if trace.takers else ""
        )
        yield f"    served in the {'hour' if trace.hours == 1 else '6 hours'} from {trace.served}"
        yield f"    read from its {trace.where}, {sure}, key {trace.key} of {secret}"
        if trace.changed:
            yield f"    since then {trace.changed}"


def _json(file: str, traces: list[Trace], problem: str) -> str:
    told: dict[str, object] = {"file": file, "traces": [trace._asdict() for trace in traces]}
    if problem:
        told["problem"] = problem
    return json.dumps(told)
