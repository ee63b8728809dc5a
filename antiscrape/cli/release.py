"""``antiscrape release``: end a ban or a cooling before its time, in all workers at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from antiscrape import clock
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.identity import Principal
    from antiscrape.core.rules import Policy


@click.command("release")
@click.argument("names", nargs=-1, required=True, metavar="CLIENT...")
@click.option("--config", envvar="ANTISCRAPE_CONFIG", metavar="FILE", help="The policy of the site, with its [store] url.")  # fmt: skip
@click.option("--account", is_flag=True, help="The names are accounts of the site, not addresses.")
def command(*, names: tuple[str, ...], config: str | None, account: bool) -> None:
    """End the ban and the cooling of each CLIENT, an address or an account.

    \b
        antiscrape release 203.0.113.9 2001:db8::7
        antiscrape release --account mallory

    All workers that share the site's store hear of it at once. What the client has spent stays spent. Exit
    status: 0 when the store has taken it, 2 where a client or a setting is wrong or the store is away.
    """  # noqa: D301  click's mark for lines that are not to be joined
    from antiscrape.settings import load_policy  # noqa: PLC0415  `--help` needs no policy

    policy = load_policy(config)
    if policy.store.address is None:
        raise ConfigurationError("store.url: no store is named, so no worker can be told")
    asyncio.run(_release(policy, list(_principals(policy, names, account=account))))
    click.echo(f"released: {', '.join(names)}")


def _principals(policy: Policy, names: tuple[str, ...], *, account: bool) -> Iterator[Principal]:
    from antiscrape.core.account import account_key  # noqa: PLC0415
    from antiscrape.core.identity import Identity, Principal, read_address  # noqa: PLC0415
    from antiscrape.core.tokens import KeyRing  # noqa: PLC0415

    identity, key = Identity(policy.identity), KeyRing(policy.secrets).derive("account")
    for name in names:
        if account:
            yield Principal(account_key(name, key), "", name)
            continue
        if read_address(name) is None:
            raise ConfigurationError(f"{name!r} is no address; an account's name is given with --account")
        yield identity.find(name)


async def _release(policy: Policy, principals: list[Principal]) -> None:
    from antiscrape.core.tokens import KeyRing  # noqa: PLC0415
    from antiscrape.stores.opening import open_store  # noqa: PLC0415
    from antiscrape.stores.shared import SharedStore  # noqa: PLC0415

    said: list[str] = []
    key = KeyRing(policy.secrets).derive("store")
    opened = open_store(policy, key, clock=clock.monotonic, tell=said.append)
    store, courier = opened.store, opened.courier
    if courier is None or not isinstance(store, SharedStore):  # the policy names a store
        raise TypeError("a store that nobody shares")
    try:
        for principal in principals:
            store.lift(store.find(principal, clock.monotonic()))
        told = await courier.exchange_now()
    finally:
        await courier.aclose()
    if not told:
        raise ConfigurationError(said[0].partition("; until")[0] if said else courier.breaker.last)
