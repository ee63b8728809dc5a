"""One contender in a process of its own: ``python -m loadtests.bench.serve NAME LIMIT``.

It listens on a port of the system's choice, writes the port to stdout, and ends when its stdin does,
so that no server outlives the bench that started it.
"""

from __future__ import annotations

import socket
import sys
import threading

import uvicorn

from loadtests.bench.variants import VARIANTS


def main(name: str, limit: int) -> None:
    """Serve until stdin ends."""
    config = uvicorn.Config(
        VARIANTS[name].build(limit),
        loop="uvloop",
        http="httptools",
        interface="asgi3",  # told by guessing, some middlewares are taken for ASGI 2
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
        server.run(sockets=[listener])


def _end_with_stdin(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
