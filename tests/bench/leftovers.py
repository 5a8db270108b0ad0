"""Records of running supervisors, and the removal of what a dead one left.

Each supervisor holds a lock on its record for as long as it lives, so a record that can be locked belongs to a
dead one: a process number alone could have been given to another process since.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench import enclosure, needs, waiting


def records() -> Path:
    """The folder of the records and of the clusters' own folders: each user's own, since it is in a shared place."""
    folder = Path(tempfile.gettempdir()) / f"certlag-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is another user's: have it removed, or set TMPDIR")
    return folder


@dataclass(frozen=True)
class Record:
    """What a supervisor makes outside its own processes: a folder, and kernel objects of one name."""

    name: str
    directory: Path

    @property
    def path(self) -> Path:
        """The file of this record."""
        return records() / f"{self.name}.json"

    def hold(self) -> int:
        """Write the record and lock it; the descriptor holds the lock until this process ends."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps({"directory": str(self.directory)}).encode())
        return descriptor

    def remove_kernel_objects(self) -> None:
        """Remove the network namespace and the cgroups, and kill what is still in them."""
        for cgroup in _cgroups(self.name):
            _remove_cgroup(cgroup)
        if (enclosure.NAMESPACES / self.name).exists():
            subprocess.run([needs.tool("ip"), "netns", "delete", self.name], check=True)

    def remove_directory(self) -> None:
        """Remove the cluster's folder; should anything be mounted below it, unmount that first.

        Nothing ever is: the mounts were in a namespace that ended with its processes. But to delete through
        one would delete what it shows.
        """
        for mounted in reversed(mounts_below(self.directory)):
            subprocess.run([needs.tool("umount"), "--lazy", mounted], check=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def reap() -> list[str]:
    """Remove what dead supervisors left; returns the names of what was removed."""
    reaped = []
    for path in sorted(records().glob(f"{enclosure.PREFIX}*.json")):
        record = _dead(path)
        if record is not None:
            record.remove_kernel_objects()
            record.remove_directory()
            path.unlink(missing_ok=True)
            reaped.append(record.name)
    for name in _unrecorded():
        Record(name, records() / name).remove_kernel_objects()
        reaped.append(name)
    return reaped


def mounts_below(directory: Path) -> list[str]:
    """What is mounted below a folder, as this process sees it."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{directory}/")]


def _dead(path: Path) -> Record | None:
    """The record at this path if nobody holds it."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = file.read()
    except (BlockingIOError, FileNotFoundError):
        return None
    # Empty: killed between making the file and writing it, before anything else was made.
    directory = json.loads(text)["directory"] if text else str(records() / path.stem)
    return Record(path.stem, Path(directory))


def _unrecorded() -> list[str]:
    """Network namespaces of supervisors that are gone, where their record is gone as well."""
    if not enclosure.NAMESPACES.exists():
        return []
    return [
        netns.name
        for netns in enclosure.NAMESPACES.glob(f"{enclosure.PREFIX}*")
        if (number := netns.name.removeprefix(enclosure.PREFIX)).isdigit()
        and not (records() / f"{netns.name}.json").exists()
        # Another TMPDIR may hold the record of a living one.
        and not Path(f"/proc/{number}").exists()
    ]


def _cgroups(name: str) -> list[Path]:
    if not enclosure.CGROUPS.exists():
        return []
    return [root / name for root in enclosure.cgroup_roots() if (root / name).exists()]


def _remove_cgroup(top: Path) -> None:
    """Kill what is in a cgroup and remove it: all in it were the cluster's."""

    def removed() -> bool:
        for folder, _, _ in os.walk(top, topdown=False):
            for number in (Path(folder) / "cgroup.procs").read_text().split():
                try:
                    os.kill(int(number), signal.SIGKILL)
                except ProcessLookupError:
                    continue
            Path(folder).rmdir()
        return not top.exists()

    waiting.until(f"the cgroup {top} to be empty", removed, 30)
