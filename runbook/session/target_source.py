"""Where the targets of a command come from: the command line, a file, a release of the chart, or the built-in one.

Reads one file or one ConfigMap, which the operator has named: a command never searches a cluster for what it is to
change. A ConfigMap can say what the configuration's schema lets it: names of objects, a port, a server name, lengths
of time; no file, URL, environment variable, Secret or command.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from certlag.config import schema
from certlag.config.release import CONFIG_MAP_PREFIX, CONFIGURATION_KEY, CONFIGURATION_LABELS, Release
from certlag.config.schema import Configuration, ConfigurationError
from certlag.errors import ClusterError, ClusterErrorReason
from certlag.kube.client import ClusterClient
from certlag.model import Discovery
from runbook.check.inspector import get, list_all
from runbook.session.chosen_release import ChosenReleases
from runbook.session.options import Options

RELEASE_VARIABLE = "CERTLAG_RELEASE"
BUILT_IN = "built in: OpsChain's build service"


@dataclass(frozen=True, slots=True)
class TargetSource:
    """Targets, and where they were found.

    Attributes:
        configuration: the targets.
        origin: where they were found, for a person.
        options: what leads there again on a command line.
    """

    configuration: Configuration
    origin: str
    options: tuple[str, ...] = ()

    @property
    def is_built_in(self) -> bool:
        """Whether nothing was named, so that another target may be configured somewhere."""
        return self.origin == BUILT_IN


def named_locally(options: Options, environment: Mapping[str, str], *, namespace: str) -> TargetSource | None:
    """Return the targets that the command line or a file names; None if neither does.

    Args:
        options: of the command.
        environment: where $CERTLAG_CONFIG is looked up.
        namespace: of targets that name none.

    Raises:
        ConfigurationError: more than one place was named, or what is there is refused.
    """
    named = {"--config": options.config, "--release": options.release, "--workload": options.workload}
    first, *others = [*(option for option, value in named.items() if value), None]
    if first and others and others[0]:
        raise ConfigurationError(f"{first} and {others[0]} both say where the target is: leave one out")
    if options.workload is not None:
        return _of_workload(options, options.workload, namespace)
    if options.workers or options.port is not None:
        option = "--worker" if options.workers else "--port"
        raise ConfigurationError(f"{option} needs --workload KIND/NAME: a configured target names its own")
    file = options.config or (None if options.release else environment.get(schema.ENVIRONMENT_VARIABLE))
    if file is None or not file:
        return None
    if options.config is None and environment.get(RELEASE_VARIABLE):
        variables = f"${schema.ENVIRONMENT_VARIABLE} and ${RELEASE_VARIABLE}"
        raise ConfigurationError(f"{variables} are both set: unset one, or name --config or --release")
    configuration = schema.load(file, default_namespace=namespace)
    return TargetSource(configuration, f"file {file}", ("--config", file))


def named_release(
    options: Options, environment: Mapping[str, str], context: str | None, server: str
) -> tuple[Release, str] | None:
    """Return the release that was named, and by what; None if none was.

    Raises:
        ConfigurationError: what was stored or set cannot be read.
    """
    if options.release is not None:
        return options.release, "--release"
    if text := environment.get(RELEASE_VARIABLE):
        try:
            return Release.parse(text), f"${RELEASE_VARIABLE}"
        except ValueError as error:
            raise ConfigurationError(f"${RELEASE_VARIABLE}: {error}") from error
    if context is None:
        return None
    chosen = ChosenReleases.of_user(environment).get(context, server)
    return None if chosen is None else (chosen, "runbook use")


def of_release(client: ClusterClient, release: Release, named_by: str) -> TargetSource:
    """Read the configuration of a release.

    Raises:
        ConfigurationError: there is none, it may not be read, or it is refused.
        ClusterError: the API server did not say.
    """
    name = f"ConfigMap {release.config_map} in namespace {release.namespace}"
    try:
        document = get(client, f"/api/v1/namespaces/{release.namespace}/configmaps/{release.config_map}")
    except ClusterError as error:
        if error.reason is ClusterErrorReason.FORBIDDEN:
            text = f"release {release} ({named_by}): you may not read {name}: ask for the right, or name --config FILE"
            raise ConfigurationError(text) from error
        raise
    if document is None:
        text = f"release {release} ({named_by}): there is no {name}; `helm list -A` shows all releases"
        raise ConfigurationError(text)
    return TargetSource(_parsed(release, document), f"release {release}, {name}", ("--release", str(release)))


def built_in(namespace: str) -> TargetSource:
    """Return the built-in target, which holds where no other is named."""
    return TargetSource(Configuration((schema.opschain(namespace),), Discovery()), BUILT_IN)


def releases_with(client: ClusterClient, target: str | None) -> Iterator[Release]:
    """Yield the releases of the cluster whose configuration has a target, or any: to be shown, never to be acted on.

    Raises:
        ClusterError: they may not be listed, or the API server did not say.
    """
    selector = ",".join(f"{name}={value}" for name, value in CONFIGURATION_LABELS.items())
    for document in list_all(client, "/api/v1/configmaps", parameters={"labelSelector": selector}):
        metadata = document["metadata"]
        release = Release(str(metadata["namespace"]), str(metadata["name"]).removeprefix(CONFIG_MAP_PREFIX))
        if release.config_map != metadata["name"]:
            continue  # no release is read from there
        try:
            known = _parsed(release, document).targets
        except ConfigurationError:
            continue  # a command that names it says why
        if any(target in (None, each.name) for each in known):
            yield release


def _parsed(release: Release, document: Mapping[str, object]) -> Configuration:
    data = document.get("data")
    text = data.get(CONFIGURATION_KEY) if isinstance(data, Mapping) else None
    source = f"release {release}, {CONFIGURATION_KEY}"
    if not isinstance(text, str):
        raise ConfigurationError(f"{source}: the ConfigMap {release.config_map} has no such key")
    return schema.parse(text, source=source, default_namespace=release.namespace)


def _of_workload(options: Options, workload: str, namespace: str) -> TargetSource:
    target = schema.unconfigured(workload, options.workers, options.port, namespace)
    workers = (word for worker in options.workers for word in ("--worker", worker))
    port = () if options.port is None else ("--port", options.port)
    words = ("--workload", workload, *workers, *port)
    return TargetSource(Configuration((target,), Discovery()), "the command line", words)
