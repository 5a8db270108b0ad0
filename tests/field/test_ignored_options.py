"""Options that are ignored, and a dry run that reads like a run."""

import pytest

from tests.field import runbook
from tests.field.record import case
from tests.field.workloads import SERVICE, WORKERS

COMMANDS = (
    "check-svc",
    "restart-svc --yes",
    "restart-svc --dry-run",
    "resume-svc --yes",
    "abort-svc --yes",
    "history svc",
)


@case(
    "D14",
    situation="-n names another namespace than the one in which the configuration has the target",
    says="refused with both namespaces, exit code 2; no command ignores it",
    found_by="reader",
)
@pytest.mark.parametrize("where", ["{} -n wrong", "--namespace=wrong {}"])
def test_a_namespace_that_is_not_the_targets_is_refused(where: str) -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        for command in COMMANDS:
            ran = shop.run(where.format(command))
            assert ran.code == 2, ran
            assert "svc is in namespace shop, not in wrong" in ran.text
            assert "leave -n out, or name shop" in ran.text
            assert ran.writes == ()
        assert shop.run("check-svc -n shop").code == 1


IGNORED = {
    "history --reach=direct": "--reach",
    "history --quiet": "--quiet",
    "check-svc --quiet": "--quiet",
    "--quiet check-svc": "--quiet",
    "--reach=direct history": "--reach",
    "abort-svc --yes --drain-timeout=1h": "--drain-timeout",
    "--namespace=shop completion bash": "--namespace",
    "--output=json rehearse --list": "--output",
    "restart-svc --attach --force": "--force",
    "restart-svc --attach --in-cluster": "--in-cluster",
    "restart-svc --attach --accept-grace": "--accept-grace",
    "restart-svc --attach --dry-run": "--dry-run",
    "restart-svc --attach --no-verify": "--no-verify",
    "restart-svc --attach --drain-timeout=1h": "--drain-timeout",
    "restart-svc --yes --cron-job=x": "--cron-job",
    "restart-svc --yes --silence": "--silence",
    "restart-svc --yes --alertmanager=http://alertmanager:9093": "--alertmanager",
    "restart-svc --yes --quiet --output=json": "--quiet",
    "restart-svc --quiet": "--quiet",
}


@case(
    "D14",
    situation="an option that would have no effect on the command, or on the way in which it is called",
    says="refused by its name, exit code 2",
    found_by="reader",
)
def test_an_option_without_an_effect_is_refused() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        for words, option in IGNORED.items():
            ran = shop.run(words)
            assert (ran.code, ran.writes) == (2, ()), f"{words}: {ran}"
            assert option in ran.text, f"{words}: {ran}"


@case(
    "D15",
    situation="a dry run of a restart that would go well",
    says="Dry run: nothing was changed. The API server accepted all N writes. In JSON the outcome is dry_run",
    found_by="reader",
)
@pytest.mark.promise("P9")
def test_a_dry_run_never_reads_like_a_run() -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        before = shop.get("Deployment", "svc"), shop.get("Deployment", "worker")
        ran = shop.run("restart-svc --dry-run")
        assert ran.code == 0, ran
        assert f"Dry run: nothing was changed. The API server accepted all {len(ran.dry_runs)} writes." in ran.text
        assert "Restarted" not in ran.text
        assert ran.writes == ()
        assert (shop.get("Deployment", "svc"), shop.get("Deployment", "worker")) == before
        ended = shop.run("restart-svc --dry-run --output=json").events[-1]
        assert (ended["event"], ended["outcome"], ended["exit_code"]) == ("ended", "dry_run", 0)
        assert ended["message"].startswith("Dry run: nothing was changed.")


@case(
    "D15",
    situation="a dry run of resume and of abort, while a run is open",
    says="the same: the writes that are left are tried, and nothing is changed",
    found_by="reader",
)
@pytest.mark.parametrize("verb", ["resume", "abort"])
@pytest.mark.thorough
def test_a_dry_run_of_resume_and_abort_tries_what_is_left(verb: str) -> None:
    with runbook.cluster(SERVICE, WORKERS) as shop:
        shop.fault(lambda faults: faults.stuck.add("worker"))
        shop.when(
            lambda shop: shop.get("Deployment", "worker")["spec"]["replicas"] == 0,
            lambda shop: shop.apply("{kind: Deployment, metadata: {name: worker}, spec: {replicas: 1}}"),
        )
        assert shop.run("restart-svc --yes").code == 9
        ran = shop.run(f"{verb}-svc --dry-run")
        assert ran.code == 0, ran
        assert f"Dry run: nothing was changed. The API server accepted all {len(ran.dry_runs)} writes." in ran.text
        assert ran.writes == ()
        assert shop.run("abort-svc --yes").code == 0
