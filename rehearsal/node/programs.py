"""What a container runs: how it starts, serves and ends, as data. Pure.

A program is looked up by the container's image. It says nothing of Kubernetes; the kubelet asks it when it will be
ready, and when it ends once it was told to.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Program:
    """How a process behaves.

    Attributes:
        ready_after: from its start until it is ready.
        serves_tls: it is a TLS server that loads the key pair of its first mounted Secret once, at start, and requires
            client certificates that the Secret's ca.crt signs. Its port is the container's first.
        old_process: beside it a process goes on that answers every tenth connection with what the Secret held before.
        change: it works on changes of this length, one after the other, and on SIGTERM finishes the one in progress.
        ends_after: from SIGTERM until it ends, if it does not work on changes; None: it ignores SIGTERM.
        varied: by what part of it, at most, `ends_after` differs from container to container.
        crashes_after: from its start until it ends with exit code 1, by itself.
    """

    ready_after: timedelta = AT_ONCE
    serves_tls: bool = False
    old_process: bool = False
    change: timedelta | None = None
    ends_after: timedelta | None = AT_ONCE
    varied: float = 0.0
    crashes_after: timedelta | None = None

    def in_container(self, chance: random.Random) -> "Program":
        """Return how it behaves in one container."""
        if self.ends_after is None or not self.varied:
            return self
        return replace(self, ends_after=self.ends_after * (1 + chance.uniform(-self.varied, self.varied)))

    def ends_at(self, started_at: datetime, asked_at: datetime) -> datetime | None:
        """Return when it ends that was started at one instant and told to end at another; None if it never does."""
        if self.change is not None and self.change > AT_ONCE:
            finished = -((started_at - asked_at) // self.change)  # rounded up
            return started_at + finished * self.change
        return None if self.ends_after is None else asked_at + self.ends_after

    def crashes_at(self, started_at: datetime) -> datetime | None:
        """Return when it ends by itself, None if it does not."""
        return None if self.crashes_after is None else started_at + self.crashes_after


IDLE = Program()
BUILD_SERVICE = Program(serves_tls=True)
STUBBORN = Program(ends_after=None)
CRASHING = Program(crashes_after=timedelta(seconds=1), ready_after=timedelta(days=1))

Programs = Mapping[str, Program]
"""Programs by image. An image that is not in it is `IDLE`."""
