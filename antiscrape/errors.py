"""Every error that antiscrape raises on purpose.

::

    AntiscrapeError
    ├── ConfigurationError      the operator must change something; the start stops
    │   └── SecretError         the secret is missing, too short, or the documented example
    ├── RequestError            the client sent what cannot be judged; answered 4xx
    │   ├── MisdirectedError    the request is for a host that is not served here
    │   └── StrangerError       who asks for a verdict may not, or not for this
    ├── UpstreamError           the site behind the proxy failed; answered 502 or 504
    ├── StoreError              the shared store failed; no client hears of it, the worker counts for itself
    └── EdgeError               the doctor could not ask the site through its edge

``status`` is what a client is answered, ``public`` the words it may read, and ``str(error)`` the
private cause, which goes to logs only.
"""

from http import HTTPStatus


class AntiscrapeError(Exception):
    """The root: something went wrong in a way that antiscrape foresaw."""

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    public: str = "The site could not answer this request."


class ConfigurationError(AntiscrapeError):
    """A setting is wrong. ``problems`` holds one line for each, all found at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SecretError(ConfigurationError):
    """The secret is missing, shorter than 32 bytes, or the one printed in the documentation."""


class RequestError(AntiscrapeError):
    """The request cannot be read in exactly one way, so it is not judged at all."""

    status = HTTPStatus.BAD_REQUEST
    public = "The request is malformed."


class MisdirectedError(RequestError):
    """The Host is valid, but none that this site has (RFC 9110 §15.5.20)."""

    status = HTTPStatus.MISDIRECTED_REQUEST
    public = "This host is not served here."


class StrangerError(RequestError):
    """A verdict was asked for by a peer that is no proxy of the site, or on what no client may ask for."""

    status = HTTPStatus.FORBIDDEN
    public = "This is not for you to ask."


class UpstreamError(AntiscrapeError):
    """The site behind the reverse proxy did not answer, or answered nonsense."""

    def __init__(self, cause: str, status: HTTPStatus = HTTPStatus.BAD_GATEWAY) -> None:
        super().__init__(cause)
        self.status = status
        self.public = (
            "The site took too long to answer."
            if status is HTTPStatus.GATEWAY_TIMEOUT
            else "The site could not be reached."
        )


class StoreError(AntiscrapeError):
    """The shared store did not answer, or answered with an error. Its text is a line that an operator can act on.

    ``fault`` names what is wrong, as a label of metrics. ``away`` tells that the store as a whole
    cannot be used, not just for this call.
    """

    def __init__(self, cause: str, *, fault: str, away: bool) -> None:
        super().__init__(cause)
        self.fault = fault
        self.away = away


class EdgeError(AntiscrapeError):
    """The doctor could not ask the site through its edge; the text says why."""
