"""What may happen: deeds of people and programs, faults that heal after a while, misfortunes of commands. Two tables.

A fault is set, and what heals it is put on the agenda. None of these knows what the runbook promises or the gauges say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from rehearsal.api.refusals import Refusal
from rehearsal.api.resources import (
    AUTOSCALERS,
    CERTIFICATE_REQUESTS,
    CERTIFICATES,
    DEPLOYMENTS,
    LEASES,
    PODS,
    POLICIES,
    POLICY_BINDINGS,
    QUOTAS,
    SCALED_OBJECTS,
    SECRETS,
    STATEFUL_SETS,
    Resource,
)
from rehearsal.api.server import Request
from rehearsal.api.storage import Key
from rehearsal.api.verbs import Deletion
from rehearsal.objects import Document, name_of, with_condition
from tests.simulation import forgery
from tests.simulation.line import Loss
from tests.simulation.operators import Command
from tests.simulation.place import BROKEN, NAMESPACE, NODES, RESOURCES, WORKLOADS, Place, certify, workload_document

KUBECTL = "kubectl-edit"
EXPORTER = "certlag-exporter"
"""What the exporter's requests are known by."""
RESTART_ID = "certlag.dev/restart-id"
FENCE = "certlag.dev/run"
POLICY = "freeze"
"""The name of what denies: a policy, or a quota."""

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class World(Protocol):
    """What incidents can get at."""

    place: Place

    def later(self, after: timedelta, what: Callable[[], None]) -> None:
        """Have something happen after a while."""
        ...

    def cut_off(self, *, is_cut_off: bool) -> None:
        """Cut the exporter off from the API server, or let it in again."""
        ...

    def restart_exporter(self) -> None:
        """Have the exporter begin again, with no memory."""
        ...


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that happens, and how often against others."""

    name: str
    weight: float
    do: Callable[[World], None]
    fault: bool = False
    meddles: bool = False
    """Whether it gets in the way of a run."""


# --- certificates -----------------------------------------------------------------------------------


def renew(*names: str) -> Callable[[World], None]:
    """Ask for a renewal, as `cmctl renew` does."""

    def do(world: World) -> None:
        name = world.place.chance.choice(names)
        found = world.place.get(CERTIFICATES, name)
        if found is None:
            return
        issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "renewed by hand"}
        conditions = with_condition(found["status"].get("conditions") or (), issuing, world.place.clock.now())
        status = {"status": {"conditions": conditions}}
        world.place.patch(CERTIFICATES, name, status, "cmctl", subresource="status")

    return do


def break_issuer(world: World) -> None:
    """Have an issuer sign nothing for a while."""
    issuer = world.place.chance.choice(("authority", "intermediate", "self-signed"))
    _fault(world, world.place.cluster.faults.broken_issuers, issuer, _between(world, DAY, 40 * DAY))


def slow_issuing(world: World) -> None:
    """Have cert-manager's writes lie apart."""
    faults = world.place.cluster.faults
    faults.issuing_pause = _between(world, timedelta(seconds=2), 3 * MINUTE)
    _heal(world, _between(world, DAY, 10 * DAY), lambda: setattr(faults, "issuing_pause", timedelta(0)))


def old_mounts(world: World) -> None:
    """Have containers mount what Secrets held a while ago."""
    faults = world.place.cluster.faults
    faults.secret_lag = _between(world, timedelta(seconds=5), 100 * timedelta(seconds=1))
    _heal(world, _between(world, DAY, 10 * DAY), lambda: setattr(faults, "secret_lag", timedelta(0)))


# --- requests that anyone may write ---------------------------------------------------------------------


def forge_request(world: World) -> None:
    """Have somebody create a CertificateRequest for a target's Certificate, and delete it again after a while."""
    _forge(world, forgery.forge)


def replace_request(world: World) -> None:
    """Have somebody delete a request and create one of its name."""
    _forge(world, forgery.take_the_place)


def rewrite_request(world: World) -> None:
    """Have somebody change the annotations of a request."""
    _forge(world, forgery.rewrite)


def delete_request(world: World) -> None:
    """Have somebody delete a request, as people do who tidy up."""
    place = world.place
    if requests := place.everything(CERTIFICATE_REQUESTS):
        forgery.delete(place, name_of(place.chance.choice(requests)))


def delete_certificate(world: World) -> None:
    """Have somebody delete a target's Certificate, and create it again soon; its requests may be left behind."""
    place = world.place
    name = place.chance.choice(forgery.TARGETS)
    if place.get(CERTIFICATES, name) is None:
        return
    orphan = place.chance.random() < 0.5
    place.cluster.api.objects.delete(CERTIFICATES, Key(NAMESPACE, name), Deletion(orphan=orphan))
    _heal(world, _between(world, timedelta(seconds=1), HOUR), lambda: certify(place, name))


def restore_secret(world: World) -> None:
    """Have somebody put back what a target's Secret held before, as backup tools do."""
    place = world.place
    name = place.chance.choice(forgery.TARGETS)
    secret = place.get(SECRETS, name)
    if secret is not None:
        data = secret["data"]
        _heal(world, _between(world, DAY, 80 * DAY), lambda: place.patch(SECRETS, name, {"data": data}, "velero"))


def disable_renewal(world: World) -> None:
    """Have a target's Certificate not renewed for some weeks."""
    name = world.place.chance.choice(forgery.TARGETS)
    _set_renewal(world.place, name, {"policy": "Disabled"})
    _heal(world, _between(world, 10 * DAY, 60 * DAY), lambda: _set_renewal(world.place, name, None))


# --- other people ------------------------------------------------------------------------------------


def restart(world: World) -> None:
    """Restart a target, as `kubectl rollout restart` does."""
    kind, name = world.place.chance.choice((("deployment", "service"), ("statefulset", "registry")))
    _annotate_template(world, kind, name, "kubectl.kubernetes.io/restartedAt", world.place.clock.now().isoformat())


def undo(world: World) -> None:
    """Take back whatever restart the runbook made, as `kubectl rollout undo` does."""
    kind, name = world.place.chance.choice((("deployment", "service"), ("statefulset", "registry")))
    _annotate_template(world, kind, name, RESTART_ID, None)


def delete_pod(world: World) -> None:
    """Delete some pod."""
    pod = world.place.chance.choice(world.place.everything(PODS))
    world.place.cluster.api.objects.delete(PODS, Key(NAMESPACE, name_of(pod)))


def force_delete_pod(world: World) -> None:
    """Delete some pod by force, as people do with what does not go."""
    pod = world.place.chance.choice(world.place.everything(PODS))
    world.place.cluster.api.objects.delete(PODS, Key(NAMESPACE, name_of(pod)), Deletion(grace=0))


def scale(world: World) -> None:
    """Scale some worker."""
    kind, name = world.place.chance.choice((("deployment", "builder"), ("statefulset", "tester")))
    replicas = world.place.chance.randrange(1, 5)
    world.place.patch(RESOURCES[kind], name, {"spec": {"replicas": replicas}}, KUBECTL)


def deploy(world: World) -> None:
    """Roll a worker out with another template: its old pods are ending then, and may outlive their ReplicaSet."""
    kind, name = world.place.chance.choice((("deployment", "builder"), ("statefulset", "tester")))
    _annotate_template(world, kind, name, "deployed", world.place.clock.now().isoformat())


def recreate(world: World) -> None:
    """Delete a workload and create it again."""
    kind, name = world.place.chance.choice(tuple(WORKLOADS))
    resource = RESOURCES[kind]
    if world.place.get(resource, name) is None:
        return
    world.place.cluster.api.objects.delete(resource, Key(NAMESPACE, name))
    made = workload_document(name, WORKLOADS[kind, name])
    _heal(world, _between(world, timedelta(seconds=1), MINUTE), lambda: _create(world, resource, made))


def unmark(world: World) -> None:
    """Take the runbook's fence off a workload."""
    kind, name = world.place.chance.choice(tuple(WORKLOADS))
    world.place.patch(RESOURCES[kind], name, {"metadata": {"annotations": {"certlag.dev/run": None}}}, KUBECTL)


def delete_lease(world: World) -> None:
    """Delete a Lease, as people do with what seems to be in the way."""
    if leases := world.place.everything(LEASES):
        lease = world.place.chance.choice(leases)
        world.place.cluster.api.objects.delete(LEASES, Key(NAMESPACE, name_of(lease)))


def autoscale(world: World) -> None:
    """Have an autoscaler on a worker for some minutes."""
    if world.place.get(AUTOSCALERS, "builder") is not None:
        return
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "builder"},
        "minReplicas": world.place.chance.randrange(1, 4),
        "maxReplicas": 4,
    }
    world.place.cluster.apply(AUTOSCALERS, NAMESPACE, {"metadata": {"name": "builder"}, "spec": spec})
    key = Key(NAMESPACE, "builder")
    _heal(world, 10 * MINUTE, lambda: _remove(world, AUTOSCALERS, key))


def scale_by_keda(world: World) -> None:
    """Have KEDA scale a worker for some days."""
    if world.place.get(SCALED_OBJECTS, "builder") is not None:
        return
    spec = {"scaleTargetRef": {"name": "builder"}, "minReplicaCount": world.place.chance.randrange(1, 4)}
    world.place.cluster.apply(SCALED_OBJECTS, NAMESPACE, {"metadata": {"name": "builder"}, "spec": spec})
    key = Key(NAMESPACE, "builder")
    _heal(world, _between(world, DAY, 10 * DAY), lambda: _remove(world, SCALED_OBJECTS, key))


def restart_keda(world: World) -> None:
    """Restart KEDA's operator, which then reconciles everything."""
    faults = world.place.cluster.faults
    faults.keda_down = True
    world.place.cluster.nudge()
    _heal(world, timedelta(seconds=2), lambda: setattr(faults, "keda_down", False))


def let_volumes_go(world: World) -> None:
    """Have a worker's volumes deleted when it is scaled down, for some hours."""

    _keep_volumes(world.place, "Delete")
    _heal(world, _between(world, 10 * MINUTE, 5 * HOUR), lambda: _keep_volumes(world.place, "Retain"))


DENIALS = (
    "object.spec.template == oldObject.spec.template",
    "object.spec.replicas > 0 || oldObject.spec.replicas == 0",
    "object.spec.replicas <= oldObject.spec.replicas",
    f"has(oldObject.metadata.annotations['{FENCE}']) || !has(object.metadata.annotations['{FENCE}'])",
    f"has(object.metadata.annotations['{FENCE}']) || !has(oldObject.metadata.annotations['{FENCE}'])",
)
"""What a policy may keep: templates, workloads at more than 0, at no more than they are, without marks, with marks."""


def deny(world: World) -> None:
    """Have a ValidatingAdmissionPolicy deny some change of workloads, for some hours."""
    place = world.place
    _end_policy(place)
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"]}
    rules = [{**rule, "resources": ["deployments", "statefulsets"]}]
    validation = {"expression": place.chance.choice(DENIALS), "message": "change freeze"}
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [validation]}
    place.cluster.apply(POLICIES, "", {"metadata": {"name": POLICY}, "spec": spec})
    bound = {"policyName": POLICY, "validationActions": ["Deny"]}
    place.cluster.apply(POLICY_BINDINGS, "", {"metadata": {"name": POLICY}, "spec": bound})
    _heal(world, _between(world, MINUTE, 5 * HOUR), lambda: _end_policy(place))


def fill(world: World) -> None:
    """Have a ResourceQuota leave no room for another pod, or for some of those that run, for up to an hour."""
    place = world.place
    _end_quota(place)
    hard = {"pods": str(max(1, len(place.everything(PODS)) - place.chance.randrange(5)))}
    place.cluster.apply(QUOTAS, NAMESPACE, {"metadata": {"name": POLICY}, "spec": {"hard": hard}})
    _heal(world, _between(world, MINUTE, HOUR), lambda: _end_quota(place))


def deploy_broken(world: World) -> None:
    """Roll a workload out with an image that crashes; some hours later it is repaired, or the rollout undone."""
    place = world.place
    kind, name = place.chance.choice(tuple(WORKLOADS))
    _set_image(place, kind, name, BROKEN)
    _heal(world, _between(world, 10 * MINUTE, 10 * HOUR), lambda: _repair(place, kind, name))


def ready_late(world: World) -> None:
    """Have pods of a workload count as available only after longer than a restart is waited for."""
    place = world.place
    kind, name = place.chance.choice(tuple(WORKLOADS))
    _set_least_ready(place, kind, name, place.chance.choice((60, 600)))
    _heal(world, _between(world, 10 * MINUTE, 10 * HOUR), lambda: _set_least_ready(place, kind, name, 0))


def lose_one(world: World) -> None:
    """Have one pod of a StatefulSet not become Ready again, for some hours."""
    place = world.place
    pod = place.chance.choice(("tester-0", "tester-1", "registry-0", "registry-1"))
    if place.get(PODS, pod) is not None:
        _fault(world, place.cluster.faults.crashing, pod, _between(world, 10 * MINUTE, 5 * HOUR))
        place.cluster.api.objects.delete(PODS, Key(NAMESPACE, pod))


def hide_pods(world: World) -> None:
    """Have no command reach a pod for a while: port-forwards break."""
    place = world.place
    place.forwards = False
    _heal(world, _between(world, MINUTE, HOUR), lambda: setattr(place, "forwards", True))


def sync(world: World) -> None:
    """Have a GitOps tool keep replicas, or templates without a restart of ours, for some hours."""
    gitops, builder, service = world.place.cluster.gitops, Key(NAMESPACE, "builder"), Key(NAMESPACE, "service")
    undone = {"spec": {"template": {"metadata": {"annotations": {RESTART_ID: None}}}}}
    key, kept = world.place.chance.choice(((builder, {"spec": {"replicas": 3}}), (service, undone)))
    gitops.declare(DEPLOYMENTS, key, kept)
    _heal(world, _between(world, 10 * MINUTE, 5 * HOUR), lambda: gitops.declare(DEPLOYMENTS, key, {}))


# --- machines ------------------------------------------------------------------------------------------


def stick(world: World) -> None:
    """Have pods of a workload not end when they are told to."""
    name = world.place.chance.choice(("builder", "tester", "service"))
    _fault(world, world.place.cluster.faults.stuck, name, _between(world, 10 * MINUTE, 3 * HOUR))


def crash(world: World) -> None:
    """Have the containers of a workload crash."""
    name = world.place.chance.choice(("service", "registry", "builder"))
    _fault(world, world.place.cluster.faults.crashing, name, _between(world, MINUTE, 15 * MINUTE))


def kill_node(world: World) -> None:
    """Have a node die, and come back."""
    node = world.place.chance.choice(NODES)
    _fault(world, world.place.cluster.faults.dead_nodes, node, _between(world, MINUTE, 3 * HOUR))


def bad_weather(world: World) -> None:
    """Have the API server refuse a part of all requests but the exporter's, who is cut off as a whole or not at all."""
    place = world.place
    share = place.chance.uniform(0.05, 0.6)
    refusals = ((500, "InternalError", None), (503, "ServiceUnavailable", None), (429, "TooManyRequests", 3))

    def fault(request: Request) -> Refusal | None:
        if request.headers["user-agent"] == EXPORTER or place.chance.random() >= share:
            return None
        code, reason, wait = place.chance.choice(refusals)
        return Refusal(code, reason, "bad weather", retry_after=wait)

    place.cluster.api.fault = fault
    _heal(world, _between(world, MINUTE, 20 * MINUTE), lambda: setattr(place.cluster.api, "fault", _no_fault))


def compact(world: World) -> None:
    """Have the API server forget the past: every watch has to list again."""
    world.place.cluster.api.storage.compact()


def cut_off_exporter(world: World) -> None:
    """Have the exporter see nothing for a while."""
    world.cut_off(is_cut_off=True)
    _heal(world, _between(world, MINUTE, 10 * HOUR), lambda: world.cut_off(is_cut_off=False))


def restart_exporter(world: World) -> None:
    """Have the exporter begin again."""
    world.restart_exporter()


DEEDS: tuple[Deed, ...] = (
    Deed("renewal asked for", 4, renew("service", "registry")),
    Deed("CA rotated", 2, renew("authority", "intermediate")),
    Deed("request forged", 4, forge_request),
    Deed("request replaced", 1.5, replace_request),
    Deed("request rewritten", 1, rewrite_request),
    Deed("request deleted", 1, delete_request),
    Deed("Certificate recreated", 1, delete_certificate),
    Deed("Secret restored", 1, restore_secret),
    Deed("renewal disabled", 0.7, disable_renewal),
    Deed("issuer broken", 1, break_issuer, fault=True),
    Deed("issuing slow", 2, slow_issuing, fault=True),
    Deed("old Secret mounted", 1.5, old_mounts, fault=True),
    Deed("restarted by others", 2, restart),
    Deed("restart undone", 1, undo, meddles=True),
    Deed("pod deleted", 2, delete_pod),
    Deed("pod deleted by force", 1, force_delete_pod),
    Deed("worker scaled", 1.5, scale, meddles=True),
    Deed("worker deployed", 1, deploy, meddles=True),
    Deed("workload recreated", 0.7, recreate, meddles=True),
    Deed("fence removed", 0.4, unmark, meddles=True),
    Deed("Lease deleted", 0.4, delete_lease, meddles=True),
    Deed("autoscaler", 0.5, autoscale, meddles=True),
    Deed("KEDA", 0.7, scale_by_keda, meddles=True),
    Deed("KEDA restarted", 1, restart_keda, fault=True),
    Deed("volumes let go", 0.5, let_volumes_go, meddles=True),
    Deed("policy denies", 0.7, deny, meddles=True),
    Deed("quota full", 0.7, fill, meddles=True),
    Deed("broken template", 0.7, deploy_broken, meddles=True),
    Deed("available late", 0.5, ready_late, meddles=True),
    Deed("one pod not Ready", 0.7, lose_one, fault=True),
    Deed("port-forwards broken", 0.7, hide_pods, fault=True),
    Deed("GitOps", 0.5, sync, meddles=True),
    Deed("pods stuck", 1, stick, fault=True),
    Deed("crash loop", 1, crash, fault=True),
    Deed("node died", 1, kill_node, fault=True),
    Deed("API errors", 1, bad_weather, fault=True),
    Deed("compaction", 2, compact, fault=True),
    Deed("exporter cut off", 1, cut_off_exporter, fault=True),
    Deed("exporter restarted", 2, restart_exporter, fault=True),
)
MEDDLING = tuple(deed for deed in DEEDS if deed.meddles)


# --- what befalls a command -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Misfortune:
    """Something that befalls a command right before one of its effects."""

    name: str
    weight: float
    befall: Callable[[Command], None]


def _lose(loss: Loss) -> Callable[[Command], None]:
    return lambda command: setattr(command.line, "loses", loss)


def _sleep(command: Command) -> None:
    command.suspend(command.place.chance.choice((20.0, 50.0, 90.0, 1800.0, 9000.0)))


MISFORTUNES: tuple[Misfortune, ...] = (
    Misfortune("killed", 3, Command.kill),
    Misfortune("killed before the answer", 2, lambda command: setattr(command, "dies_after", True)),
    Misfortune("suspended", 2, _sleep),
    Misfortune("Ctrl-C", 2, Command.interrupt),
    Misfortune("request lost", 1.5, _lose(Loss.REQUEST)),
    Misfortune("answer lost", 1.5, _lose(Loss.ANSWER)),
)


# --- parts -------------------------------------------------------------------------------------------------


def heal_everything(place: Place) -> None:
    """End all faults, and all that others keep doing."""
    faults = place.cluster.faults
    for switched in (faults.stuck, faults.crashing, faults.dead_nodes, faults.broken_issuers):
        switched.clear()
    faults.secret_lag = faults.issuing_pause = timedelta(0)
    faults.keda_down = False
    place.cluster.api.fault = _no_fault
    forgery.tidy(place)
    for name in forgery.TARGETS:
        certify(place, name)
        _set_renewal(place, name, None)
    for name in ("builder", "service"):
        place.cluster.gitops.declare(DEPLOYMENTS, Key(NAMESPACE, name), {})
    for resource in (AUTOSCALERS, SCALED_OBJECTS):
        if place.get(resource, "builder") is not None:
            place.cluster.api.objects.delete(resource, Key(NAMESPACE, "builder"))
    place.forwards = True
    _end_policy(place)
    _end_quota(place)
    _keep_volumes(place, "Retain")
    for (kind, name), workload in WORKLOADS.items():
        if place.get(RESOURCES[kind], name) is None:
            place.cluster.apply(RESOURCES[kind], NAMESPACE, workload_document(name, workload))
        _set_least_ready(place, kind, name, 0)
        _repair(place, kind, name)


def _end_policy(place: Place) -> None:
    for resource in (POLICY_BINDINGS, POLICIES):
        if place.cluster.api.storage.get(resource, Key("", POLICY)) is not None:
            place.cluster.api.objects.delete(resource, Key("", POLICY))


def _end_quota(place: Place) -> None:
    if place.get(QUOTAS, POLICY) is not None:
        place.cluster.api.objects.delete(QUOTAS, Key(NAMESPACE, POLICY))


def _set_least_ready(place: Place, kind: str, name: str, seconds: int) -> None:
    place.patch(RESOURCES[kind], name, {"spec": {"minReadySeconds": seconds}}, KUBECTL)


def _set_image(place: Place, kind: str, name: str, image: str) -> None:
    """Change the image of a workload's one container."""
    if (found := place.get(RESOURCES[kind], name)) is not None:
        (container,) = found["spec"]["template"]["spec"]["containers"]
        containers = [{**container, "image": image}]
        place.patch(RESOURCES[kind], name, {"spec": {"template": {"spec": {"containers": containers}}}}, KUBECTL)


def _repair(place: Place, kind: str, name: str) -> None:
    """Give a workload its image again; a StatefulSet does not go past its broken pods by itself."""
    _set_image(place, kind, name, name)
    broken = [pod for pod in place.everything(PODS) if pod["spec"]["containers"][0]["image"] == BROKEN]
    for pod in broken:
        if pod["metadata"]["labels"]["app"] == name:
            place.cluster.api.objects.delete(PODS, Key(NAMESPACE, name_of(pod)))


def _keep_volumes(place: Place, when_scaled: str) -> None:
    spec = {"persistentVolumeClaimRetentionPolicy": {"whenScaled": when_scaled}}
    place.patch(STATEFUL_SETS, "tester", {"spec": spec}, KUBECTL)


def _no_fault(_: Request) -> None:
    return None


def _forge(world: World, forged: Callable[[forgery.Victim], str | None]) -> None:
    """Have a request forged, and deleted again after a while."""
    whose = forgery.victim(world.place)
    name = forged(whose) if whose is not None else None
    if name is not None:
        _heal(world, _between(world, MINUTE, 30 * DAY), lambda: forgery.delete(world.place, name))


def _set_renewal(place: Place, name: str, renewal: Document | None) -> None:
    place.patch(CERTIFICATES, name, {"spec": {"renewal": renewal}}, KUBECTL)


def _fault(world: World, switched: set[str], name: str, length: timedelta) -> None:
    switched.add(name)
    _heal(world, length, lambda: switched.discard(name))


def _heal(world: World, after: timedelta, heal: Callable[[], None]) -> None:
    world.later(after, heal)


def _between(world: World, least: timedelta, most: timedelta) -> timedelta:
    return least + (most - least) * world.place.chance.random()


def _annotate_template(world: World, kind: str, name: str, annotation: str, value: str | None) -> None:
    patch = {"spec": {"template": {"metadata": {"annotations": {annotation: value}}}}}
    world.place.patch(RESOURCES[kind], name, patch, KUBECTL)


def _create(world: World, resource: Resource, document: Document) -> None:
    if world.place.get(resource, name_of(document)) is None:
        world.place.cluster.apply(resource, NAMESPACE, document)


def _remove(world: World, resource: Resource, key: Key) -> None:
    if world.place.cluster.api.storage.get(resource, key) is not None:
        world.place.cluster.api.objects.delete(resource, key)
