"""The command line: bad usage is exit code 2 and one clear message, options stand where kubectl has them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runbook.cli import main
from runbook.cli.command_help import VERBS
from runbook.outcomes import CODES, EXIT_CODES
from runbook.plan.preconditions import OVERRIDES
from tests import output_lines
from tests.field.record import case
from tests.scripted_api import answer, refusal, scripted_api

TARGET = """
targets:
  - name: vault
    namespace: secrets
    workload: statefulset/vault
"""
UNANSWERED = refusal(503)


def run(*words: str, environment: Mapping[str, str] | None = None) -> Result:
    """Run it without a terminal, and without a cluster or a configuration of this machine's."""
    empty = {"KUBECONFIG": os.devnull, "CERTLAG_CONFIG": "", "KUBERNETES_SERVICE_HOST": ""}
    return CliRunner().invoke(main.main, words, env={**empty, **(environment or {})}, prog_name="runbook")


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    path = tmp_path / "certlag.yaml"
    path.write_text(TARGET)
    return str(path)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """The way to a server that is not there."""
    with scripted_api() as api:
        return api.kubeconfig(tmp_path)


# --- bad usage --------------------------------------------------------------------------------------------------------


def test_an_unknown_target_is_told_with_those_that_there_are(kubeconfig: str, configuration: str) -> None:
    result = run("restart-nothing", "--yes", "--kubeconfig", kubeconfig, "--config", configuration)
    assert result.exit_code == 2
    assert result.stderr == f"runbook: there is no target 'nothing' (file {configuration}); there is: vault\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("typed", "meant"), [("restrat", "restart"), ("restrat-vault", "restart-vault"), ("histroy", "history")]
)
def test_of_an_unknown_command_a_similar_one_is_named(typed: str, meant: str) -> None:
    result = run(typed)
    assert result.exit_code == 2
    assert f"there is no command '{typed}'; did you mean {meant}?" in result.stderr


def test_of_an_unknown_target_a_similar_one_is_named(kubeconfig: str, configuration: str) -> None:
    result = run("check", "valt", "--kubeconfig", kubeconfig, "--config", configuration)
    assert result.exit_code == 2
    assert result.stderr.endswith("there is: vault; did you mean vault?\n")


def test_a_configuration_that_is_not_there_is_told(kubeconfig: str) -> None:
    result = run("check-build-service", "--kubeconfig", kubeconfig, "--config", "/nowhere.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("runbook: /nowhere.yaml: cannot be read")
    assert result.stderr.count("\n") == 1


def test_a_configuration_that_is_wrong_is_told_with_its_line(tmp_path: Path, kubeconfig: str) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TARGET.replace("statefulset/vault", "job/vault"))
    result = run("check-vault", "--kubeconfig", kubeconfig, "--config", str(wrong))
    assert result.exit_code == 2
    assert f"{wrong}:5" in result.stderr


def test_r27_a_job_as_a_worker_is_refused_with_what_would_be_right(tmp_path: Path, kubeconfig: str) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(f"{TARGET}    workers: [job/worker]\n")
    result = run("restart-vault", "--yes", "--kubeconfig", kubeconfig, "--config", str(wrong))
    assert result.exit_code == 2
    assert "job/worker" in result.stderr
    assert "deployment" in result.stderr.lower()


def test_without_a_way_to_a_cluster_it_is_told() -> None:
    result = run("check-build-service")
    assert result.exit_code == 2
    assert result.stderr.startswith("runbook: ")
    assert result.stderr.count("\n") == 1


def test_a_context_that_does_not_exist_is_told(kubeconfig: str) -> None:
    result = run("check-build-service", "--kubeconfig", kubeconfig, "--context", "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_r26_without_a_terminal_it_asks_for_yes_instead_of_prompting(kubeconfig: str) -> None:
    for command in ("restart", "resume", "abort"):
        result = run(f"{command}-build-service", "--kubeconfig", kubeconfig)
        assert result.exit_code == 2
        assert "--yes" in result.stderr
        assert "--dry-run" in result.stderr


@pytest.mark.parametrize("value", ["soon", "-1h", "0s", "1 hour", ""])
def test_a_bad_duration_is_told_with_good_ones(kubeconfig: str, value: str) -> None:
    result = run("restart-build-service", "--kubeconfig", kubeconfig, f"--drain-timeout={value}")
    assert result.exit_code == 2
    assert "as in 1h, 90s or 1h30m" in result.stderr


@pytest.mark.parametrize("option", ["--output=yaml", "--reach=walk", "--accept-everything", "--frobnicate"])
def test_an_option_that_does_not_exist_is_told(option: str) -> None:
    result = run("restart-build-service", option)
    assert result.exit_code == 2
    assert option.partition("=")[0] in result.stderr


def test_a_silence_without_an_alertmanager_is_told(kubeconfig: str) -> None:
    result = run("restart-build-service", "--yes", "--silence", "--kubeconfig", kubeconfig)
    assert result.exit_code == 2
    assert "--silence needs --alertmanager" in result.stderr


@case(
    "W46",
    kind="Found by tests: a credential or page without protection",
    situation="The URL of Alertmanager holds a password.",
    says="Refused, and not repeated. Before: the password was in messages, the plan and the record.",
    found_by="test",
    since="2026-11-25",
)
@pytest.mark.fault("P4")
@pytest.mark.parametrize(
    "url",
    [
        "http://ann:correct-horse@alerts.example.org",
        "ann:correct-horse@alerts:9093",
        "//ann:correct-horse@alerts:9093",
        "https:ann:correct-horse@alerts:9093",
        "http://ann:12/correct-horse@alerts:9093",
        "http://alerts:9093?password=correct-horse",
        "http://alerts:correct-horse",
        "http://[correct-horse",
        "alerts:9093/correct-horse",
        "",
    ],
)
@pytest.mark.parametrize("more", [(), ("--in-cluster",)], ids=["here", "in the cluster"])
def test_what_is_no_url_of_alertmanagers_or_has_a_password_is_refused_and_not_repeated(
    kubeconfig: str, url: str, more: tuple[str, ...]
) -> None:
    silence = ("--silence", f"--alertmanager={url}", *more)
    result = run("restart-build-service", "--yes", *silence, "--kubeconfig", kubeconfig)
    assert result.exit_code == 2
    assert "no URL with a password" in result.stderr
    assert "correct-horse" not in result.output


def test_a_cron_job_without_a_run_in_the_cluster_is_told(kubeconfig: str) -> None:
    result = run("restart-build-service", "--yes", "--cron-job=mine", "--kubeconfig", kubeconfig)
    assert result.exit_code == 2
    assert "--cron-job needs --in-cluster" in result.stderr


def test_an_override_cannot_be_given_to_resume() -> None:
    assert run("resume-build-service", "--accept-grace").exit_code == 2


# --- a cluster that does not answer -----------------------------------------------------------------------------------


def test_a_cluster_that_does_not_answer_is_no_usage_error(kubeconfig: str) -> None:
    assert run("check-build-service", "--kubeconfig", kubeconfig).exit_code == 3
    assert run("history", "--kubeconfig", kubeconfig).exit_code == 1
    result = run("restart-build-service", "--yes", "--kubeconfig", kubeconfig)
    assert result.exit_code == 1
    assert "nothing was changed" in result.stdout + result.stderr


# --- options before and after the command -----------------------------------------------------------------------------


def asked_of(tmp_path: Path, *words: str) -> str:
    """Return the path that `history` asked an API server for."""
    with scripted_api(refusal(404)) as api:
        path = api.kubeconfig(tmp_path)
        result = run(*(word.replace("KUBECONFIG", path) for word in words))
        assert result.exit_code == 0, result.stderr
        return api.next_request().path


@pytest.mark.parametrize(
    "words",
    [
        ("history", "--kubeconfig", "KUBECONFIG", "-n", "prod"),
        ("--kubeconfig", "KUBECONFIG", "--namespace", "prod", "history"),
        ("--kubeconfig", "KUBECONFIG", "-n", "test", "history", "-n", "prod"),
        ("-n", "prod", "history", "--kubeconfig=KUBECONFIG"),
    ],
    ids=["after", "before", "the nearer counts", "both"],
)
def test_kubectls_options_stand_before_the_command_or_after_it(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert asked_of(tmp_path, *words) == "/api/v1/namespaces/prod/configmaps/certlag-run-build-service"


def test_the_configuration_is_also_found_by_its_variable(tmp_path: Path, configuration: str) -> None:
    with scripted_api(refusal(404)) as api:
        path = api.kubeconfig(tmp_path)
        assert run("history", "--kubeconfig", path, environment={"CERTLAG_CONFIG": configuration}).exit_code == 0
        assert api.next_request().path == "/api/v1/namespaces/secrets/configmaps/certlag-run-vault"


def test_json_goes_to_stdout_and_nothing_else_does(tmp_path: Path) -> None:
    with scripted_api(answer(b'{"metadata": {"resourceVersion": "1"}}')) as api:
        result = run("history", "-o", "json", "--kubeconfig", api.kubeconfig(tmp_path))
    assert result.exit_code == 0
    (told,) = output_lines.read(result.stdout)
    assert (told["event"], result.stderr) == ("history", "")


# --- help, completion, plugin -----------------------------------------------------------------------------------------


@case(
    "F2",
    kind="The on-call path",
    situation="--help, while $CERTLAG_CONFIG names a file that is not there",
    says="the help, with all commands",
    found_by="reader",
    since="2026-11-28",
)
def test_help_needs_no_configuration() -> None:
    result = run("--help", environment={"CERTLAG_CONFIG": "/nowhere.yaml"})
    assert result.exit_code == 0
    assert all(f"  {name} " in result.stdout for name in (*VERBS, "history", "use", "completion", "rehearse"))


def test_without_any_word_it_shows_its_help() -> None:
    result = run()
    assert result.exit_code in (0, 2)
    assert "Usage: runbook" in result.stdout + result.stderr


def test_every_exit_code_has_a_meaning_in_the_help() -> None:
    assert set(CODES) == set(EXIT_CODES.values())


@pytest.mark.parametrize("verb", VERBS)
def test_each_help_has_examples_that_are_commands_exit_codes_and_a_link(verb: str) -> None:
    text = run(verb, "--help").stdout
    assert "Examples:" in text
    assert "Documentation: https://" in text
    assert "Exit code" in text
    for example in VERBS[verb].examples:
        assert f"runbook {example}" in text
        assert run(*example.split(), "--help").exit_code == 0


def test_every_override_has_its_flag_and_its_help() -> None:
    text = " ".join(run("restart-build-service", "--help").stdout.split())
    assert all(f"--accept-{name}" in text for name in OVERRIDES)


def test_the_page_of_an_alert_is_printed_without_a_cluster_or_a_configuration() -> None:
    result = run("page", "CertlagExporterDown", environment={"CERTLAG_CONFIG": "/nowhere.yaml"})
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "# CertlagExporterDown")
    (told,) = output_lines.read(run("page", "CertlagExporterDown", "-o", "json").stdout)
    assert (told["event"], told["text"]) == ("page", result.stdout)
    assert output_lines.read(run("-o", "json", "page", "CertlagExporterDown").stdout)[0]["event"] == "page"
    wrong = run("page", "CertlagExporterDwn")
    assert (wrong.exit_code, "did you mean CertlagExporterDown?" in wrong.stderr) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_RUNBOOK_COMPLETE" in result.stdout


@pytest.mark.parametrize(("shell", "answers"), [("bash", "plain,"), ("zsh", "plain\n"), ("fish", "plain,")])
@pytest.mark.thorough
def test_each_shell_is_given_the_configured_targets(configuration: str, shell: str, answers: str) -> None:
    environment = {
        **os.environ,
        "_RUNBOOK_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "runbook restart va",
        "COMP_CWORD": "va" if shell == "fish" else "2",
        "CERTLAG_CONFIG": configuration,
    }
    program = "from runbook.cli.main import main; main(prog_name='runbook')"
    completed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert answers in completed.stdout
    assert "vault" in completed.stdout
    assert "build-service" not in completed.stdout


def python(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "KUBECONFIG": os.devnull, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.thorough
def test_as_a_kubectl_plugin_it_calls_itself_kubectl_certlag(tmp_path: Path, kubeconfig: str) -> None:
    ran = python(
        "from runbook.cli.main import plugin; plugin()", "restart-nothing", "--yes", "--kubeconfig", kubeconfig
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("kubectl certlag: there is no target 'nothing'")


@pytest.mark.thorough
def test_kubectl_completes_the_plugin(configuration: str) -> None:
    completing = "from runbook.cli.main import complete_plugin; complete_plugin()"
    ran = python(completing, "check", "", CERTLAG_CONFIG=configuration)
    assert ran.stdout.splitlines() == ["vault", ":4"]
    assert python(completing, "che").stdout.splitlines() == ["check", ":4"]
    options = python(completing, "restart-vault", "--drain", CERTLAG_CONFIG=configuration)
    assert options.stdout.splitlines() == ["--drain-timeout", ":4"]
    assert python(completing, CERTLAG_CONFIG=configuration).stdout.splitlines()[-1] == ":4"
