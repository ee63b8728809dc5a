"""A strict reader of systemd's units: every directive is known to its section, and every file is written as systemd reads it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

#: systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.resource-control(5), systemd.socket(5),
#: systemd.timer(5): those that ours use, and no others.
KNOWN: Final = {
    "Unit": {"Description", "Documentation", "After", "Wants", "Requires"},
    "Service": {
        "Type", "User", "Group", "Environment", "EnvironmentFile", "ExecStart", "ExecReload", "KillMode",
        "TimeoutStartSec", "TimeoutStopSec", "Restart", "RestartSec", "RestartPreventExitStatus", "LimitNOFILE",
        "LimitCORE", "OOMPolicy", "MemoryMax", "TasksMax", "StateDirectory", "StateDirectoryMode", "LogsDirectory",
        "LogsDirectoryMode", "ConfigurationDirectory", "UMask", "NoNewPrivileges", "CapabilityBoundingSet",
        "AmbientCapabilities", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers",
        "ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
        "ProtectKernelTunables", "ProtectProc", "RemoveIPC", "RestrictAddressFamilies", "RestrictNamespaces",
        "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "SystemCallArchitectures", "SystemCallFilter",
        "SystemCallErrorNumber", "WatchdogSec", "NotifyAccess",
    },
    "Socket": {"ListenStream", "Backlog", "NoDelay"},
    "Timer": {"OnCalendar", "RandomizedDelaySec", "Persistent"},
    "Install": {"WantedBy"},
}  # fmt: skip

#: By section and directive, its values in order: a directive may be given several times.
Unit = dict[tuple[str, str], list[str]]


def read_unit(path: Path) -> Unit:
    """Return a unit; fail for what systemd would warn of and go on without."""
    unit: Unit = {}
    section = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = found[1]
            assert section in KNOWN, f"{path.name}:{number}: no section {section}"
            continue
        name, sign, value = line.partition("=")
        assert sign, f"{path.name}:{number}: no directive"
        assert name in KNOWN[section], f"{path.name}:{number}: [{section}] has no {name}"
        unit.setdefault((section, name), []).append(value)
    return unit


def environment_of(unit: Unit) -> dict[str, str]:
    """Return what its Environment= lines set."""
    pairs = [pair for line in unit.get(("Service", "Environment"), ()) for pair in shlex.split(line)]
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
