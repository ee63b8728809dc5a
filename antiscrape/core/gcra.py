"""The generic cell rate algorithm: a rate limit that stores one number per key.

A key's *theoretical arrival time* (TAT) is the moment at which all that it spent is earned back.
Spending moves it on; a spender whose TAT lies further ahead than the burst allows is told how long
to wait. No counter, no window whose edge can be straddled. (ITU-T I.371, "virtual scheduling";
the form used here is that of boulder's ``ratelimits/gcra.go``.)
"""

from __future__ import annotations


def spend(now: float, tat: float, cost: float, interval: float, tolerance: float) -> tuple[float, float]:
    """Spend ``cost`` and return ``(tat, wait)``.

    ``now`` and ``tat`` are seconds on one clock, ``interval`` the seconds that one unit takes to be
    earned back, ``tolerance`` the seconds that the TAT may lie ahead (``burst * interval``).
    ``wait`` is 0.0 where the cost was spent; else nothing was spent, ``tat`` is unchanged, and
    ``wait`` seconds later the same cost will fit (a cost above the whole burst never does: ``inf``).
    """
    start = max(now, tat)
    ahead = start + cost * interval - now
    if ahead <= tolerance:
        return now + ahead, 0.0
    if cost * interval > tolerance:
        return tat, float("inf")
    return tat, ahead - tolerance
