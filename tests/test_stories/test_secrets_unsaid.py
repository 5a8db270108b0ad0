"""Credentials that can be recognised, given to the real programs, are in nothing that they say, serve or write.

In an embedded cluster that knows its users by their tokens: a whole run, its refusals and its failures.
"""

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from rehearsal import story
from rehearsal.api.access import Denial
from rehearsal.api.resources import ALWAYS, SECRETS
from rehearsal.clock import ago
from rehearsal.cluster import EmbeddedCluster
from rehearsal.live.cluster import LiveCluster, background
from tests import pki
from tests.bench import waiting
from tests.figures import Figures
from tests.runbook_process import ROOT, Runbook, operator

pytestmark = pytest.mark.thorough

ANN = "ann"
DAY = timedelta(days=1)
FAST = ("--no-settle", "--yes")


@dataclass(frozen=True)
class Secrets:
    """What must not be said, each by what it is."""

    token: str = "token-6c1f0a93d2"
    unknown_token: str = "token-8b33e5170c"
    password: str = "scraper-5d09b1f7aa"
    mistaken: str = "mistaken-1e77c4d03b"
    proxy_password: str = "proxy-94b2a6610e"
    server_password: str = "server-3ab7705fc1"
    alertmanager_password: str = "alerts-e02d91c85b"
    plugin: str = "plugin-7f4410bd36"
    client: pki.Issued = field(default_factory=lambda: pki.authority("client"))
    web: pki.Issued = field(default_factory=lambda: pki.authority("web").leaf("localhost"))

    @property
    def hash(self) -> str:
        """Of the password by which the exporter is scraped."""
        return bcrypt.hashpw(self.password.encode(), b"$2b$04$abcdefghijklmnopqrstuu").decode()

    @property
    def needles(self) -> Mapping[str, str]:
        """Each in the forms in which it could be said."""
        plain = {name: value for name, value in vars(self).items() if isinstance(value, str)}
        basic = base64.b64encode(f"{ANN}:{self.password}".encode()).decode()
        encoded = {f"{name}, encoded": base64.b64encode(value.encode()).decode() for name, value in plain.items()}
        keys = {
            f"key of {name}, line {number}": line
            for name, issued in (("client", self.client), ("web", self.web))
            for number, line in enumerate(issued.key_pem.decode().splitlines()[1:-1])
        }
        data = base64.b64encode(self.client.key_pem).decode()
        return plain | encoded | keys | {"hash": self.hash, "basic": basic, "key data": data[60:120]}


@dataclass
class Ears:
    """All that was said, by whom."""

    secrets: Secrets
    heard: dict[str, str] = field(default_factory=dict)

    def hear(self, who: str, *texts: str) -> None:
        """Take down what somebody said."""
        self.heard[who] = self.heard.get(who, "") + "\n".join(texts)

    def found(self) -> list[tuple[str, str]]:
        """Who said which secret."""
        needles = self.secrets.needles.items()
        return [(who, name) for who, text in self.heard.items() for name, needle in needles if needle in text]


# --- the ground ---------------------------------------------------------------------------------------


@contextmanager
def the_story(secrets: Secrets) -> Iterator[LiveCluster]:
    """The story's cluster, where Ann has her token."""
    clock = ago(story.PAST)

    def prepare(cluster: EmbeddedCluster) -> None:
        story.tell(cluster, clock)
        clock.let_go()
        cluster.api.access.users[secrets.token] = ANN

    with background(prepare, clock=clock, programs=story.programs(change=timedelta(seconds=1))) as live:
        yield live


def kubeconfig(live: LiveCluster, folder: Path, secrets: Secrets, **changes: Any) -> Path:
    """Write Ann's kubeconfig; `user` and `cluster` are merged into its parts."""
    encoded = {
        "client-certificate-data": base64.b64encode(secrets.client.pem).decode(),
        "client-key-data": base64.b64encode(secrets.client.key_pem).decode(),
    }
    authority = base64.b64encode(live.authority).decode()
    cluster = {"server": f"https://127.0.0.1:{live.port}", "certificate-authority-data": authority}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": ANN, "namespace": story.NAMESPACE}}],
        "clusters": [{"name": "here", "cluster": cluster | changes.get("cluster", {})}],
        "users": [{"name": ANN, "user": changes.get("user", {"token": secrets.token, **encoded})}],
    }
    file = folder / f"kubeconfig-{len(list(folder.iterdir()))}"
    file.write_text(json.dumps(document))
    return file


def plugin(folder: Path, said: str) -> Mapping[str, Any]:
    """A user whose credentials come of a program, which says this."""
    program = folder / f"plugin-{len(list(folder.iterdir()))}"
    program.write_text(f"#!{sys.executable}\nprint({said!r})\n")
    program.chmod(0o700)
    form = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    return {"user": {"exec": {**form, "command": str(program)}}}


def failing(live: LiveCluster, folder: Path, secrets: Secrets) -> dict[str, Path]:
    """Kubeconfigs that lead nowhere, each with something that must not be said."""
    token = {"user": {"token": secrets.unknown_token}}
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    given = json.dumps({**credential, "status": {"token": secrets.plugin}})
    broken = {"proxy-url": f"http://{ANN}:{secrets.proxy_password}@[::"}
    torn = folder / "torn"
    torn.write_text(f"users: [{{name: ann, user: {{token: *{secrets.unknown_token}\n")
    wrong = folder / "wrong"
    wrong.write_text(f"users: {secrets.unknown_token}\nclusters: [{secrets.password}]\n")
    stranger = base64.b64encode(pki.authority("stranger").pem).decode()
    proxy = f"http://{ANN}:{secrets.proxy_password}@127.0.0.1:1"
    return {
        "a token that is unknown": kubeconfig(live, folder, secrets, **token),
        "a token of two lines": kubeconfig(live, folder, secrets, user={"token": f"{secrets.token}\n\x07more"}),
        "a token file that is not there": kubeconfig(live, folder, secrets, user={"tokenFile": f"{folder}/none"}),
        "a key that is none": kubeconfig(
            live,
            folder,
            secrets,
            user={
                "client-key-data": base64.b64encode(secrets.mistaken.encode()).decode(),
                "client-certificate-data": base64.b64encode(secrets.client.pem).decode(),
            },
        ),
        "a key that is not encoded": kubeconfig(live, folder, secrets, user={"client-key-data": secrets.mistaken}),
        "an authority of somebody else": kubeconfig(
            live, folder, secrets, cluster={"certificate-authority-data": stranger}
        ),
        "a proxy that is not there": kubeconfig(live, folder, secrets, cluster={"proxy-url": proxy}),
        "a proxy of no kind": kubeconfig(live, folder, secrets, cluster={"proxy-url": proxy.replace("http", "gopher")}),
        "a proxy whose address is none": kubeconfig(live, folder, secrets, cluster=broken),
        "a password in the server's URL": kubeconfig(
            live, folder, secrets, cluster={"server": f"https://{ANN}:{secrets.server_password}@127.0.0.1:1"}
        ),
        "a plugin's token that is unknown": kubeconfig(live, folder, secrets, **plugin(folder, given)),
        "a plugin that says half of it": kubeconfig(live, folder, secrets, **plugin(folder, given[:-3])),
        "a plugin that says something else": kubeconfig(
            live, folder, secrets, **plugin(folder, json.dumps([secrets.plugin]))
        ),
        "a torn file": torn,
        "a file of another form": wrong,
    }


# --- the exporter -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exporter:
    """An exporter that says all that it has to say."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def get(self, path: str, context: ssl.SSLContext, password: str | None = None) -> tuple[int, str]:
        """Status, and headers and body, of one GET."""
        (address,) = {json.loads(line)["address"] for line in self.log.splitlines() if '"listening"' in line}
        request = urllib.request.Request(f"https://localhost:{address.rpartition(':')[2]}{path}")
        if password is not None:
            credentials = base64.b64encode(f"{ANN}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {credentials}")
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310 - it is https
                return answer.status, f"{answer.headers}{answer.read().decode()}"
        except urllib.error.HTTPError as error:
            return error.code, f"{error.headers}{error.read().decode()}"


@contextmanager
def exporter(file: Path, folder: Path, *options: str) -> Iterator[Exporter]:
    """Run an exporter until the block ends."""
    log_file = folder / f"exporter-{len(list(folder.iterdir()))}.log"
    argv = (sys.executable, "-m", "exporter", "--kubeconfig", str(file), "--log-level", "debug", "--log-format", "json")
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            (*argv, "--web.listen-address", "127.0.0.1:0", *options),
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=surroundings(),
        )
    try:
        yield Exporter(process, log_file)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def surroundings() -> dict[str, str]:
    """Nobody's cluster, configuration or proxy."""
    ours = ("KUBECONFIG", "CERTLAG_CONFIG")
    return {
        name: value for name, value in os.environ.items() if name not in ours and not name.lower().endswith("_proxy")
    }


def web_config(folder: Path, secrets: Secrets) -> Path:
    """Write the exporter's own TLS and users."""
    (folder / "web.crt").write_bytes(secrets.web.chain_pem)
    (folder / "web.key").write_bytes(secrets.web.key_pem)
    pair = {"cert_file": "web.crt", "key_file": "web.key"}
    file = folder / "web.yaml"
    file.write_text(yaml.safe_dump({"tls_server_config": pair, "basic_auth_users": {ANN: secrets.hash}}))
    return file


# --- the tests ----------------------------------------------------------------------------------------


@pytest.mark.fault("P3")
def test_a_whole_run_and_the_exporter_beside_it_say_none_of_their_credentials(tmp_path: Path, figures: Figures) -> None:
    secrets = Secrets()
    ears = Ears(secrets)
    configuration = tmp_path / "certlag.yaml"
    configuration.write_text(story.configuration())
    web = web_config(tmp_path, secrets)
    options = ("--config", str(configuration), "--web.config.file", str(web))
    with the_story(secrets) as live:
        file = kubeconfig(live, tmp_path, secrets)
        with exporter(file, tmp_path, *options) as serving, operator(file, tmp_path / "operator") as runbook:
            environment = {"CERTLAG_CONFIG": str(configuration)}
            run_all(replace(runbook, environment=environment), live, ears)
            ears.hear("the served", *served(serving, web, secrets))
            ears.hear("the exporter's log", serving.log)
        ears.hear("the cluster", *stored(live))
    assert '"outcome": "done"' in ears.heard["history json"]
    assert secrets.token not in "".join(ears.heard.values())
    assert ears.found() == []
    said = sum(map(len, ears.heard.values()))
    figures(
        f"{said} characters of {len(ears.heard)} sources searched for {len(secrets.needles)} forms of secrets: found 0"
    )


def run_all(runbook: Runbook, live: LiveCluster, ears: Ears) -> None:
    """Have the runbook say all that it says: of a plan, a run, a refusal, what was."""
    restart = "restart-build-service"
    with_password = f"--alertmanager=http://{ANN}:{ears.secrets.alertmanager_password}@127.0.0.1:1"
    commands: dict[str, tuple[tuple[str, ...], set[int]]] = {
        "check": (("check-build-service",), {0, 1}),
        "dry run": ((restart, *FAST, "--dry-run"), {0}),
        "refused": ((restart, *FAST, "--silence", with_password), {2}),
        "restart": ((restart, *FAST, "--silence", "--alertmanager=http://127.0.0.1:1"), {0}),
        "nothing to do": ((restart, *FAST), {0}),
        "history": (("history",), {0}),
    }
    for name, (words, codes) in commands.items():
        for output in ("text", "json") if name in ("check", "dry run", "history", "refused") else ("json",):
            ran = runbook.run(*words, output=output)
            assert ran.code in codes, f"{name}: {ran}"
            ears.hear(f"{name} {output}", ran.stdout, ran.stderr)
    denial = Denial(user=ANN, verb="patch", resource="deployments")
    live.call(lambda cluster: cluster.api.access.denials.add(denial))
    ran = runbook.run(restart, *FAST, "--force")
    assert ran.code == 3, str(ran)
    ears.hear("forbidden", ran.stdout, ran.stderr)


def served(serving: Exporter, web: Path, secrets: Secrets) -> Iterator[str]:
    """All that the exporter serves, to who may and who may not, and after its web configuration was damaged."""
    context = ssl.create_default_context(cadata=secrets.web.chain_pem.decode())
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    waiting.until("the exporter to be ready", lambda: serving.get("/readyz", context, secrets.password)[0] == 200, 30)
    for path in ("/metrics", "/", "/api/v1/status", "/readyz", "/none"):
        for password in (secrets.password, secrets.mistaken, None):
            status, text = serving.get(path, context, password)
            assert password == secrets.password or status == 401
            yield text
    web.write_text(f"basic_auth_users: {{{ANN}: {secrets.mistaken}}}")
    yield serving.get("/metrics", context, secrets.password)[1]
    assert "not taken" in serving.log


def stored(live: LiveCluster) -> list[str]:
    """Every object of the cluster as JSON, record, Leases and Events among them, but for Secrets themselves."""

    def look(cluster: EmbeddedCluster) -> list[str]:
        storage = cluster.api.storage
        kinds = [resource for resource in ALWAYS if resource != SECRETS]
        return [json.dumps(document) for resource in kinds for document in storage.all(resource).values()]

    documents: list[str] = live.call(look)
    assert any('"certlag-run-build-service"' in each for each in documents)
    return documents


@pytest.mark.fault("P3")
def test_whatever_fails_says_none_of_the_credentials_with_which_it_failed(tmp_path: Path, figures: Figures) -> None:
    secrets = Secrets()
    ears = Ears(secrets)
    with the_story(secrets) as live:
        ways = failing(live, tmp_path, secrets)
        for name, file in ways.items():
            with operator(file, tmp_path / "operator", environment={"CERTLAG_CONFIG": ""}) as runbook:
                ran = runbook.run("restart-build-service", *FAST, output="text")
                assert ran.code != 0, f"{name}: {ran}"
                ears.hear(name, ran.stdout, ran.stderr)
            with exporter(file, tmp_path) as trying:
                waiting.until(
                    f"the exporter to end, or to say what is wrong ({name})",
                    lambda: not trying.is_running or '"warning"' in trying.log,
                    30,
                )
            ears.hear(f"the exporter, {name}", trying.log)
    assert ears.found() == []
    assert [who for who, text in ears.heard.items() if "Traceback" in text] == []
    figures(f"{len(ways)} ways to fail, with two programs: secrets said 0")
