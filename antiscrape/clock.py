"""The only reader of time; everything else is given ``now``."""

import time

#: Seconds on a clock that never steps: budgets, histories, bans.
monotonic = time.monotonic

#: Seconds since the Unix epoch: grants, events, anything that leaves the process.
wall = time.time
