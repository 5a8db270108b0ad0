"""A configuration is read whole, or refused with file, line, key and what would be right."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from certlag.config.schema import (
    ENVIRONMENT_VARIABLE,
    Configuration,
    ConfigurationError,
    json_schema,
    load,
    opschain,
    parse,
)
from certlag.model import Discovery, DiscoveryProbe, Evidence, Target, Workload
from tests.field.record import case

FULL = """\
targets:
  - name: build-service
    namespace: opschain
    workload: deployment/opschain-build-service
    certificate: opschain-build-service
    port: 1234
    serverName: opschain-build-service
    clientAuth: true
    workers: [deployment/opschain-api-worker, statefulset/other]
    drainTimeout: 1h
    restartTimeout: 5m30s
    reloads: true
    evidence: start_time
discovery:
  namespaces: ["*"]
  probe: declared-ports
"""
LEAST = """\
targets:
  - name: vault
    workload: statefulset/vault
"""


def read(text: str) -> Configuration:
    return parse(text, source="certlag.yaml", default_namespace="here")


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return str(caught.value)


def target_with(line: str) -> str:
    """A good target, and one more line, the fourth of the file."""
    return f"{LEAST}    {line}\n"


# --- what is read ---------------------------------------------------------------------------------


def test_every_key_is_read() -> None:
    assert read(FULL) == Configuration(
        targets=(
            Target(
                name="build-service",
                workload=Workload("opschain", "deployment", "opschain-build-service"),
                certificate="opschain-build-service",
                port=1234,
                server_name="opschain-build-service",
                client_auth=True,
                workers=(
                    Workload("opschain", "deployment", "opschain-api-worker"),
                    Workload("opschain", "statefulset", "other"),
                ),
                drain_timeout=timedelta(hours=1),
                restart_timeout=timedelta(minutes=5, seconds=30),
                reloads=True,
                evidence=Evidence.START_TIME,
            ),
        ),
        discovery=Discovery(frozenset({"*"}), DiscoveryProbe.DECLARED_PORTS),
    )


def test_what_is_not_said_has_its_default() -> None:
    (target,) = read(LEAST).targets
    assert target == Target(
        name="vault",
        workload=Workload("here", "statefulset", "vault"),
        certificate=None,
        port=None,
        server_name=None,
        client_auth=False,
        workers=(),
        drain_timeout=None,
        restart_timeout=timedelta(minutes=5),
        reloads=False,
        evidence=Evidence.HANDSHAKE,
    )
    assert read(LEAST).discovery == Discovery()


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "targets: []"])
def test_a_file_may_say_nothing(text: str) -> None:
    """It is not the same as no file: that one means the built-in target."""
    assert read(text) == Configuration((), Discovery())


def test_discovery_probes_annotated_ports_unless_told_otherwise() -> None:
    found = read("discovery:\n  namespaces: [a, b]\n").discovery
    assert found == Discovery(frozenset({"a", "b"}), DiscoveryProbe.ANNOTATED)


@pytest.mark.parametrize("port", ["https", "a", "1-a", "a-very-long-one"])
def test_a_port_may_have_a_name(port: str) -> None:
    assert read(target_with(f"port: {port}")).targets[0].port == port


@pytest.mark.parametrize(
    ("text", "length"),
    [("90s", timedelta(seconds=90)), ("1.5h", timedelta(minutes=90)), ("1h0m0s", timedelta(hours=1))],
)
def test_lengths_of_time_are_gos(text: str, length: timedelta) -> None:
    assert read(target_with(f"drainTimeout: {text}")).targets[0].drain_timeout == length


def test_names_may_have_dots_and_long_parts() -> None:
    name = "a" * 100 + ".b"
    assert read(target_with(f"certificate: {name}")).targets[0].certificate == name


# --- where it is read from ------------------------------------------------------------------------


def test_without_a_file_the_build_service_of_opschain_is_the_target() -> None:
    found = load(None, default_namespace="opschain", environment={})
    assert found == Configuration((opschain("opschain"),), Discovery())
    (target,) = found.targets
    assert target.name == "build-service"
    assert target.workload == Workload("opschain", "deployment", "opschain-build-service")
    assert target.certificate == target.server_name == "opschain-build-service"
    assert target.port == 1234
    assert target.client_auth
    assert target.workers == (Workload("opschain", "deployment", "opschain-api-worker"),)
    assert (target.drain_timeout, target.restart_timeout) == (timedelta(hours=1), timedelta(minutes=5))


def test_the_built_in_target_is_the_one_of_the_documentation() -> None:
    (written,) = read(FULL.replace(", statefulset/other", "").replace("5m30s", "5m")).targets
    built_in = opschain("opschain")
    assert {field for field in built_in.__slots__ if getattr(written, field) != getattr(built_in, field)} == {
        "reloads",
        "evidence",
    }


def test_the_command_lines_file_comes_before_the_environments(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(LEAST)
    two.write_text("")
    environment = {ENVIRONMENT_VARIABLE: str(two)}
    assert load(str(one), default_namespace="n", environment=environment).targets
    assert not load(None, default_namespace="n", environment=environment).targets


def test_a_file_that_was_named_and_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.yaml")
    for path, environment in ((missing, {}), (None, {ENVIRONMENT_VARIABLE: missing})):
        with pytest.raises(ConfigurationError, match=re.escape(f"{missing}: cannot be read: ")):
            load(path, default_namespace="n", environment=environment)


def test_a_file_that_is_no_text_or_a_directory_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe")
    for path in (binary, tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load(str(path), default_namespace="n", environment={})


# --- what is refused ------------------------------------------------------------------------------

WORKLOAD = "deployment/NAME, statefulset/NAME or daemonset/NAME"
LABEL = 'a DNS label: lower-case letters, digits and "-", as in "build-service"'
TIME = "a length of time above zero, as in 1h, 90s or 1h30m"
PORT = "a number from 1 to 65535, or a port's name of at most 15 characters with a letter in it"
KNOWN = (
    "name, namespace, workload, certificate, port, serverName, clientAuth, workers, drainTimeout, restartTimeout, "
    "reloads, evidence"
)


@case(
    "W12",
    kind="Found by tests: wrong answers of the exporter",
    situation="The configuration has `drainTimeout: 5mm`.",
    says="Refused, with its line. Before: five months.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("port: 0", f"targets[0].port: 0 is not {PORT}"),
        ("port: 65536", f"targets[0].port: 65536 is not {PORT}"),
        ("port: -1", f"targets[0].port: -1 is not {PORT}"),
        ("port: 1.5", f"targets[0].port: 1.5 is not {PORT}"),
        ("port: true", f"targets[0].port: True is not {PORT}"),
        ('port: "1234"', f"targets[0].port: '1234' is not {PORT}"),
        ("port: HTTPS", f"targets[0].port: 'HTTPS' is not {PORT}"),
        ("port: a-name-of-16-chr", f"targets[0].port: 'a-name-of-16-chr' is not {PORT}"),
        (
            "namespace: Ops_Chain",
            "targets[0].namespace: 'Ops_Chain' is not the name of a namespace, as in \"opschain\"",
        ),
        ('namespace: "*"', "targets[0].namespace: '*' is not the name of a namespace, as in \"opschain\""),
        ("namespace: 5", 'targets[0].namespace: 5 is not the name of a namespace, as in "opschain"'),
        ("certificate: A", "targets[0].certificate: 'A' is not the name of a cert-manager Certificate"),
        ("certificate: a..b", "targets[0].certificate: 'a..b' is not the name of a cert-manager Certificate"),
        ("serverName: UPPER", "targets[0].serverName: 'UPPER' is not a DNS name in lower case"),
        ("serverName: a..b", "targets[0].serverName: 'a..b' is not a DNS name in lower case"),
        (f"serverName: {'a' * 64}", f"targets[0].serverName: '{'a' * 64}' is not a DNS name in lower case"),
        ('clientAuth: "yes"', "targets[0].clientAuth: 'yes' is not true or false"),
        ("clientAuth: 1", "targets[0].clientAuth: 1 is not true or false"),
        ("reloads: maybe", "targets[0].reloads: 'maybe' is not true or false"),
        ("evidence: guess", "targets[0].evidence: 'guess' is not handshake or start_time"),
        ("drainTimeout: 0s", f"targets[0].drainTimeout: '0s' is not {TIME}"),
        ("drainTimeout: -1h", f"targets[0].drainTimeout: '-1h' is not {TIME}"),
        ("drainTimeout: 3600", f"targets[0].drainTimeout: 3600 is not {TIME}"),
        ("drainTimeout: an hour", f"targets[0].drainTimeout: 'an hour' is not {TIME}"),
        ("drainTimeout: 5mm", f"targets[0].drainTimeout: '5mm' is not {TIME}"),
        ("drainTimeout: 1d", f"targets[0].drainTimeout: '1d' is not {TIME}"),
        (f"drainTimeout: {'9' * 30}h", f"targets[0].drainTimeout: '{'9' * 30}h' is not {TIME}"),
        (
            "restartTimeout: x",
            "targets[0].restartTimeout: 'x' is not a length of time above zero, as in 5m, 90s or 1h30m",
        ),
        (
            "workers: deployment/a",
            "targets[0].workers: 'deployment/a' is not a list of deployment/NAME or statefulset/NAME",
        ),
        ("workers: [a]", "targets[0].workers[0]: 'a' is not deployment/NAME or statefulset/NAME"),
        (
            "workers: [deployment/a, daemonset/b]",
            "targets[0].workers[1]: 'daemonset/b' is not deployment/NAME or statefulset/NAME",
        ),
        ("prot: 1234", f'targets[0].prot: unknown key (did you mean "port"?); known here: {KNOWN}'),
        ("server_name: a", f'targets[0].server_name: unknown key (did you mean "serverName"?); known here: {KNOWN}'),
        ("zzz: a", f"targets[0].zzz: unknown key; known here: {KNOWN}"),
        ("name: again", "name: given twice; it stands in line 2 already"),
    ],
)
def test_a_line_of_a_target_is_refused_with_its_number_and_what_would_be_right(line: str, message: str) -> None:
    assert refusal(target_with(line)) == f"certlag.yaml:4: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("targets:\n  - name: a\n", f"2: targets[0].workload: missing; it must be {WORKLOAD}"),
        (
            "targets:\n  - workload: deployment/a\n",
            f"2: targets[0].name: missing; it must be {LABEL}",
        ),
        (
            "targets:\n  - name: A_b\n    workload: deployment/a\n",
            '2: targets[0].name: \'A_b\' is not a DNS label: lower-case letters, digits and "-", as in "build-service"',
        ),
        ("targets:\n  - name: a\n    workload: vault\n", f"3: targets[0].workload: 'vault' is not {WORKLOAD}"),
        ("targets:\n  - name: a\n    workload: job/x\n", f"3: targets[0].workload: 'job/x' is not {WORKLOAD}"),
        (
            "targets:\n  - name: a\n    workload: deployment/\n",
            f"3: targets[0].workload: 'deployment/' is not {WORKLOAD}",
        ),
        (
            "targets:\n  - name: a\n    workload: Deployment/x\n",
            f"3: targets[0].workload: 'Deployment/x' is not {WORKLOAD}",
        ),
        ("targets:\n  - words\n", "2: targets[0]: 'words' is not a target: a mapping with name and workload"),
        ("targets: 5\n", "1: targets: 5 is not a list of targets, each with name and workload"),
        ("\n\ntargets:\n  a: b\n", "4: targets: {'a': 'b'} is not a list of targets, each with name and workload"),
        ("5\n", "1: must be a mapping with the keys targets and discovery"),
        ("- a\n", "1: must be a mapping with the keys targets and discovery"),
        ("words\n", "1: must be a mapping with the keys targets and discovery"),
        ("target: []\n", '1: target: unknown key (did you mean "targets"?); known here: targets, discovery'),
        ("discovery: {}\n", '1: discovery.namespaces: missing; it must be a list of at least one namespace, or ["*"]'),
        (
            "discovery:\n  namespaces: []\n",
            '2: discovery.namespaces: [] is not a list of at least one namespace, or ["*"]',
        ),
        (
            "discovery:\n  namespaces: [a, B]\n",
            "2: discovery.namespaces[1]: 'B' is not a list of at least one namespace, or [\"*\"]",
        ),
        (
            "discovery:\n  namespaces: [a]\n  probe: all\n",
            "3: discovery.probe: 'all' is not annotated, declared-ports or off",
        ),
        (
            "discovery:\n  namespaces: [a]\n  ports: 5\n",
            "3: discovery.ports: unknown key; known here: namespaces, probe",
        ),
        ("targets: [\n", "2: not YAML: expected the node content, but found '<stream end>'"),
        ("a: b: c\n", "1: not YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "2: not YAML: but found another document"),
        (
            "a: !!python/object:x 1\n",
            "1: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:x'",
        ),
        ("? [a, b]\n: c\n", "1: not YAML: found unhashable key"),
        ("targets: " + "[" * 2300, "1: not YAML: nested more than 50 levels deep"),
        ("targets:\n" + "- " * 2300, "2: not YAML: nested more than 50 levels deep"),
        ("\n".join(" " * depth + "a:" for depth in range(60)), "52: not YAML: nested more than 50 levels deep"),
        ("a: &a [x]\nb: [*a, *a]\n", "2: not YAML: alias *a is not supported: repeat the value"),
        pytest.param(
            "targets:\n- port: " + ":".join("1" * 150_000),
            "2: not YAML: a number of more than 100 digits",
            id="a number in base 60",
        ),
        ("\na: 2026-13-45\n", "2: not YAML: '2026-13-45' is not a valid timestamp"),
        ("a: !!bool x\n", "1: not YAML: 'x' is not a valid bool"),
        ("a: !!int ''\n", "1: not YAML: '' is not a valid int"),
        ("a: !!float ''\n", "1: not YAML: '' is not a valid float"),
        ("a: !!timestamp x\n", "1: not YAML: 'x' is not a valid timestamp"),
        (
            "targets:\n- name: a\n  workload: deployment/a\n  <<: {port: []}\n",
            "4: not YAML: merge key << is not supported: repeat the keys",
        ),
        (
            "targets:\n- [[[[[x]]], 1, 2, 3, 4, 5, 6]]\n",
            "2: targets[0]: [[[[...]], 1, 2, 3, 4, 5, ...]] is not a target: a mapping with name and workload",
        ),
    ],
)
def test_the_first_problem_of_a_file_is_named(text: str, message: str) -> None:
    assert refusal(text) == f"certlag.yaml:{message}"


def test_of_two_problems_the_first_in_the_file_is_named() -> None:
    assert refusal("discovery:\n  namespaces: []\ntargets: 5\n").startswith("certlag.yaml:2: ")
    assert refusal("targets: 5\ndiscovery:\n  namespaces: []\n").startswith("certlag.yaml:1: ")


def test_two_targets_of_one_name_are_refused() -> None:
    text = LEAST + "  - name: vault\n    workload: statefulset/other\n"
    assert refusal(text) == "certlag.yaml: targets: two are named 'vault'; each needs its own name"


@case(
    "W36",
    kind="Found by tests: an input that stopped a program",
    situation="The configuration has a date or number outside Python's range, or brackets nested without end.",
    says="Refused, exit code 2. Before: a traceback.",
    found_by="fuzzing",
    since="2026-11-24",
)
@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "targets: &a [*a]\n",
        "1: 2\n",
        "true: 1\n",
        "~: 1\n",
        "2026-01-01: x\n",
        "\x00",
        "targets: {}\n",
        "targets:\n  - {}\n",
        "targets: [{name: a, workload: deployment/a, port: {1: 2}}]",
        "\t",
        "[" * 2000,
        "a: [0001-01-01T00:00:00+94:00]",
        "a: " + "9" * 5000,
        "9" * 5000,
        "a: " + "1:" * 300 + "1.0",
        'a: "\\UFFFFFFFF"',
    ],
    ids=range(17),
)
def test_odd_yaml_is_refused_in_the_one_way(text: str) -> None:
    assert refusal(text).startswith("certlag.yaml:")
    assert len(refusal(text)) < 1000


# --- the JSON Schema ------------------------------------------------------------------------------


def test_the_json_schema_names_every_key_with_its_words() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == {"targets", "discovery"}
    assert schema["additionalProperties"] is False
    sections = schema["$defs"]
    assert ", ".join(sections["TargetSection"]["properties"]) == KNOWN
    assert sections["TargetSection"]["required"] == ["name", "workload"]
    assert sections["DiscoverySection"]["required"] == ["namespaces"]
    for section in sections.values():
        assert section["additionalProperties"] is False
        for name, key in section["properties"].items():
            assert key["description"], name
    json.dumps(schema)


def patterns(schema: Any) -> list[str]:
    """Return every pattern within a schema."""
    if isinstance(schema, dict):
        own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
        return own + [found for value in schema.values() for found in patterns(value)]
    if isinstance(schema, list):
        return [found for value in schema for found in patterns(value)]
    return []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "build-service"),
        ("workload", "deployment/opschain-build-service"),
        ("certificate", "a.b-c"),
        ("serverName", "svc.ns.example"),
        ("drainTimeout", "1h30m"),
        ("port", "https"),
    ],
)
def test_the_patterns_of_the_schema_take_what_the_code_takes(key: str, value: str) -> None:
    found = patterns(json_schema()["$defs"]["TargetSection"]["properties"][key])
    assert found
    assert any(re.search(pattern, value) for pattern in found)
    document = {"targets": [{"name": "a", "workload": "deployment/a"} | {key: value}]}
    assert read(yaml.safe_dump(document)).targets
