"""The on-call path: a laptop with a kubeconfig and nothing else."""

import shlex

from tests.field import runbook
from tests.field.record import case
from tests.field.workloads import SERVICE, WORKERS

WORKLOAD = "--workload deployment/svc --worker deployment/worker -n shop"
EMPTY = "targets: []"
RELEASE = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: certlag-config-prod
  labels: {app.kubernetes.io/part-of: certlag, app.kubernetes.io/component: configuration}
data:
  certlag.yaml: "targets: [{name: svc, workload: deployment/svc}]"
"""
UNPLACED = "targets: [{name: svc, workload: deployment/svc, workers: [deployment/worker]}]"


@case(
    "D17",
    situation="a workload that no configuration names, restarted with its workers by --workload and --worker",
    says="plan, drain, restart and verification as for a configured target; a warning that no alert tells of the run",
    found_by="user trial",
    since="2026-11-29",
)
def test_a_workload_that_is_not_configured_is_restarted_with_its_workers() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        replicas = shop.get("Deployment", "worker")["spec"]["replicas"]
        planned = shop.run(f"restart {WORKLOAD} --dry-run --force", configuration=EMPTY)
        assert planned.code == 0, planned
        assert planned.writes == ()
        assert "from the command line" in planned.text
        assert "ConfigMap certlag-run-deployment-svc" in planned.text
        assert "if the workers stay at 0, no alert says so" in planned.text
        ran = shop.run(f"restart {WORKLOAD} --yes --force", configuration=EMPTY)
        assert ran.code == 0, ran
        assert shop.get("Deployment", "worker")["spec"]["replicas"] == replicas


def test_a_printed_command_has_the_namespace_that_a_target_of_a_file_was_given() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        ran = shop.run("restart-svc -n shop --dry-run --force", configuration=UNPLACED)
        assert ran.code == 0, ran
        (command,) = (each for each in map(str.strip, ran.stdout.splitlines()) if each.startswith("runbook restart"))
        assert command.endswith(" --namespace shop --force"), command


def test_the_printed_command_of_such_a_run_goes_on_with_it() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        refused = shop.run(f"restart {WORKLOAD} --dry-run --force", configuration=EMPTY)
        lines = map(str.strip, refused.stdout.splitlines())
        command = next(line for line in lines if line.startswith("runbook restart"))
        words = shlex.split(command)
        assert words[1:2] == ["restart"]
        again = shop.run(shlex.join([*words[1:], "--yes", "--force"]), configuration=EMPTY)
        assert again.code == 0, again
        checked = shop.run(f"check {WORKLOAD} -o json", configuration=EMPTY)
        assert checked.events[0]["targets"][0]["name"] == "deployment-svc"


@case(
    "D17",
    situation="the same workload, named as kubectl takes it (deploy/…), with itself or with nothing as its worker",
    says="itself: exit code 2, a worker is another workload; nothing: the plan warns that connections break",
    found_by="user trial",
    since="2026-11-29",
)
def test_a_workload_is_not_its_own_worker_and_a_restart_without_workers_is_warned_of() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        itself = shop.run("restart --workload deploy/svc --worker deployments/svc -n shop --yes", configuration=None)
        assert (itself.code, itself.writes) == (2, ())
        assert "deployment/svc is the target itself" in itself.stderr
        alone = shop.run("restart --workload deploy/svc -n shop --dry-run --force", configuration=None)
        assert alone.code == 0, alone
        assert "no worker was named: connections to the target break when it restarts" in alone.text


def test_the_runs_of_a_workload_that_is_not_configured_are_shown() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        before = shop.run("history --workload deployment/svc -n shop", configuration=None)
        assert "No run is recorded" in before.stdout
        assert shop.run(f"restart {WORKLOAD} --yes --force", configuration=None).code == 0
        after = shop.run("history --workload deployment/svc -n shop -o json", configuration=None)
        (target,) = after.events[0]["targets"]
        assert [run["outcome"] for run in target["finished"]] == ["done"]


@case(
    "D17",
    situation="`runbook check` on a laptop that has named no release, where the built-in target does not exist",
    says="exit code 2: no targets were named, and how to name a release. Before: the missing parts of OpsChain",
    found_by="user trial",
    since="2026-11-29",
)
def test_check_says_that_no_release_was_named() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        ran = shop.run("check -n shop", configuration=None)
        assert ran.code == 2, ran
        assert ran.stdout == ""
        assert "--release NAMESPACE/NAME" in ran.stderr


def test_a_workload_that_does_not_exist_is_one_refusal_with_what_shows_those_that_do() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        ran = shop.run("restart --workload deployment/web -n shop --yes -o json", configuration=None)
        assert ran.code == 3, ran
        (plan,) = (each for each in ran.events if each["event"] == "plan")
        assert plan["refused"] == ["workloads"]
        assert "kubectl get deployment -n shop" in ran.events[-1]["message"]


def test_the_releases_that_check_names_are_asked_in_the_same_cluster() -> None:
    with runbook.cluster(SERVICE, WORKERS, RELEASE) as shop:
        ran = shop.run("check -n shop --context rehearsal", configuration=None)
        assert ran.code == 2, ran
        assert "deployment/opschain-build-service in shop" in ran.stderr
        assert ran.stderr.splitlines()[-1].strip() == "runbook check --release shop/prod --context rehearsal"


def test_a_target_that_was_named_is_told_of_though_it_does_not_exist() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        ran = shop.run("check build-service -n shop", configuration=None)
        assert ran.code == 3, ran
        assert "Workload deployment/opschain-build-service does not exist in shop" in ran.text
