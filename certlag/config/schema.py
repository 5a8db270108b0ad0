"""The configuration file of both programs: what it may hold, and one clear message when it does not.

Reads one YAML file. The sections below are its keys, types and defaults; pydantic checks them and writes the JSON
Schema. Nothing here asks the cluster whether what is named exists.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import durationpy
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from certlag.config import yaml_model
from certlag.model import DNS_LABEL, Discovery, DiscoveryProbe, Evidence, Target, Workload

ENVIRONMENT_VARIABLE = "CERTLAG_CONFIG"


class ConfigurationError(Exception):
    """The configuration cannot be used; the message says what, where, and what would be right."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What both programs act on."""

    targets: tuple[Target, ...]
    discovery: Discovery


def load(path: str | None, *, default_namespace: str, environment: Mapping[str, str] = os.environ) -> Configuration:
    """Read the configuration: `path`, else the file that $CERTLAG_CONFIG names, else the built-in target.

    Args:
        path: a YAML file, if one was named on the command line.
        default_namespace: where the built-in target is, and every target that names no namespace.
        environment: where CERTLAG_CONFIG is looked up.

    Raises:
        ConfigurationError: the file cannot be read or is refused.
    """
    named = path or environment.get(ENVIRONMENT_VARIABLE)
    if not named:
        return Configuration((opschain(default_namespace),), Discovery())
    try:
        text = Path(named).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{named}: cannot be read: {error}") from error
    return parse(text, source=named, default_namespace=default_namespace)


def opschain(namespace: str) -> Target:
    """Return the built-in target: the build service of OpsChain (2023-01-13 and older)."""
    return Target(
        name="build-service",
        workload=Workload(namespace, "deployment", "opschain-build-service"),
        certificate="opschain-build-service",
        port=1234,
        server_name="opschain-build-service",
        client_auth=True,
        workers=(Workload(namespace, "deployment", "opschain-api-worker"),),
        drain_timeout=timedelta(hours=1),
        restart_timeout=timedelta(minutes=5),
        reloads=False,
        evidence=Evidence.HANDSHAKE,
    )


def unconfigured(workload: str, workers: tuple[str, ...], port: str | None, namespace: str) -> Target:
    """Return a target that no configuration has, from the options --workload, --worker and --port.

    Its name, which its record bears, is made from the workload: `deployment-web`.

    Raises:
        ConfigurationError: an option has a wrong form.
    """
    workload, *named = map(_in_full, (workload, *workers))
    values: dict[str, Any] = {"name": _made_name(workload), "workload": workload, "workers": tuple(named)}
    if port is not None:
        values["port"] = int(port) if port.isdecimal() else port
    try:
        target = TargetSection.model_validate(values).target(namespace)
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][0])
        option = {"workers": "--worker"}.get(key, f"--{key}")
        given = problem["input"]
        raise ConfigurationError(f"{option}: {given!r} is not {_RIGHT_FORMS[_ITEM.get(key, key)]}") from error
    _refuse_repetitions((target,), "--worker")
    return target


def _in_full(reference: str) -> str:
    """Return KIND/NAME with the kind as the API has it, where it is written as kubectl takes it."""
    kind, slash, name = reference.partition("/")
    return f"{_KINDS.get(kind.lower(), kind)}{slash}{name}"


def _made_name(workload: str) -> str:
    plain = workload.replace("/", "-")
    if re.fullmatch(DNS_LABEL, plain):
        return plain
    digest = hashlib.sha256(workload.encode()).hexdigest()[:8]
    return f"{re.sub('[^a-z0-9]+', '-', plain.lower()).strip('-')[:48]}-{digest}".lstrip("-")


def parse(text: str, *, source: str, default_namespace: str) -> Configuration:
    """Read a configuration from YAML text; `source` is its name in messages.

    Raises:
        ConfigurationError: it is refused; the first problem in the file is named.
    """
    try:
        file = yaml_model.read(text, source, ConfigurationFile, _RIGHT_FORMS)
    except yaml_model.YamlFileError as error:
        raise ConfigurationError(str(error)) from error
    targets = tuple(target.target(default_namespace) for target in file.targets)
    _refuse_repetitions(targets, source)
    return Configuration(targets, file.discovery.discovery() if file.discovery else Discovery())


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the configuration file."""
    schema = ConfigurationFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


# --- the file -------------------------------------------------------------------------------------

_PART = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_PART}(\.{_PART})*"  # the API bounds its length, not that of its parts
_WORKLOAD = re.compile(rf"(deployment|statefulset|daemonset)/({_SUBDOMAIN})")
_WORKER = re.compile(rf"(deployment|statefulset)/({_SUBDOMAIN})")

_KINDS = {
    short: kind
    for kind, shorts in {
        "deployment": ("deployment", "deployments", "deploy"),
        "statefulset": ("statefulset", "statefulsets", "sts"),
        "daemonset": ("daemonset", "daemonsets", "ds"),
    }.items()
    for short in shorts
}
"""Kinds of workloads by every name that kubectl has for them."""
_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+")

Label = Annotated[str, Field(pattern=rf"^{DNS_LABEL}$")]
Subdomain = Annotated[str, Field(pattern=rf"^{_SUBDOMAIN}$", max_length=253)]
DnsName = Annotated[str, Field(pattern=rf"^{DNS_LABEL}(\.{DNS_LABEL})*$", max_length=253)]
WorkloadName = Annotated[
    str, Field(pattern=f"^{_WORKLOAD.pattern}$", max_length=253 + len("statefulset/"), examples=["deployment/vault"])
]
WorkerName = Annotated[
    str, Field(pattern=f"^{_WORKER.pattern}$", max_length=253 + len("statefulset/"), examples=["deployment/worker"])
]
PortNumber = Annotated[int, Field(ge=1, le=65535, strict=True)]
PortName = Annotated[str, Field(pattern=r"^[-0-9]*[a-z][-a-z0-9]*$", max_length=15)]
Switch = Annotated[bool, Field(strict=True)]


def duration(value: object) -> timedelta:
    """Read a Go duration above zero, the form that Kubernetes uses: 1h, 90s, 1h30m.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and _DURATION.fullmatch(value):  # the library has days and months too
        try:
            length = durationpy.from_str(value)
        except durationpy.DurationError:
            length = timedelta(0)
        if length > timedelta(0):
            return length
    raise ValueError("not a length of time")


Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["1h", "90s"]}),
]


class _Section(BaseModel):
    """Part of the file: camelCase keys as in Kubernetes, and none that is not known."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=False,
        use_attribute_docstrings=True,
    )


class TargetSection(_Section):
    """A workload that serves a certificate, its TLS port, and the workers to drain before a restart."""

    name: Label
    """Names the target in commands, metrics and its run record."""
    namespace: Label | None = None
    """Where it is; default: the namespace of the pod or of the kubeconfig's context."""
    workload: WorkloadName
    """What serves the certificate: deployment/NAME, statefulset/NAME or daemonset/NAME."""
    certificate: Subdomain | None = None
    """The cert-manager Certificate; default: found through the Secrets that the pods use."""
    port: PortNumber | PortName | None = None
    """The TLS port, by number or name; default: the ports that the containers declare."""
    server_name: DnsName | None = None
    """The name to ask for (SNI); default: the certificate's first name that is no wildcard, else one under it."""
    client_auth: Switch = False
    """It checks its clients' certificates."""
    workers: tuple[WorkerName, ...] = ()
    """What to drain before a restart: deployment/NAME or statefulset/NAME."""
    drain_timeout: Duration | None = None
    """How long the workers may take to finish; default: what their own grace period allows."""
    restart_timeout: Duration = timedelta(minutes=5)
    """How long the workload may take to come back."""
    reloads: Switch = False
    """It reads new certificates by itself: stale is no alarm for 10 minutes after issuance."""
    evidence: Literal["handshake", "start_time"] = "handshake"
    """How to know what is loaded; start_time is a guess, for what cannot be probed."""

    def target(self, default_namespace: str) -> Target:
        """Return it in the model's words."""
        namespace = self.namespace or default_namespace
        return Target(
            name=self.name,
            workload=_workload(self.workload, namespace),
            certificate=self.certificate,
            port=self.port,
            server_name=self.server_name,
            client_auth=self.client_auth,
            workers=tuple(_workload(worker, namespace) for worker in self.workers),
            drain_timeout=self.drain_timeout,
            restart_timeout=self.restart_timeout,
            reloads=self.reloads,
            evidence=Evidence(self.evidence),
        )


class DiscoverySection(_Section):
    """Every pod that uses a Secret of cert-manager (volume, projected volume, env), without a target."""

    namespaces: Annotated[tuple[Label | Literal["*"], ...], Field(min_length=1)]
    """Where to look; "*" is every namespace, and needs a ClusterRole."""
    probe: Literal["annotated", "declared-ports", "off"] = "annotated"
    """Which ports to probe: those of the annotation certlag.dev/port, all declared ones, or none."""

    def discovery(self) -> Discovery:
        """Return it in the model's words."""
        return Discovery(frozenset(self.namespaces), DiscoveryProbe(self.probe))


class ConfigurationFile(_Section):
    """The whole file."""

    targets: tuple[TargetSection, ...] = ()
    """What serves a certificate."""
    discovery: DiscoverySection | None = None
    """Where to look for more."""


def _workload(reference: str, namespace: str) -> Workload:
    kind, _, name = reference.partition("/")
    return Workload(namespace, kind, name)


_RIGHT_FORMS = {
    "": "a mapping with the keys targets and discovery",
    "name": 'a DNS label: lower-case letters, digits and "-", as in "build-service"',
    "namespace": 'the name of a namespace, as in "opschain"',
    "workload": "deployment/NAME, statefulset/NAME or daemonset/NAME",
    "certificate": "the name of a cert-manager Certificate",
    "port": "a number from 1 to 65535, or a port's name of at most 15 characters with a letter in it",
    "serverName": "a DNS name in lower case",
    "clientAuth": "true or false",
    "workers[]": "deployment/NAME or statefulset/NAME",
    "workers": "a list of deployment/NAME or statefulset/NAME",
    "drainTimeout": "a length of time above zero, as in 1h, 90s or 1h30m",
    "restartTimeout": "a length of time above zero, as in 5m, 90s or 1h30m",
    "reloads": "true or false",
    "evidence": "handshake or start_time",
    "namespaces": 'a list of at least one namespace, or ["*"]',
    "probe": "annotated, declared-ports or off",
    "targets[]": "a target: a mapping with name and workload",
    "targets": "a list of targets, each with name and workload",
    "discovery": "a section with namespaces and, if wanted, probe",
}


_ITEM = {"workers": "workers[]"}
"""The keys of lists, with that of the form of an item."""


def _refuse_repetitions(targets: tuple[Target, ...], source: str) -> None:
    seen: set[str] = set()
    for target in targets:
        if target.name in seen:
            raise ConfigurationError(f"{source}: targets: two are named {target.name!r}; each needs its own name")
        seen.add(target.name)
        for worker in target.workers:
            if worker == target.workload:
                raise ConfigurationError(
                    f"{source}: targets: {target.name}: workers: {worker.type}/{worker.name} is the target itself; "
                    "workers are other workloads, which connect to it"
                )
            if target.workers.count(worker) > 1:
                raise ConfigurationError(
                    f"{source}: targets: {target.name}: workers: {worker.type}/{worker.name} stands there "
                    f"{target.workers.count(worker)} times; each is named once"
                )
