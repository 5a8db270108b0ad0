"""Where the targets of a command come from: what is named where, what is refused, what `runbook use` stores."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from certlag.config.schema import TargetSection
from runbook.cli import main
from tests import output_lines
from tests.field.record import case
from tests.scripted_api import Answer, ScriptedApi, page, refusal, scripted_api
from tests.scripted_api import answer as answered

RELEASE = "monitoring/prod"
PATH = "/api/v1/namespaces/monitoring/configmaps/certlag-config-prod"
VAULT = "targets: [{name: vault, namespace: secrets, workload: statefulset/vault}]"


def config_map(text: str, *, namespace: str = "monitoring", name: str = "certlag-config-prod") -> dict[str, object]:
    """The ConfigMap of a release."""
    return {"metadata": {"name": name, "namespace": namespace}, "data": {"certlag.yaml": text}}


def document(of: object) -> Answer:
    return answered(json.dumps(of).encode())


class Laptop:
    """A laptop with a kubeconfig, and a home of its own."""

    def __init__(self, folder: Path, api: ScriptedApi) -> None:
        self.api = api
        self.kubeconfig = api.kubeconfig(folder)
        self.home = folder / "home"

    def run(self, *words: str, **environment: str) -> Result:
        surroundings = {
            "KUBECONFIG": self.kubeconfig,
            "KUBERNETES_SERVICE_HOST": "",
            "CERTLAG_CONFIG": "",
            "CERTLAG_RELEASE": "",
            "XDG_CONFIG_HOME": str(self.home),
        }
        return CliRunner().invoke(main.main, words, env=surroundings | environment, prog_name="runbook")


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Laptop]:
    """A laptop whose API server knows nothing."""
    with scripted_api(*[refusal(404)] * 20) as api:
        yield Laptop(tmp_path, api)


@case(
    "D14",
    kind="The on-call path",
    situation="a target that only a release of the chart configures, and a laptop that has nothing but a kubeconfig",
    says="its configuration is read from the release's ConfigMap, by name; the command is complete",
    found_by="user trial",
    since="2026-11-29",
)
@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("history", "vault", "--release", RELEASE), {}),
        (("--release", RELEASE, "history", "vault"), {}),
        (("history", "vault"), {"CERTLAG_RELEASE": RELEASE}),
    ],
    ids=["the option", "the option before the command", "the variable"],
)
def test_targets_come_from_the_named_release(
    words: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    with scripted_api(document(config_map(VAULT)), refusal(404)) as api:
        result = Laptop(tmp_path, api).run(*words, **environment)
        assert result.exit_code == 0, result.output
        assert [api.next_request().path for _ in range(2)] == [
            PATH,
            "/api/v1/namespaces/secrets/configmaps/certlag-run-vault",
        ]


def test_what_use_has_stored_holds_for_that_context_and_server_only(tmp_path: Path) -> None:
    with scripted_api(*[document(config_map(VAULT))] * 2, refusal(404)) as api:
        laptop = Laptop(tmp_path, api)
        used = laptop.run("use", RELEASE)
        assert (used.exit_code, used.stdout.splitlines()[-1]) == (0, "Targets: vault"), used.output
        assert laptop.run("history", "vault").exit_code == 0
        assert [api.next_request().path for _ in range(3)][1] == PATH
    with scripted_api(refusal(404)) as other:
        elsewhere = Laptop(tmp_path, other)
        assert (
            elsewhere.run("use").stdout
            == "No release is stored for context here. To store one: runbook use NAMESPACE/NAME\n"
        )
        assert elsewhere.run("history").exit_code == 0
        assert other.next_request().path.endswith("/configmaps/certlag-run-build-service")


def test_a_release_that_cannot_be_read_is_not_stored(silent: Laptop) -> None:
    result = silent.run("use", RELEASE)
    assert result.exit_code == 2
    assert "there is no ConfigMap certlag-config-prod in namespace monitoring" in result.stderr
    assert not silent.home.exists()


@pytest.mark.parametrize("text", ["[]", "{", '{"server": []}', '{"server": {"here": 1}}'])
def test_a_file_of_releases_that_is_none_is_named_and_not_replaced(text: str, silent: Laptop) -> None:
    file = silent.home / "certlag" / "releases.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    result = silent.run("history")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"runbook: {file}: cannot be read")
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (refusal(404), "there is no ConfigMap certlag-config-prod in namespace monitoring; `helm list -A`"),
        (refusal(403), "you may not read ConfigMap certlag-config-prod in namespace monitoring"),
        (document({"metadata": {}, "data": {}}), "certlag.yaml: the ConfigMap certlag-config-prod has no such key"),
        (document(config_map("targets: [{name: vault, workload: job/vault}]")), "certlag.yaml:1"),
        (document(config_map("config: /etc/passwd")), "certlag.yaml:1"),
    ],
    ids=["missing", "forbidden", "another object", "refused", "a key that is not known"],
)
def test_a_release_that_gives_no_targets_is_told_with_its_name(answer: Answer, says: str, tmp_path: Path) -> None:
    with scripted_api(answer) as api:
        result = Laptop(tmp_path, api).run("restart", "vault", "--yes", "--release", RELEASE)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "monitoring/prod" in result.stderr


HOSTILE = (
    "/etc/passwd",
    "../../secrets/token",
    "https://evil.example.org/x",
    "file:///etc/passwd",
    "$HOME",
    "${CERTLAG_CONFIG}",
    "$(reboot)",
    "`reboot`",
    "a; reboot",
    "--kubeconfig=/tmp/x",
    "a\nb",
    "\x1b[2J",
    "secret/token",
    "",
    {"from": "env"},
)
KEYS = list(TargetSection.model_json_schema(by_alias=True)["properties"])


@pytest.mark.parametrize("key", KEYS)
def test_whoever_writes_the_configuration_of_a_release_can_name_no_file_url_variable_secret_or_command(
    key: str, tmp_path: Path
) -> None:
    for hostile in HOSTILE:
        target = {"name": "vault", "workload": "statefulset/vault", key: [hostile] if key == "workers" else hostile}
        with scripted_api(document(config_map(json.dumps({"targets": [target]})))) as api:
            result = Laptop(tmp_path, api).run("restart", "vault", "--yes", "--release", RELEASE)
            assert api.next_request().path == PATH
            assert api.requests.empty(), "it is refused before anything else is asked"
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
        assert "\x1b" not in result.stderr
        assert f"release {RELEASE}, certlag.yaml:1" in result.stderr


@pytest.mark.parametrize(
    ("words", "environment", "says"),
    [
        (
            ("vault", "--config", "a.yaml", "--release", RELEASE),
            {},
            "--config and --release both say where",
        ),
        (("--release", RELEASE, "--workload", "deployment/web"), {}, "--release and --workload both say"),
        (("vault", "--workload", "deployment/web"), {}, "vault and --workload both say which target"),
        (("--workload", "job/web"), {}, "--workload: 'job/web' is not deployment/NAME, statefulset/NAME or daemonset"),
        (("--workload", "deployment/web", "--worker", "daemonset/a"), {}, "--worker: 'daemonset/a' is not deployment"),
        (("--workload", "deployment/web", "--port", "65536"), {}, "--port: 65536 is not a number from 1 to 65535"),
        (("vault", "--port", "1"), {}, "--port needs --workload"),
        ((), {}, "which target? restart TARGET"),
        (("vault",), {"CERTLAG_RELEASE": "prod"}, "$CERTLAG_RELEASE: 'prod' is not NAMESPACE/NAME"),
        (("vault",), {"CERTLAG_RELEASE": RELEASE, "CERTLAG_CONFIG": "a"}, "are both set: unset one"),
    ],
)
def test_what_contradicts_itself_is_refused_and_nothing_is_asked(
    words: tuple[str, ...], environment: dict[str, str], says: str, silent: Laptop
) -> None:
    result = silent.run("restart", *words, "--yes", **environment)
    assert result.exit_code == 2
    assert says in result.stderr
    assert silent.api.requests.empty()


@case(
    "F4",
    kind="The on-call path",
    situation="a configuration that is refused, and no way to a cluster",
    says="what is wrong with the configuration",
    found_by="reader",
    since="2026-11-28",
)
def test_a_configuration_is_checked_before_a_cluster_is_looked_for(silent: Laptop) -> None:
    result = silent.run("check", "--config", "/nowhere.yaml", KUBECONFIG=os.devnull)
    assert (result.exit_code, result.stderr.startswith("runbook: /nowhere.yaml: cannot be read")) == (2, True)


def test_check_names_the_releases_that_have_the_target_and_what_changes_something_does_not_look(tmp_path: Path) -> None:
    found = page([config_map(VAULT), config_map("broken: [", name="certlag-config-other")], "1")
    with scripted_api(found, refusal(404)) as api:
        laptop = Laptop(tmp_path, api)
        checked = laptop.run("check", "vault")
        assert checked.exit_code == 2
        assert checked.stderr.splitlines()[-1].strip() == "runbook check vault --release monitoring/prod"
        assert api.next_request().path == "/api/v1/configmaps"
        for verb in ("restart", "resume", "abort"):
            refused = laptop.run(verb, "vault", "--yes")
            assert (refused.exit_code, "--release NAMESPACE/NAME" in refused.stderr) == (2, True)
        assert api.requests.empty()


@pytest.mark.parametrize(
    "words", ["check nothing", "history nothing", "restart nothing --yes", "restart", "use prod", "x"]
)
def test_refusals_are_json_where_that_was_asked_for(words: str, silent: Laptop) -> None:
    result = silent.run(*words.split(), "-o", "json")
    (told,) = output_lines.read(result.stdout)
    assert (told["event"], told["exit_code"], result.exit_code, result.stderr) == ("error", 2, 2, "")
    assert told["message"]


@pytest.mark.parametrize("asked", ["-o json", "-ojson", "--output json", "--output=json", "-yo json", "-vyojson"])
def test_a_wrong_command_line_is_answered_as_json_however_that_is_asked_for(asked: str, silent: Laptop) -> None:
    result = silent.run("restart-x", "--accept-nothing", *asked.split())
    (told,) = output_lines.read(result.stdout)
    assert (told["event"], told["exit_code"], result.exit_code, result.stderr) == ("error", 2, 2, "")


def test_requests_are_shown_where_that_was_asked_for(silent: Laptop) -> None:
    result = silent.run("history", "-v")
    assert "GET /api/v1/namespaces/default/configmaps/certlag-run-build-service: 404 in " in result.stderr
