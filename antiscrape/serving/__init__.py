"""Serving: uvicorn under our choices, its sockets, its workers and its log.

``runner.run`` is what ``antiscrape serve`` calls; ``config.configure`` is for servers that live in
somebody else's event loop, as the admin socket does. This room knows nothing of policies: it gets an
ASGI application, and limits.
"""
