"""What admission denies is found out before anything is changed."""

import pytest

from rehearsal.api.refusals import Refusal
from rehearsal.api.server import Request
from tests.field import runbook
from tests.field.record import case
from tests.field.workloads import SERVICE, WORKERS


def policy(expression: str, *, message: str, resource: str = "deployments", operation: str = "UPDATE") -> str:
    """A ValidatingAdmissionPolicy and its binding, as somebody applies them."""
    group = {"deployments": "apps", "jobs": "batch"}.get(resource, "")
    return f"""
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: freeze}}
spec:
  matchConstraints:
    resourceRules:
      - {{apiGroups: ['{group}'], apiVersions: [v1], operations: [{operation}], resources: [{resource}]}}
  validations:
    - {{expression: "{expression}", message: {message}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: freeze}}
spec: {{policyName: freeze, validationActions: [Deny]}}
"""


DENIED = {
    "the restart": policy("object.spec.template == oldObject.spec.template", message="change freeze"),
    "scaling to 0": policy("object.spec.replicas > 0", message="change freeze"),
    "the fence": policy("!has(object.metadata.annotations['certlag.dev/run'])", message="change freeze"),
    "the record": policy("false", message="change freeze", resource="configmaps", operation="CREATE"),
}


@case(
    "G6",
    situation="a policy denies the change of the pod template, the scaling, the annotations or the record",
    says="refused before anything is changed, with the policy's own message; the same in a dry run",
    reference="frsca/frsca#425, IBM/portieris#508",
)
@pytest.mark.parametrize("denied", DENIED.values(), ids=DENIED)
@pytest.mark.promise("P8")
@pytest.mark.thorough
@pytest.mark.matrix(2)
def test_what_a_policy_denies_is_refused_before_the_drain(denied: str) -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.apply(denied)
        for command in ("restart-svc --yes", "restart-svc --dry-run"):
            ran = shop.run(command)
            assert ran.code == 3, ran
            assert "Refused, nothing was changed" in ran.text
            assert "ValidatingAdmissionPolicy 'freeze' with binding 'freeze' denied request: change freeze" in ran.text
            assert ran.writes == ()


@case(
    "G6",
    situation="a webhook begins to deny the restart once the workers are drained",
    says="asked for once; not restarted, the workers are restored, exit code 3 with the webhook's message",
    reference="frsca/frsca#425, IBM/portieris#508",
)
@pytest.mark.parametrize("code", [400, 403, 409, 500])
@pytest.mark.thorough
@pytest.mark.matrix(2)
def test_what_is_denied_after_the_drain_is_final_and_the_workers_are_restored(code: int) -> None:
    def deny(request: Request) -> Refusal | None:
        restart = "template" in ((request.body or {}).get("spec") or {}) if request.method == "PATCH" else False
        message = 'admission webhook "sign.example.com" denied the request: the image is not signed'
        return Refusal(code, "BadRequest", message) if restart and not request.dry_run else None

    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.refuse(deny)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 3, ran
        assert "stopped, workers restored (exit code 3)" in ran.text
        assert "the image is not signed" in ran.text
        assert "nothing was changed" not in ran.text
        assert len([write for write in ran.written("deployments") if "template" in write.body.get("spec", {})]) == 1
        assert shop.get("Deployment", "worker")["spec"]["replicas"] == 3
        assert shop.run("resume-svc --yes").code == 3, "no run is open"


@case(
    "G6",
    situation="a policy denies that the workers are scaled up again, since the drain began",
    says="asked for once, exit code 7 with the policy's message, the record is kept",
    reference="IBM/portieris#508",
)
@pytest.mark.promise("P3")
@pytest.mark.thorough
def test_workers_whose_return_is_denied_are_said_to_be_missing_at_once() -> None:
    grows = policy("object.spec.replicas <= oldObject.spec.replicas", message="no capacity")
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.when(lambda shop: not shop.pods("worker"), lambda shop: shop.apply(grows))
        ran = shop.run("restart-svc --yes")
        assert ran.code == 7, ran
        assert "denied request: no capacity" in ran.text
        assert "deployment/worker had 3 replicas" in ran.text
        ups = [write for write in ran.written("deployments") if write.body.get("spec", {}).get("replicas")]
        assert len(ups) == 1
        shop.delete("ValidatingAdmissionPolicyBinding", "freeze")
        assert shop.run("resume-svc --yes").code == 0


@case(
    "G6",
    situation="every write of a run, and the object as it will be then",
    says="each goes to the API server as a dry run before the first real one; the plan says so in one line",
    reference="frsca/frsca#425",
)
@pytest.mark.thorough
def test_every_write_is_tried_before_the_first() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        order: list[bool] = []

        def note(request: Request) -> None:
            if request.method != "GET" and not request.path.startswith("/apis/auth"):
                order.append(request.dry_run)

        shop.refuse(note)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert f"accepted all {len(ran.dry_runs)} writes in a dry run" in ran.text
        again = {("PATCH", "configmaps"), ("PATCH", "leases")}  # what was created is patched
        kinds = {(write.method, write.resource) for write in ran.writes} - again
        assert kinds == {(write.method, write.resource) for write in ran.dry_runs}
        down = next(write.body for write in ran.dry_runs if write.body.get("spec") == {"replicas": 0})
        assert down["metadata"]["annotations"]["certlag.dev/replicas"] == "3"
        assert order == sorted(order, reverse=True), "a write before the last dry run"


@case(
    "G6",
    situation="a webhook with side effects, which the API server does not call for dry runs",
    says="a warning that those writes cannot be tried; it is no refusal",
)
@pytest.mark.thorough
def test_a_webhook_that_knows_no_dry_run_is_no_refusal() -> None:
    def unsupported(request: Request) -> Refusal | None:
        if request.dry_run and request.path.endswith("/deployments/worker"):
            return Refusal(400, "BadRequest", 'admission webhook "audit.example.com" does not support dry run')
        return None

    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.refuse(unsupported)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert 'admission webhook "audit.example.com" does not support dry run' in ran.text
        assert "cannot be tried beforehand" in ran.text


CRON_JOB = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: certlag-run-svc}
spec:
  schedule: 0 0 31 2 *
  suspend: true
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: runbook, image: idle, args: [restart-svc, --yes]}]
"""


@case(
    "G6",
    situation="a policy denies the Job of a run in the cluster",
    says="refused in the plan, with the policy's message",
    reference="gatekeeper/gatekeeper#2695",
)
def test_a_job_that_is_denied_is_refused_in_the_plan() -> None:
    with runbook.cluster(SERVICE, WORKERS, CRON_JOB) as shop:
        shop.apply(policy("false", message="no Jobs here", resource="jobs", operation="CREATE"))
        ran = shop.run("restart-svc --yes --in-cluster")
        assert ran.code == 3, ran
        assert "denied request: no Jobs here" in ran.text
        assert ran.writes == ()


# --- what no dry run can tell: a quota is asked when a controller makes a pod ----------------------------------------

QUOTA = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: small}, spec: {hard: {pods: '%s'}}}"
ALONE = runbook.CONFIGURATION.replace("    workers: [deployment/worker]\n", "")


@case(
    "G7",
    situation="a ResourceQuota has no room for the target's new pod, or less than the drained workers need",
    says="refused before the drain: the quota, what is used and what is allowed; `--accept-quota` goes on",
    reference="kubernetes/kubernetes#98656",
)
@pytest.mark.parametrize(
    ("applied", "configuration", "hard", "says"),
    [
        ((SERVICE,), ALONE, 1, "deployment/svc: ResourceQuota small leaves no room for a new pod (pods: 1 used of 1)"),
        (
            (SERVICE, WORKERS),
            runbook.CONFIGURATION,
            2,
            "deployment/worker: ResourceQuota small leaves no room for a new pod (pods: 4 used of 2)",
        ),
    ],
    ids=["target", "workers"],
)
@pytest.mark.thorough
def test_a_quota_without_room_is_found_beforehand(
    applied: tuple[str, ...], configuration: str, hard: int, says: str
) -> None:
    with runbook.cluster(*applied) as shop:
        shop.apply(QUOTA % hard)
        ran = shop.run("restart-svc --yes", configuration=configuration)
        assert ran.code == 3, ran
        assert says in ran.text
        assert "--accept-quota" in ran.text
        assert ran.writes == ()
        accepted = shop.run("restart-svc --yes --accept-quota", configuration=configuration)
        assert "exceeded quota: small" in accepted.text


@case(
    "G7",
    situation="a ResourceQuota is full, and the drain gives back what the new pod needs",
    says="the run goes on and ends with 0",
    found_by="test",
)
@pytest.mark.thorough
def test_a_full_quota_has_room_once_the_workers_are_drained() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.apply(QUOTA % 4)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert "ResourceQuotas leave room for the new pods" in ran.text


@case(
    "G7",
    situation="the operator may not list ResourceQuotas",
    says="the plan says that it cannot be seen, and which right is missing; it is no refusal",
    found_by="test",
)
@pytest.mark.thorough
def test_quotas_that_may_not_be_listed_are_said_to_be_unseen() -> None:
    def forbid(request: Request) -> Refusal | None:
        return Refusal(403, "Forbidden", "no") if request.path.endswith("/resourcequotas") else None

    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.refuse(forbid)
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
        assert "whether a ResourceQuota leaves room for new pods cannot be seen" in ran.text
        assert "list resourcequotas in shop" in ran.text
