"""The process of a pod as this machine numbers it, to have it stand still. Touches /proc."""

from pathlib import Path

from tests.bench.cluster import Object


def process_of(pod: Object, program: str) -> int:
    """The process of a pod that was started as this program, found by the pod's own cgroup.

    Raises:
        LookupError: there is none.
    """
    uid = pod["metadata"]["uid"]
    for folder in Path("/proc").iterdir():
        try:
            in_pod = uid in (folder / "cgroup").read_text().replace("_", "-")
            command = (folder / "cmdline").read_bytes()
        except OSError:  # no process, or one that has ended meanwhile
            continue
        if in_pod and command.startswith(program.encode()):
            return int(folder.name)
    raise LookupError(f"no process of pod {uid} on this machine")
