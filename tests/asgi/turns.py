"""Traces in which one thing that is not plain makes a request on the swift way the Python code's."""

from __future__ import annotations

from tests.asgi.traces import Step
from tests.house import person


def step(
    path: str,
    *,
    kind: str = "image",
    peer: str = "203.0.113.7",
    method: str = "GET",
    cookie: bytes | None = b"a=1",
    pause: float = 0.0,
) -> Step:
    """Return a request of a person."""
    return Step(path, person((b"cookie", cookie), kind=kind), peer, method, "1.1", "https", pause)


#: What a plain request turns into something else by, one thing each: the policy's name, and the trace.
TURNS: dict[str, tuple[str, list[tuple[Step, int]]]] = {
    "a page that is refused": (
        "the default",
        [(step("/p/closed?well", kind="page"), 1), (step("/p/closed", kind="page", pause=20), 3)],
    ),
    "HEAD": ("the default", [(step("/api/photos"), 2), (step("/api/photos", method="HEAD"), 2)]),
    "a trap": (
        "with a trap",
        [
            (step("/hidden/archive/1", peer="192.0.2.1"), 1),
            (step("/api/photos"), 9),
            (step("/hidden/archive/1"), 1),
            (step("/api/photos"), 3),
        ],
    ),
    "a cookie that comes back": (
        "the default",
        [
            (step("/api/photos", peer="192.0.2.1"), 1),
            (step("/api/photos", cookie=None), 2),
            (step("/api/photos"), 12),
        ],
    ),
    "a line that is spent": (
        "few requests",
        [(step("/api/photos", peer=f"2001:db8:0:{number}::1"), 7) for number in range(6)],
    ),
    "a network that is spent": (
        "few requests",
        [(step("/api/photos", peer=f"2001:db8:0:{number:x}00::1"), 7) for number in range(22)],
    ),
    "a path that no route names": (
        "the default",
        [(step("/elsewhere?away", kind="page"), 2), (step("/elsewhere", kind="page", pause=20), 3)],
    ),
    "a review": ("the default", [(step("/static/a.css"), 20)]),
    "a budget that is spent again and again": (
        "few requests",
        [
            *[(step("/api/photos"), 9), (step("/api/photos", pause=61), 1)] * 6,
            (step("/api/photos", pause=9), 5),
        ],
    ),
    "a tick that is not over": ("the default", [(step("/api/photos", pause=0.25), 30)]),
    "a visit that is over": ("the default", [(step("/api/photos"), 9), (step("/api/photos", pause=1801), 3)]),
    "a cookie that is offered": ("the default", [(step("/api/photos"), 2), (step("/api/cookie"), 3)]),
    "an image": (
        "the default",
        [(step("/api/photos"), 2), (step("/api/picture"), 3), (step("/media/1.jpg"), 3)],
    ),
    "a picture that was had": (
        "pictures",
        [
            (step("/static/a.css"), 2),
            (step("/media/3.jpg", pause=1), 9),
            (step("/media/3.jpg", pause=400), 5),
        ],
    ),
    "a picture that was had, and another": (
        "pictures",
        [
            (step("/static/a.css"), 2),
            *[(step(f"/media/{number}.jpg", pause=2), 5) for number in (3, 2, 3, 4, 5)],
        ],
    ),
    "a picture of which nothing was shown": ("pictures", [(step("/media/3.jpg", pause=7), 40)]),
    "a picture whose day is over": (
        "few pictures",
        [
            (step("/static/a.css"), 2),
            (step("/media/4.jpg"), 6),
            *[(step("/media/4.jpg", pause=1700), 1)] * 52,
            (step("/media/4.jpg"), 3),
        ],
    ),
    "small pictures": (
        "pictures",
        [
            (step("/p/1", kind="page"), 1),
            *[(step(f"/media/{number % 2 + 1}-320.jpg"), 1) for number in range(30)],
        ],
    ),
    "bytes that are spent": ("few pictures", [(step("/static/a.css"), 2), (step("/media/3.jpg"), 12)]),
    "pictures that are asked for by validators": (
        "pictures",
        [
            (step("/static/a.css"), 2),
            (step("/media/3.jpg"), 4),
            (
                Step(
                    "/media/3.jpg",
                    person((b"if-none-match", b'"3"'), (b"cookie", b"a=1")),
                    "203.0.113.7",
                    "GET",
                    "1.1",
                    "https",
                    2.0,
                ),
                4,
            ),
            (step("/media/3.jpg", pause=1), 4),
        ],
    ),
    "a picture's fields": (
        "pictures",
        [
            (step("/static/a.css"), 2),
            *[(step(f"/media/odd-{number}", pause=3), 5) for number in range(1, 9)],
        ],
    ),
}
