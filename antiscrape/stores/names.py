"""What a shared store's records are called: keyed hashes in the site's namespace, and nothing that a client wrote.

``as:NAMESPACE:{SHARD}:NAME`` is a record, with ``:o`` and ``:s`` its originals and subjects. What stands between the
braces tells a cluster the slot (the hash tag of Redis Cluster): a client and the networks around it share one, so that one
script can charge them all.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import TYPE_CHECKING

from antiscrape.core.store_address import key_prefix

if TYPE_CHECKING:
    from antiscrape.core.purse import Purse

#: Bytes of a name: that two of a billion clients have the same is a chance of one in 10^11.
_NAME = 12


class Names:
    """Names the records of one site. ``shards`` is 1 for one server; a cluster spreads as many over its nodes."""

    def __init__(self, key: bytes, namespace: str, *, shards: int = 1) -> None:
        self._prefix = key_prefix(namespace)
        self._key = key
        self.shards = shards
        #: Where workers hear of each other's bans.
        self.channel = self._prefix + b"news"
        #: Which workers there are.
        self.workers = self._prefix + b"workers"

    def epoch(self, shard: int) -> bytes:
        """Return the key whose value changes when a shard has lost what it knew."""
        return b"%b{%d}:epoch" % (self._prefix, shard)

    def telling(self, shard: int, worker: bytes, place: int) -> bytes:
        """Return the key of what a worker told last at one place of its exchanges."""
        return b"%b{%d}:told:%b:%d" % (self._prefix, shard, urlsafe_b64encode(worker), place)

    def once(self, token: bytes) -> bytes:
        """Return the key of what may be spent once; it spreads over a cluster by itself."""
        return b"%b{%b}:once" % (self._prefix, urlsafe_b64encode(self._digest(token)))

    def record(self, purse: Purse, *, apart: bytes = b"") -> bytes:
        """Return the key of a record. ``apart`` tells it from others of the same client."""
        name = urlsafe_b64encode(self._digest(purse.key.encode() + b"\0" + apart))
        return b"%b{%d}:%b" % (self._prefix, self.shard(purse), name)

    def shard(self, purse: Purse) -> int:
        """Return the shard of a record: that of the widest network around it."""
        if self.shards == 1:
            return 0
        return int.from_bytes(self._digest((purse.network or purse.key).encode())[:4], "big") % self.shards

    def _digest(self, text: bytes) -> bytes:
        return blake2b(text, digest_size=_NAME, key=self._key).digest()


def epoch_of(record: bytes) -> bytes:
    """Return the key of the epoch of a record's shard."""
    return record.partition(b"}")[0] + b"}:epoch"


def triple(record: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the keys of a record, its originals and its subjects."""
    return record, record + b":o", record + b":s"
