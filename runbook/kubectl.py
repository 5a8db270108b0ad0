"""What shows more of something that is in the way, as arguments of kubectl. Pure: one table of commands.

`Session.kubectl` makes of them a line to type, with the options that led to this cluster.
"""

import shlex
from enum import Enum

Words = tuple[str, ...]
"""The arguments of one kubectl command."""


class Show(Enum):
    """Commands that only look, by what is in the way; names of objects stand in braces."""

    LAST_CRASH = "logs {pod} -n {namespace} --previous -c {container}"
    """A container that is started again and again: what it wrote before its last end."""
    LOG = "logs {pod} -n {namespace} -c {container}"
    """A container that has ended."""
    WORK = "logs {pod} -n {namespace} --all-containers --tail=20"
    """A pod that is to end and goes on."""
    POD = "describe pod {pod} -n {namespace}"
    """A pod that is not placed, has no image or no volume, does not end, or serves something else: its events."""
    NODE = "describe node {node}"
    """The node whose kubelet mounts a pod's Secrets."""
    JOB = "describe job {job} -n {namespace}"
    """A Job that has no pod."""
    NO_POD = "get events -n {namespace} --field-selector=reason=FailedCreate"
    """Why a controller may make no pod."""

    def words(self, **names: str) -> Words:
        """Return the command about these objects."""
        return tuple(word.format(**names) for word in self.value.split())


def line(words: Words) -> str:
    """Return a command as it is typed."""
    return shlex.join(("kubectl", *words))
