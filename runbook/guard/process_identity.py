"""Which process holds a lock, and whether one that did is surely gone. Touches this machine only.

A holder is `user@host/machine/pid/run`. `machine` is made of the boot and the PID namespace, so a process number is
compared only where it means the same. A process that is gone can't come back; all else has to be waited out.
"""

import hashlib
import os
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MAX_DIGITS = 10
"""Of a process number; a Lease's holder is whatever somebody wrote there."""
_PID_NAMESPACE = "/proc/self/ns/pid"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """This process. `machine` is empty where it cannot be told, and then nobody is ever known to be gone."""

    user: str
    host: str
    machine: str
    pid: int

    def holder(self, run_id: str) -> str:
        """Return the name under which this process holds a run's Leases."""
        return f"{self.user}@{self.host}/{self.machine}/{self.pid}/{run_id}"

    def is_same_operator(self, holder: str) -> bool:
        """Tell whether a holder is the same user on the same host."""
        return holder.rsplit("/", 3)[0] == f"{self.user}@{self.host}"

    def is_dead(self, holder: str) -> bool:
        """Tell whether a holder was a process of this machine that runs no more."""
        parts = holder.rsplit("/", 3)
        if len(parts) != 4 or not parts[2].isdecimal() or len(parts[2]) > MAX_DIGITS or not self.machine:
            return False
        where, machine, pid = parts[0], parts[1], int(parts[2])
        same = where.rpartition("@")[2] == self.host and machine == self.machine
        return same and (pid == self.pid or not _runs(pid))


def this_process(user: str) -> ProcessIdentity:
    """Return who we are: `user` is what the API server calls us."""
    return ProcessIdentity(user, socket.gethostname(), _machine(), os.getpid())


def _runs(pid: int) -> bool:
    """Tell whether a process of this number runs: perhaps another one by now, then it counts as running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _machine() -> str:
    """Return what stays the same from boot to boot, within one PID namespace; empty if it cannot be told."""
    boot = namespace = ""
    with suppress(OSError):
        boot, namespace = _BOOT_ID.read_text(encoding="ascii").strip(), str(Path(_PID_NAMESPACE).readlink())
    if not boot:
        with suppress(OSError, subprocess.SubprocessError):  # macOS
            asked = subprocess.run(
                ("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"),
                capture_output=True,
                text=True,
                check=True,
                timeout=5,
            )
            boot = asked.stdout.strip()
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12] if boot else ""
