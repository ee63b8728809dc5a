"""The table of what the doctor looks at, in the order in which it tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.operate.doctor import caches, local, outside, proxies, running
from antiscrape.operate.doctor.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from antiscrape.operate.doctor.findings import Said
    from antiscrape.operate.doctor.patient import Patient


class Check(NamedTuple):
    """A name for people, and what looks."""

    name: str
    look: Callable[[Patient], Iterator[Said]]


CHECKS: Final = (
    Check("settings", local.check_settings_file),
    Check("secret", local.check_secret_file),
    Check("secret's age", local.check_secret_age),
    Check("networks", local.check_lists),
    Check("crawlers", local.check_crawler_lists),
    Check("store", local.check_store),
    Check("admin", outside.check_admin_address),
    Check("reached", running.check_reached),
    Check("policy", running.check_policy),
    Check("keys", running.check_keys),
    Check("server", running.check_server),
    Check("store in use", running.check_running_store),
    Check("clock", running.check_clock),
    Check("client", proxies.check_client_address),
    Check("disguise", proxies.check_disguise),
    Check("scheme", proxies.check_scheme),
    Check("host", proxies.check_host),
    Check("encryption", outside.check_encryption),
    Check("outside", outside.check_admin_outside),
    Check("no-store", running.check_answers_fresh),
    Check("pictures", caches.check_pictures),
    Check("browser check", caches.check_browser_check),
)

#: What the command ends with: all is well, something has to be mended, the site could not be looked at.
WELL, MEND, BLIND = 0, 1, 2


def look(patient: Patient) -> Iterator[Finding]:
    """Yield what every check finds."""
    for check in CHECKS:
        for said in check.look(patient):
            yield Finding(said.level, check.name, said.says, said.do)


def status_of(patient: Patient, findings: Sequence[Finding]) -> int:
    """Return the exit status."""
    if any(finding.level is Level.WRONG for finding in findings):
        return MEND
    return BLIND if patient.edge is not None and patient.view is None else WELL
