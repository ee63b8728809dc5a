"""Where clients are remembered: in each worker's memory, and in a store that workers and machines share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from antiscrape.core.rules import StoreRules
from antiscrape.core.store_address import read_store_address
from antiscrape.errors import ConfigurationError
from antiscrape.settings.files import read_small
from antiscrape.settings.names import (
    Line,  # noqa: TC001  pydantic reads annotations when it runs
)
from antiscrape.settings.table import Remark, Table
from antiscrape.settings.units import Bytes, Duration, lasting, sized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Holds the store's password, where the address and a file do not.
PASSWORD = "ANTISCRAPE_STORE_PASSWORD"  # noqa: S105  the variable's name
#: ACLs take longer ones, and nobody has one.
LONGEST_PASSWORD = 1024


def _url(text: str) -> str:
    if text:
        read_store_address(text)
    return text


class Store(Table):
    """Where clients are remembered, and how many."""

    max_principals: int = Field(
        default=200_000,
        ge=1000,
        le=50_000_000,
        description="How many clients are remembered at once; beyond, those longest unseen are forgotten, and last "
        "those that are banned or have spent a budget.",
    )
    max_bytes: Annotated[Bytes, sized("1MiB", "1024GiB")] = Field(
        default=2**28,
        description="How much memory they may take, with the networks around them; beyond, likewise. A client that "
        "asked once takes some 450 bytes, one that looked at pictures twice that or more.",
    )
    url: Annotated[str, AfterValidator(_url)] = Field(
        default="",
        max_length=4096,
        repr=False,
        description='A Valkey or Redis in which all workers and machines count together: "valkey://host:6379", '
        '"valkeys://" for TLS, "unix:///path", "valkey+sentinel://host:26379,host:26379/master" or '
        '"valkey+cluster://host:6379,host:6379", with user:password@ before the first host if need be. Needs '
        "antiscrape[shared]. Empty: each worker counts for itself, but the workers of one antiscrape serve count "
        "together where antiscrape[workers] is installed.",
    )
    password_file: str = Field(
        default="",
        max_length=4096,
        description="A file that holds the store's password, so that it need not stand in url. A relative path starts "
        f"at this file's folder. The environment's {PASSWORD} does the same.",
    )
    mode: Literal["shared", "strict"] = Field(
        default="shared",
        description="shared: each worker decides at once on what it knows, and tells the others every interval. "
        "strict: each request asks the store, so that no budget is ever overshot and every request waits for it.",
    )
    interval: Annotated[Duration, lasting("10ms", "10s")] = Field(
        default=0.1,
        description="How often workers tell each other what they counted. A client may overshoot a budget by what it "
        "gets from all workers within this time.",
    )
    timeout: Annotated[Duration, lasting("10ms", "5s")] = Field(
        default=0.25,
        description="How long the store may take to answer; then, and while it is away, each worker decides for "
        "itself on its share of the budgets.",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="How many workers, on all machines together, divide the budgets among them while the store is "
        "away. 0: as many as were last seen.",
    )
    namespace: Line = Field(
        default="",
        max_length=64,
        description="Sites that share a store must not share their counts: what goes, hashed, before every key. "
        "Empty: the site's name.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield a password that is given twice, or for nothing."""
        if self.password_file and not self.url:
            yield ("password_file",), "there is no store.url that it is the password for"
        elif self.password_file and read_store_address(self.url).password:
            yield ("password_file",), "store.url holds a password, too; keep the one that you mean"

    def rules(self, password: str = "") -> StoreRules:
        """Return the rules; ``password`` is the one that stood elsewhere than in the address."""
        address = read_store_address(self.url) if self.url else None
        if address is not None and password:
            address = replace(address, password=password)
        return StoreRules(
            max_principals=self.max_principals,
            max_bytes=self.max_bytes,
            address=address,
            mode=self.mode,
            interval=self.interval,
            timeout=self.timeout,
            workers=self.workers,
            namespace=self.namespace,
        )


def read_password(environ: Mapping[str, str], file: Path | None, where: str) -> str:
    """Return the store's password from the environment or ``file``, or ``""``; raise ``ConfigurationError``.

    ``where`` names the setting that gave ``file``. No message holds a password.
    """
    text = environ.get(PASSWORD, "")
    if text and file is not None:
        raise ConfigurationError(f"{PASSWORD} and {where} are both set; keep the one that you mean")
    if file is None:
        return _checked(text, PASSWORD) if text else ""
    try:
        return _checked(read_small(file, most=LONGEST_PASSWORD + 2).decode(), where)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where}: the file that it names is not UTF-8") from None
    except ValueError as error:
        raise ConfigurationError(f"{where}: the file that it names {error}") from None


def _checked(text: str, where: str) -> str:
    password = text.removesuffix("\n").removesuffix("\r")
    if not password.strip() or not password.isprintable() or len(password) > LONGEST_PASSWORD:
        words = f"a password of one line and at most {LONGEST_PASSWORD} characters"
        raise ConfigurationError(f"{where}: does not hold {words}")
    return password
