"""Why a workload has no pod, or no pod that is Ready: the controller's or the kubelet's own reason in one line. Pure.

Pods, conditions and events tell it, in this order of causes: no pod may be made, none can be placed, its image cannot
be had, its volumes cannot be mounted, its container does not stay up. It is said while a rollout or the workers' return
is waited for, and in the ending, beside the command that shows more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbook.kubectl import Show, Words, line

NO_POD = frozenset({"FailedCreate"})
"""Reasons of events on a workload, a ReplicaSet or a Job: its controller is not allowed to make a pod."""
NO_VOLUME = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedBinding", "ProvisioningFailed"})
"""Reasons of events on a pod whose containers are not started yet."""
OF_PODS = NO_VOLUME | {"FailedCreatePodSandBox", "FailedScheduling", "Unhealthy"}
STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons for which any container waits for a moment."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a pod from being Ready, or from being made. `shows` is the kubectl command that shows more of it.

    `definite`: the pod's own status says it, and no event needs to be looked for.
    """

    text: str
    shows: Words = ()
    definite: bool = True


@dataclass(frozen=True, slots=True)
class WarningEvent:
    """An Event of type Warning: about which object, why, and when last."""

    uid: str
    reason: str
    message: str
    at: str


def warning_event(document: Mapping[str, Any]) -> WarningEvent:
    """Read an Event of core/v1. Its last time is in one of several fields, by who wrote it."""
    series = document.get("series") or {}
    times = (series.get("lastObservedTime"), document.get("lastTimestamp"), document.get("eventTime"))
    at = next(filter(None, times), document["metadata"].get("creationTimestamp"))
    involved = document.get("involvedObject") or {}
    return WarningEvent(
        str(involved.get("uid", "")), str(document.get("reason", "")), str(document.get("message", "")), str(at or "")
    )


def pod_obstacle(pod: Mapping[str, Any]) -> Obstacle | None:
    """Return what keeps a pod (core/v1) from being Ready by its own status; None if it is Ready, or ends."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    if (conditions.get("Ready") or {}).get("status") == "True" or "deletionTimestamp" in metadata:
        return None
    name, shows = metadata["name"], Show.POD.words(**_names(metadata))
    placed = conditions.get("PodScheduled") or {}
    if placed.get("status") == "False":
        return Obstacle(f"pod {name} cannot be placed: {placed.get('message') or placed.get('reason')}", shows)
    for container in _statuses(status):
        if (found := _container_obstacle(container, metadata)) is not None:
            return found
    if not placed:
        return Obstacle(f"pod {name} is not placed on a node yet", shows, definite=False)
    return Obstacle(f"pod {name} is {status.get('phase', 'Unknown')} and not Ready", shows, definite=False)


def obstacle(
    owners: Iterable[str],
    messages: Sequence[str],
    pods: Iterable[tuple[str, Obstacle]],
    events: Sequence[WarningEvent] = (),
    *,
    namespace: str,
    pods_missing: bool,
) -> Obstacle | None:
    """Return the first cause why a workload is not Ready, None if none is known.

    Args:
        owners: UIDs of the workload and its ReplicaSets, whose events say why no pod is made.
        messages: of its condition ReplicaFailure, and of its ReplicaSets'.
        pods: the UIDs of its pods, each with what keeps it from being Ready.
        events: warnings of its namespace.
        namespace: that one.
        pods_missing: whether there are fewer pods than are wanted: an event of an earlier failure says nothing else.
    """
    found = list(pods)
    refused = _latest(events, set(owners), NO_POD) if pods_missing else None
    if message := next(iter(messages), refused and refused.message):
        return Obstacle(f"no pod is made: {message}", Show.NO_POD.words(namespace=namespace))
    if (definite := next((each for _, each in found if each.definite), None)) is not None:
        return definite
    for uid, each in found:
        if (event := _latest(events, {uid}, OF_PODS)) is not None:
            return replace(each, text=f"{each.text}: {event.reason}: {event.message}")
    return None


def _latest(events: Iterable[WarningEvent], uids: set[str], reasons: frozenset[str]) -> WarningEvent | None:
    found = [event for event in events if event.uid in uids and event.reason in reasons]
    return max(found, key=lambda event: event.at, default=None)


def _statuses(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _container_obstacle(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Obstacle | None:
    """Say why a container does not run, by its status; None if it runs, is done, or is about to start."""
    name, state = container.get("name", ""), container.get("state") or {}
    waiting, ended = state.get("waiting"), state.get("terminated")
    last = ended or (container.get("lastState") or {}).get("terminated")
    if waiting and last and waiting.get("reason") == "CrashLoopBackOff":
        return _of_container(f"ends again and again: {_end(last)}", Show.LAST_CRASH, name, pod)
    if waiting and waiting.get("reason", "") not in STARTING:
        message = waiting.get("message")
        text = f"pod {pod['name']}: container {name}: {waiting['reason']}{f': {message}' if message else ''}"
        return Obstacle(text, Show.POD.words(**_names(pod)))
    if ended and ended.get("exitCode"):
        return _of_container(f"has ended: {_end(ended)}", Show.LOG, name, pod)
    if last and container.get("restartCount") and not container.get("ready"):
        return _of_container(f"was restarted after {_end(last)}", Show.LAST_CRASH, name, pod)
    return None


def _of_container(what: str, log: Show, container: str, pod: Mapping[str, Any]) -> Obstacle:
    """Say how a container ends, and where its log is: on that line too, since it also stands in the record."""
    shows = log.words(**_names(pod), container=container)
    return Obstacle(f"pod {pod['name']}: container {container} {what}; see {line(shows)}", shows)


def _end(terminated: Mapping[str, Any]) -> str:
    """Say how a container ended; what it wrote to its termination message is the operator's to read."""
    reason = terminated.get("reason")
    text = f"exit code {terminated.get('exitCode')}{f' ({reason})' if reason else ''}"
    message = str(terminated.get("message") or "").strip()
    return f"{text}: {message.splitlines()[-1]}" if message else text


def _names(pod: Mapping[str, Any]) -> dict[str, str]:
    return {"pod": pod["name"], "namespace": pod.get("namespace", "default")}
