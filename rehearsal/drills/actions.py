"""What is done to a scene: each fault set, and each healed. Touches the scene that it is given, nothing else."""

from datetime import timedelta

from certlag.model import Workload
from certlag.run_record import lease_name
from rehearsal import story
from rehearsal.api.resources import DEPLOYMENTS, LEASES, POLICIES, POLICY_BINDINGS, SCALED_OBJECTS
from rehearsal.api.storage import Key
from rehearsal.drills.scene import SERVICE, WORKER, Scene
from rehearsal.objects import name_of, timestamp

SERVICE_KEY = (DEPLOYMENTS, Key(story.NAMESPACE, SERVICE))
MONTH = timedelta(days=30)
FREEZE = "change-freeze"
FREEZE_SAYS = "templates stay as they are until Monday: change freeze"


def set_default_grace(scene: Scene) -> None:
    """Give the workers the default grace period of 30 seconds."""
    scene.patch(WORKER, {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 30}}}}, "helm")


def add_autoscaler(scene: Scene) -> None:
    """Have KEDA scale the workers, never below 3."""
    spec = {"scaleTargetRef": {"name": WORKER}, "minReplicaCount": 3, "maxReplicaCount": 6, "triggers": []}
    scene.apply(SCALED_OBJECTS, {"metadata": {"name": WORKER}, "spec": spec})


def hold_lock(scene: Scene) -> None:
    """Let a colleague hold the lock."""
    at = timestamp(scene.live.cluster.clock.now())
    times = {"acquireTime": at, "renewTime": at, "leaseDurationSeconds": 60, "leaseTransitions": 0}
    for name in (WORKER, SERVICE):
        lease = lease_name(Workload(story.NAMESPACE, "deployment", name))
        holder = "maria@laptop-7/3f0a9c21b7de/4711/5d2c81e0aa"
        scene.apply(LEASES, {"metadata": {"name": lease}, "spec": {"holderIdentity": holder, **times}})


def release_lock(scene: Scene) -> None:
    """Let the colleague's lock go."""
    for name in (WORKER, SERVICE):
        scene.delete(LEASES, lease_name(Workload(story.NAMESPACE, "deployment", name)))


def stick_one_worker(scene: Scene) -> None:
    """Let one worker's container never end."""
    scene.live.cluster.faults.stuck.add(name_of(scene.pods(WORKER)[0]))


def crash_service(scene: Scene) -> None:
    """Let the build service crash at each start."""
    scene.live.cluster.faults.crashing.add(SERVICE)


def mend_service(scene: Scene) -> None:
    """Let the build service start again."""
    scene.live.cluster.faults.crashing.discard(SERVICE)


def repair_template(scene: Scene) -> None:
    """Let the build service start again, by a change of its pod template."""
    mend_service(scene)
    scene.patch(SERVICE, {"spec": {"template": {"metadata": {"annotations": {"repaired": "2"}}}}}, "kubectl-edit")


def deploy_broken_workers(scene: Scene) -> None:
    """Roll the workers out with an image that crashes: new pods never become ready, old ones stay."""
    _set_image(scene, story.IMAGES["broken"], "helm")


def undo_broken_workers(scene: Scene) -> None:
    """Put the workers' image back."""
    _set_image(scene, story.IMAGES["worker"], "kubectl-rollout")


def _set_image(scene: Scene, image: str, by: str) -> None:
    (container,) = scene.deployment(WORKER)["spec"]["template"]["spec"]["containers"]
    containers = [{**container, "image": image}]
    scene.patch(WORKER, {"spec": {"template": {"spec": {"containers": containers}}}}, by)


def freeze_templates(scene: Scene) -> None:
    """Have a ValidatingAdmissionPolicy deny every other pod template of a Deployment."""
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}
    validation = {"expression": "object.spec.template == oldObject.spec.template", "message": FREEZE_SAYS}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
    scene.apply(POLICIES, {"metadata": {"name": FREEZE}, "spec": spec})
    bound = {"policyName": FREEZE, "validationActions": ["Deny"]}
    scene.apply(POLICY_BINDINGS, {"metadata": {"name": FREEZE}, "spec": bound})


def end_freeze(scene: Scene) -> None:
    """Let the policy deny nothing any more."""
    scene.delete(POLICY_BINDINGS, FREEZE)


def mount_old_secrets(scene: Scene) -> None:
    """Let pods find Secrets mounted as they were a month ago."""
    scene.live.cluster.faults.secret_lag = MONTH


def mount_new_secrets(scene: Scene) -> None:
    """Let pods find Secrets mounted as they are."""
    scene.live.cluster.faults.secret_lag = timedelta(0)


def lose_node(scene: Scene) -> None:
    """Let a node go silent on which workers run, and not the build service."""
    spared = {pod["spec"]["nodeName"] for pod in scene.pods(SERVICE)}
    nodes = {pod["spec"]["nodeName"] for pod in scene.pods(WORKER)} - spared
    scene.live.cluster.faults.dead_nodes |= set(sorted(nodes)[:1])


def find_node(scene: Scene) -> None:
    """Let the node come back."""
    scene.live.cluster.faults.dead_nodes.clear()


def scale_workers_up(scene: Scene) -> None:
    """Scale the workers to 3, as a colleague."""
    scene.patch(WORKER, {"spec": {"replicas": 3}}, "kubectl-scale")


def revert_restarts(scene: Scene) -> None:
    """Keep the build service as its repository says: without the annotations of a restart."""
    scene.live.cluster.gitops.after = timedelta(milliseconds=100)
    undone = {"spec": {"template": {"metadata": {"annotations": None}}}}
    scene.live.cluster.gitops.declare(*SERVICE_KEY, undone)


def leave_restarts(scene: Scene) -> None:
    """Leave restarts alone."""
    scene.live.cluster.gitops.declare(*SERVICE_KEY, {})
