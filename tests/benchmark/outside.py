"""What a process costs, seen from outside (Linux's /proc): memory, processor time, descriptors, bytes received."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench import needs

MIB = 1024 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """One look at a process. Sizes in bytes, `processor` in seconds of user and system time."""

    resident: int
    peak: int
    processor: float
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Look at a process."""
    folder = Path("/proc") / str(pid)
    status = dict(re.findall(r"^(\w+):\s+(\d+)", (folder / "status").read_text(), re.MULTILINE))
    # The name of the program, in brackets, may hold spaces.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return Usage(
        resident=int(status["VmRSS"]) * 1024,
        peak=int(status["VmHWM"]) * 1024,
        processor=(int(fields[11]) + int(fields[12])) / _TICKS,
        threads=int(status["Threads"]),
        descriptors=len(list((folder / "fd").iterdir())),
    )


def received(pid: int, port: int) -> int:
    """Return the bytes that a process has received over its open connections to a port, by the kernel's count."""
    argv = [str(needs.tool("ss")), "--tcp", "--info", "--processes", "--no-header", "dport", "=", f":{port}"]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    connections = re.split(r"^(?=\S)", listed, flags=re.MULTILINE)
    own = (connection for connection in connections if f"pid={pid}," in connection)
    return sum(int(found[1]) for connection in own if (found := re.search(r"bytes_received:(\d+)", connection)))
