"""Checks of what lies on this machine: the settings' files, the secrets, the lists, and the way to the shared store."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from antiscrape.core.store_address import Kind
from antiscrape.operate.doctor.findings import doubt, fine, unseen, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.operate.doctor.findings import Said
    from antiscrape.operate.doctor.patient import Patient

_DAY: Final = 86_400.0
#: NIST SP 800-57 part 1 §5.3.6: a key that authenticates is used by its originator for two years at most.
OLDEST: Final = 730.0
#: Half of it, after which somebody should think of it.
OLD: Final = 365.0
#: Days. A cloud rents an address out again within days; after a week the lists of crawlers disprove nothing either.
STALE: Final = 7.0
#: Days after which the lists of crawlers prove nothing, too.
SPENT: Final = 30.0
#: Where container engines put secrets; they are readable to all there, and "all" is one process.
_MOUNTED: Final = ("/run/secrets", "/var/run/secrets")
#: Seconds between two clocks. Grants and clearances bear a minute (SECURITY F6).
APART: Final = 5.0
FAR_APART: Final = 60.0


def check_secret_file(patient: Patient) -> Iterator[Said]:
    """Who may read and write the file of secrets."""
    path = patient.secret_file
    if path is None:
        if patient.secrets:
            yield fine("the secret is in the environment")
        else:
            yield wrong(
                "no secret is set, so the server does not start",
                "make one: antiscrape keys new FILE, and name FILE in ANTISCRAPE_SECRET_FILE or site.secret_file",
            )
        return
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield unseen(f"{path}: {error.strerror or error}", "run the doctor where the server runs")
        return
    others = [word for bit, word in ((stat.S_IROTH, "read"), (stat.S_IWOTH, "write")) if mode & bit]
    if str(path).startswith(_MOUNTED):
        others = [word for word in others if word == "write"]
    if others:
        yield wrong(
            f"everybody on this machine may {' and '.join(others)} {path}: whoever has the secret signs grants",
            f"chmod 600 {path}; if strangers had access, antiscrape keys rotate as well",
        )
    elif mode & stat.S_IWGRP:
        yield doubt(f"a whole group may write {path}", f"chmod 600 {path}, unless that group is meant")
    else:
        yield fine(f"{path} is kept from others")


def check_secret_age(patient: Patient) -> Iterator[Said]:
    """How old the secret is that signs."""
    if not patient.secrets:
        return
    newest = patient.secrets[-1]
    if newest.made is None and patient.secret_file is None:
        yield unseen(
            "how old the secret is: one in the environment has no date",
            "keep it in a file: antiscrape keys new",
        )
        return
    if newest.made is None:
        yield doubt(
            f"nobody wrote down when the secret {newest.id} was made",
            "antiscrape keys rotate makes one that has its date beside it",
        )
        return
    days = (patient.wall() - newest.made) / _DAY
    told = f"the secret {newest.id}, which signs, is {max(0.0, days):.0f} days old"
    if days > OLDEST:
        yield wrong(told, "antiscrape keys rotate, then SIGHUP to the server")
    elif days > OLD:
        yield doubt(told, "antiscrape keys rotate, then SIGHUP to the server: a year is enough")
    else:
        yield fine(told)


def check_settings_file(patient: Patient) -> Iterator[Said]:
    """Who may write the settings."""
    path = patient.config_file
    if path is None:
        return
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        yield wrong(
            f"everybody on this machine may write {path}, and so turn antiscrape off", f"chmod o-w {path}"
        )
    else:
        yield fine(f"{path} is right, and kept from others' hands")


def check_lists(patient: Patient) -> Iterator[Said]:
    """How old the lists of networks are that somebody else publishes."""
    for rule in patient.policy.networks.lists:
        if not rule.own:
            yield from _age_of(patient, Path(rule.file), STALE, "fetch it anew; a timer does it every day")


def check_crawler_lists(patient: Patient) -> Iterator[Said]:
    """How old the lists are by which crawlers are verified."""
    rules = patient.policy.crawlers
    if not rules.verify or not rules.ranges:
        return
    folder = Path(rules.ranges)
    files = [file for file in folder.glob("*") if file.suffix in {".json", ".txt"}] if folder.is_dir() else []
    if not files:
        yield wrong(
            f"{folder} holds no list, so that crawlers are verified by DNS alone", "run antiscrape refresh"
        )
        return
    oldest = min(files, key=lambda file: file.stat().st_mtime)
    do = "run antiscrape refresh, and see why the server does not: it may not write there, or reach the lists"
    yield from _age_of(patient, oldest, STALE, do)


def check_store(patient: Patient) -> Iterator[Said]:
    """Whether the shared store can be used from here, and what time it has."""
    store, address = patient.store, patient.policy.store.address
    if store is None or address is None:
        return
    if store.problem:
        yield wrong(
            f"the shared store cannot be used: {store.problem}",
            "each worker counts for itself until it can, so a client has its budget once per worker",
        )
        return
    yield fine(f"the shared store answers at {address}")
    if abs(store.ahead) > APART:
        yield wrong(
            f"the store's clock is {_apart(store.ahead)} of this machine's",
            "keep both by NTP (timedatectl set-ntp true): bans and budgets are dated by the store",
        )
    if not address.tls and address.kind is not Kind.UNIX:
        hosts = {server.host for server in address.servers}
        if hosts - {"127.0.0.1", "::1", "localhost"}:
            yield doubt(
                "what is told to the store crosses the network unencrypted",
                "use valkeys://, unless nobody else is on that network",
            )


def _age_of(patient: Patient, file: Path, most: float, do: str) -> Iterator[Said]:
    try:
        days = (patient.wall() - file.stat().st_mtime) / _DAY
    except OSError as error:
        yield unseen(f"{file}: {error.strerror or error}", "run the doctor where the server runs")
        return
    told = f"{file} is {max(0.0, days):.0f} days old"
    yield wrong(f"{told}: addresses have changed hands since", do) if days > most else fine(told)


def _apart(ahead: float) -> str:
    return f"{abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}"
