"""The chart before it meets a cluster: what it renders, what it grants, and what it refuses."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from certlag.config import schema
from certlag.config.release import CONFIGURATION_KEY, CONFIGURATION_LABELS, Release
from certlag.kube.resources import watches
from certlag.run_record import lease_key, lease_name, record_key, record_name
from runbook.cli.main import USAGE
from runbook.job.follow import RETRIED
from runbook.kube import permissions
from runbook.outcomes import EXIT_CODES
from tests.bench import parts, schemas
from tests.rendered_chart import CHART, INVALID, VALID, Object, granted, render

pytestmark = pytest.mark.tools

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def parsed(configuration: dict[str, Any]) -> schema.Configuration:
    """As the programs understand what the chart gives them."""
    return schema.parse(yaml.safe_dump(configuration), source="values", default_namespace="opschain")


def pods(objects: list[Object]) -> list[Object]:
    """The specifications of all pods that objects make."""
    found = []
    for each in objects:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        spec = spec.get("template", {}).get("spec", spec)
        found += [spec] if "containers" in spec else []
    return found


@pytest.mark.parametrize("values", VALID, ids=lambda file: file.stem)
def test_what_it_renders_is_what_the_api_takes(values: Path, tmp_path: Path) -> None:
    rendering = render(values=values)
    assert rendering.code == 0, rendering.complaint
    (tmp_path / "rendered.yaml").write_text(rendering.text)
    where = parts.schemas_folder() / schemas.LOCATION
    argv = (parts.binary("kubeconform"), "-strict", "-schema-location", str(where), str(tmp_path))
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("values", VALID, ids=lambda file: file.stem)
def test_helms_linter_finds_nothing_to_say(values: Path) -> None:
    argv = (parts.binary("helm"), "lint", "--strict", CHART, "--values", values)
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("values", INVALID, ids=lambda file: file.stem)
def test_values_that_are_wrong_are_refused_with_what_is_wrong(values: Path) -> None:
    expected = values.read_text().splitlines()[0].removeprefix("# refused: ")
    rendering = render(values=values)
    assert rendering.code != 0
    assert expected in rendering.complaint


@pytest.mark.fault("N5")
@pytest.mark.parametrize("values", VALID, ids=lambda file: file.stem)
def test_all_its_pods_are_as_the_restricted_standard_asks(values: Path) -> None:
    for pod in pods(render(values=values).objects):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == RESTRICTED
            assert container["resources"]["requests"]


@pytest.mark.parametrize("values", VALID, ids=lambda file: file.stem)
def test_no_right_reads_a_secret(values: Path) -> None:
    roles = [each for each in render(values=values).objects if each["kind"] in ("Role", "ClusterRole")]
    resources = {resource for role in roles for _, resource, _, _, _ in granted(role)}
    assert resources.isdisjoint({"secrets", "*"})


def test_labels_and_annotations_of_all_objects_are_on_all_objects() -> None:
    for each in render("--set", "commonLabels.team=builds", "--set", "commonAnnotations.note=x").objects:
        assert each["metadata"]["labels"]["team"] == "builds"
        assert each["metadata"]["annotations"]["note"] == "x"
    pod = render("--set", "commonLabels.team=builds").only("Deployment")["spec"]["template"]
    assert pod["metadata"]["labels"]["team"] == "builds"


def test_the_default_target_is_the_one_that_is_built_in() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert parsed(values["config"]).targets == (schema.opschain("opschain"),)


@pytest.mark.parametrize("values", [file for file in VALID if file.stem != "nothing-made"], ids=lambda file: file.stem)
def test_the_exporter_may_do_just_what_it_does(values: Path) -> None:
    rendering = render(values=values)
    configuration = yaml.safe_load(rendering.only("ConfigMap", "certlag-config-certlag")["data"]["certlag.yaml"])
    needed = {
        ("*" if watch.namespace == "*" else watch.namespace, group, watch.resource.name, watch.name or "", verb)
        for watch in watches(parsed(configuration))
        for group in ["" if watch.resource.group_path == "/api/v1" else watch.resource.group_path.split("/")[2]]
        for verb in ("list", "watch")
    }
    given = {
        (role["metadata"].get("namespace", "*"), group, resource, name, verb)
        for role in rendering.objects
        if role["kind"] in ("Role", "ClusterRole") and "exporter" in role["metadata"]["name"]
        for group, resource, _, name, verb in granted(role)
    }
    assert given == needed


@pytest.mark.parametrize("name", ["defaults", "everything", "many-namespaces"])
def test_who_restarts_may_do_just_what_the_runbook_asks_for(name: str) -> None:
    rendering = render(values=CHART / "ci" / "valid" / f"{name}.yaml")
    configuration = yaml.safe_load(rendering.only("ConfigMap", "certlag-config-certlag")["data"]["certlag.yaml"])
    everything = name == "everything"
    for target in parsed(configuration).targets:
        made = frozenset({record_key(target), *map(lease_key, (target.workload, *target.workers))})
        asked = [*permissions.to_run(target, port_forward=False, keda=everything, made=made)]
        asked += [
            see(target) for see in (permissions.to_see_budgets, permissions.to_see_quotas, permissions.to_see_warnings)
        ]
        asked += [permissions.to_read_claims(target)] if everything else []
        role = rendering.only("Role", f"certlag-runbook-{target.name}")
        assert role["metadata"]["namespace"] == target.workload.namespace
        assert granted(role) == {(each.group, each.resource, each.subresource, each.name, each.verb) for each in asked}
        forwarding = {*permissions.to_run(target, port_forward=True, keda=False)} - {
            *permissions.to_run(target, port_forward=False, keda=False)
        }
        starting = {*permissions.to_start(target, record_name(target.name), port_forward=False, keda=everything)} - {
            *asked
        }
        if everything:
            assert granted(rendering.only("Role", f"certlag-runbook-{target.name}-start")) == {
                ("batch", "jobs", "", "", "list"),  # only --attach does, and it goes without
                *((each.group, each.resource, each.subresource, each.name, each.verb) for each in starting),
            }
        assert granted(rendering.only("Role", f"certlag-runbook-{target.name}-port-forward")) == {
            (each.group, each.resource, each.subresource, each.name, each.verb) for each in forwarding
        }


def test_nobody_may_restart_until_the_values_say_who() -> None:
    bound = [each["roleRef"]["name"] for each in render().objects if each["kind"] == "RoleBinding"]
    assert bound == ["certlag-exporter"]
    subjects = ("--set", "runbook.subjects[0].kind=Group", "--set", "runbook.subjects[0].name=operators")
    binding = render(*subjects).only("RoleBinding", "certlag-runbook-build-service")
    assert binding["subjects"] == [{"kind": "Group", "name": "operators", "apiGroup": "rbac.authorization.k8s.io"}]


@pytest.mark.parametrize("options", [(), ("fullnameOverride=x",), ("nameOverride=y",)], ids=["", "fullname", "name"])
@pytest.mark.parametrize("name", ["certlag", "prod.eu", "r" * 53])
def test_under_any_name_the_runbook_finds_the_release_s_targets_and_people_may_read_them(
    name: str, options: tuple[str, ...]
) -> None:
    release = Release("monitoring", name)
    people = ("runbook.subjects[0].kind=Group", "runbook.subjects[0].name=operators")
    settings = [word for option in (*options, *people) for word in ("--set", option)]
    rendering = render(*settings, namespace=release.namespace, release=name)
    config_map = rendering.only("ConfigMap", release.config_map)
    assert config_map["metadata"]["namespace"] == release.namespace
    assert CONFIGURATION_LABELS.items() <= config_map["metadata"]["labels"].items()
    assert [each.name for each in parsed(yaml.safe_load(config_map["data"][CONFIGURATION_KEY])).targets]
    (container,) = rendering.only("Deployment")["spec"]["template"]["spec"]["containers"]
    assert f"--release={release}" in container["args"]
    readers = [
        each["metadata"]["name"]
        for each in rendering.objects
        if each["kind"] == "Role" and granted(each) == {("", "configmaps", "", release.config_map, "get")}
    ]
    assert len(readers) == 1
    assert rendering.only("RoleBinding", readers[0])["subjects"][0]["name"] == "operators"


def test_commands_in_alerts_name_the_release_and_select_the_chart_s_own_objects() -> None:
    settings = ("rules.enabled=true", "nameOverride=y")
    words = [word for setting in settings for word in ("--set", setting)]
    rendering = render(*words, namespace="monitoring", release="prod")
    rules = [each for group in rendering.only("PrometheusRule")["spec"]["groups"] for each in group["rules"]]
    texts = [rule["annotations"]["description"] for rule in rules if "alert" in rule]
    commands = [command for text in texts for command in re.findall("`(runbook [^`]*|kubectl [^`]*)`", text)]
    of_target = [each for each in commands if re.match(r"runbook (history|\w+-)", each)]
    assert len(of_target) > 5
    assert [each for each in of_target if not each.endswith("--release monitoring/prod")] == []
    labels = rendering.only("Deployment")["spec"]["template"]["metadata"]["labels"]
    found = [each for command in commands for each in re.findall(r" -l (\S+)", command)]
    selectors = [dict(label.split("=") for label in each.split(",")) for each in found]
    assert selectors
    assert all(selector.items() <= labels.items() for selector in selectors)


def test_labels_of_everybody_replace_none_by_which_pods_are_found() -> None:
    ours = "app.kubernetes.io/part-of"
    option = "--set-json=commonLabels=" + json.dumps({ours: "platform", "team": "builds"})
    for each in render(option, "--set=runbook.inCluster.enabled=true").objects:
        assert each["metadata"]["labels"][ours] == "certlag"
        assert each["metadata"]["labels"]["team"] == "builds"
    text = render(option).text
    assert "platform" not in text


def test_records_and_leases_are_those_that_the_programs_look_for() -> None:
    rendering = render(values=CHART / "ci" / "valid" / "many-namespaces.yaml")
    configuration = yaml.safe_load(rendering.only("ConfigMap", "certlag-config-certlag")["data"]["certlag.yaml"])
    made = [
        (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
        for each in rendering.objects
        if each["kind"] == "Lease" or "certlag.dev/run-record" in each["metadata"]["labels"]
    ]
    wanted = set()
    for target in parsed(configuration).targets:
        wanted.add(("ConfigMap", target.workload.namespace, record_name(target.name)))
        for workload in (target.workload, *target.workers):
            wanted.add(("Lease", workload.namespace, lease_name(workload)))
    assert len(made) == len(set(made))
    assert set(made) == wanted


def test_a_run_in_the_cluster_waits_for_somebody_to_start_it() -> None:
    rendering = render("--set", "runbook.inCluster.enabled=true")
    job = rendering.only("CronJob")
    assert job["metadata"]["name"] == record_name("build-service")
    assert job["spec"]["suspend"] is True
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["runbook"]
    assert container["args"][:2] == ["restart-build-service", "--yes"]
    assert "--in-job=$(CERTLAG_JOB)" in container["args"]
    answers = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][-1]["onExitCodes"]["values"]
    retried = {EXIT_CODES[outcome] for outcome in RETRIED}
    assert {0, *answers} == {USAGE, *EXIT_CODES.values()} - retried, "the next pod goes on after those endings alone"
    accounts = rendering.only("RoleBinding", "certlag-runbook-build-service")["subjects"]
    assert accounts == [{"kind": "ServiceAccount", "name": "certlag-runbook-build-service", "namespace": "opschain"}]


def test_what_is_scraped_keeps_its_own_namespace_and_has_the_job_of_the_rules() -> None:
    for monitor, endpoints in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
        option = f"{monitor[0].lower()}{monitor[1:]}.enabled=true"
        (endpoint,) = render("--set", option, "--set", "rules.job=other").only(monitor)["spec"][endpoints]
        assert endpoint["honorLabels"] is True
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "other"}]


def test_behind_a_password_probes_only_look_whether_it_listens() -> None:
    (container,) = render(values=CHART / "ci" / "valid" / "tls.yaml").only("Deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    assert "tcpSocket" in container["readinessProbe"]
    (container,) = render("--set", "web.config.tls_server_config.cert_file=x").only("Deployment")["spec"]["template"][
        "spec"
    ]["containers"]
    assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_another_configuration_means_other_pods() -> None:
    def checksum(*options: str) -> str:
        template = render(*options).only("Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum() != checksum(
        "--set", "config.targets[0].name=a", "--set", "config.targets[0].workload=deployment/a"
    )


def test_its_annotations_for_artifact_hub_are_text_that_holds_yaml() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    annotations = chart["annotations"]
    assert all(isinstance(value, str) for value in annotations.values())
    assert annotations["artifacthub.io/license"] == "Apache-2.0"
    (image,) = yaml.safe_load(annotations["artifacthub.io/images"])
    assert image["image"] == f"certlag.dev/certlag:{chart['appVersion']}"
    assert {"kind", "description"} <= set(yaml.safe_load(annotations["artifacthub.io/changes"])[0])
