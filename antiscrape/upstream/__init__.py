"""The way to the site: connections, what is said on them, and which of several sites is asked."""

from antiscrape.upstream.answer import Answer, Trailing
from antiscrape.upstream.client import SiteState, Upstream
from antiscrape.upstream.sending import BodyError
from antiscrape.upstream.websocket import Closed, Socket, sendable

__all__ = ["Answer", "BodyError", "Closed", "SiteState", "Socket", "Trailing", "Upstream", "sendable"]
