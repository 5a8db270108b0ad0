"""What the kernel keeps apart for a whole cluster: a network, process numbers, mounts and cgroups of its own.

The first process of the PID namespace is tied to the supervisor's life; when it ends, the kernel kills every
process of the cluster, pods included, and with the last of them go all mounts. What then remains is a named
network namespace, empty cgroups and a folder, and `leftovers` removes those.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.bench import needs, parts

Process = subprocess.Popen[bytes]

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWPID = 0x20000000
NODE_ADDRESS = "10.89.0.1"
NAMESPACES = Path("/run/netns")
CGROUPS = Path("/sys/fs/cgroup")
PREFIX = "certlag-"

# Private to the cluster: what Kubernetes and containerd keep at fixed places (iptables' lock and the shims'
# sockets in /run, links to pod logs, the cache of CNI), and the process numbers.
PRIVATE_MOUNTS = """
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /var/lib/cni
echo enclosed
exec "$0" </dev/null >/dev/null 2>&1
"""


@dataclass(frozen=True)
class Enclosure:
    """One cluster's own piece of the kernel."""

    name: str
    first: Process

    @property
    def netns(self) -> Path:
        """Its network namespace, by which any process may enter its network."""
        return NAMESPACES / self.name

    def spawn(self, argv: Sequence[str], output: IO[bytes] | int, environment: Mapping[str, str]) -> Process:
        """Start a program inside, as a child of this process.

        `ip netns exec` would mount a new /sys and so hide the cgroups from the kubelet. `nsenter --pid` would
        fork, and the child that matters would be a grandchild.
        """
        _children_in(f"/proc/{self.first.pid}/ns/pid")
        try:
            return spawn(
                [
                    str(needs.tool("nsenter")),
                    f"--net={self.netns}",
                    f"--mount=/proc/{self.first.pid}/ns/mnt",
                    "--",
                    *argv,
                ],
                output,
                environment,
            )
        finally:
            # A process whose children go elsewhere can make no threads.
            _children_in("/proc/self/ns/pid")

    def end(self, spawned: Iterable[Process]) -> None:
        """Kill everything inside, with one signal to the first process.

        That process is gone only after all others are waited for: those that this process spawned, by it.
        """
        self.first.kill()
        for process in spawned:
            process.wait()
        self.first.wait()


def make(name: str) -> Enclosure:
    """Make an enclosure, with its first process."""
    _make_network(name)
    _make_cgroups(name)
    # The directory must exist to be mounted over; an empty one is all that the machine gets.
    Path("/var/lib/cni").mkdir(parents=True, exist_ok=True)
    _succeeded(LIBC.unshare(CLONE_NEWPID), "a new PID namespace")
    first = subprocess.Popen(
        [
            *(str(needs.tool("setpriv")), "--pdeathsig", "KILL", "--"),
            *(str(needs.tool("unshare")), "--mount", "--propagation", "slave", "--"),
            *("sh", "-c", PRIVATE_MOUNTS, str(parts.binary("pause"))),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    _children_in("/proc/self/ns/pid")
    assert first.stdout is not None
    if first.stdout.readline() != b"enclosed\n":
        raise RuntimeError(f"the mounts of {name} failed: see the supervisor's log for what mount said")
    return Enclosure(name, first)


def spawn(argv: Sequence[str], output: IO[bytes] | int, environment: Mapping[str, str]) -> Process:
    """Start a program that the kernel kills when this thread ends, however it ends: call it from the main one."""
    return subprocess.Popen(
        [str(needs.tool("setpriv")), "--pdeathsig", "KILL", "--", *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(environment),
    )


def _children_in(namespace: str) -> None:
    """Start this process's next children in a PID namespace; the process itself stays in its own."""
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _succeeded(LIBC.setns(descriptor, CLONE_NEWPID), f"entering {namespace}")
    finally:
        os.close(descriptor)


def _succeeded(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}: run as root, with CAP_SYS_ADMIN")


def _make_network(name: str) -> None:
    ip = str(needs.tool("ip"))
    for words in (
        ("netns", "add", name),
        ("-n", name, "link", "set", "lo", "up"),
        # A bridge without ports carries the node's address: a kernel may lack dummy devices, and the kubelet
        # refuses a loopback address as the node's.
        ("-n", name, "link", "add", "node0", "type", "bridge"),
        ("-n", name, "address", "add", f"{NODE_ADDRESS}/24", "dev", "node0"),
        ("-n", name, "link", "set", "node0", "up"),
        # Leads nowhere, but without a default route the API server finds no address and pods no Service.
        ("-n", name, "route", "add", "default", "dev", "node0"),
    ):
        subprocess.run([ip, *words], check=True)
    subprocess.run(
        [
            *(str(needs.tool("nsenter")), f"--net={NAMESPACES / name}", "--"),
            *("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
        ],
        check=True,
    )


def cgroup_roots() -> list[Path]:
    """The root of each cgroup hierarchy: one in version 2, one for each controller in version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [root for root in CGROUPS.iterdir() if root.is_dir() and not root.is_symlink()]


def _make_cgroups(name: str) -> None:
    """The parent of all pods' cgroups: the kubelet wants it to be there."""
    for root in cgroup_roots():
        controllers = root / "cgroup.subtree_control"
        if root == CGROUPS and controllers.exists():
            controllers.write_text("+cpu +cpuset +memory +pids")
        (root / name).mkdir()
        if root.name == "cpuset":
            # A new cpuset of version 1 is empty, and no process can be put into it.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (root / name / file).write_text((root / file).read_text())
