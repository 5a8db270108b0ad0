"""The on-call path: a laptop with a kubeconfig and nothing else."""

import shlex

from tests.field import runbook
from tests.field.record import case
from tests.field.workloads import SERVICE, WORKERS

WORKLOAD = "--workload deployment/svc --worker deployment/worker -n shop"
EMPTY = "targets: []"
UNPLACED = "targets: [{name: svc, workload: deployment/svc, workers: [deployment/worker]}]"


@case(
    "D17",
    situation="a workload that no configuration names, restarted with its workers by --workload and --worker",
    says="plan, drain, restart and verification as for a configured target; a warning that no exporter watches the run",
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
        assert "no exporter watches this run" in planned.text
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
