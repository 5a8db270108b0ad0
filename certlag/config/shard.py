"""Which part of a cluster does this exporter look at? Pure.

Namespaces are dealt to shards by a hash of their names: the same in every process and version, and most stay where they
are while the number of shards stays. A namespace is the smallest part, since a pod and all certificates that it
mounts are in one: anyone who assesses one of them must know the others, and every object has exactly one shard.
"""

import hashlib
from dataclasses import dataclass, replace

from certlag.config.schema import Configuration
from certlag.model import Discovery


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shards, the first of which has the index 0."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read INDEX/COUNT.

        Raises:
            ValueError: it is none, or there is no such shard.
        """
        index, slash, count = text.partition("/")
        if not slash or not index.isdecimal() or not count.isdecimal() or not int(index) < int(count):
            raise ValueError(f"{text!r} is not INDEX/COUNT with an index below the count, as in 0/3, 1/3 and 2/3")
        return cls(int(index), int(count)) if int(count) > 1 else WHOLE

    def owns(self, namespace: str) -> bool:
        """Tell whether a namespace belongs to this shard."""
        if self.count == 1:
            return True
        digest = hashlib.sha256(namespace.encode()).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index

    def part_of(self, configuration: Configuration) -> Configuration:
        """Return what of a configuration concerns this shard; `*` stays, and what is read by it is to be asked for."""
        discovery = configuration.discovery
        named = frozenset(name for name in discovery.namespaces if name == "*" or self.owns(name))
        return replace(
            configuration,
            targets=tuple(target for target in configuration.targets if self.owns(target.workload.namespace)),
            discovery=Discovery(named, discovery.probe),
        )


WHOLE = Shard()
"""The only shard: everything."""
