"""What an import changes for others.

Each program is a process of its own, as the one of somebody who uses the packages beside certlag.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.field.record import case

pytestmark = pytest.mark.thorough

IMPORT_ALL = """
import importlib, pkgutil, sys
for package in map(importlib.import_module, ("certlag", "exporter", "runbook", "rehearsal")):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
IMPORT_NAMED = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(ImportError):  # what an extension made for itself
        importlib.import_module(name)
"""
OURS = ("certlag", "exporter", "runbook", "rehearsal", "__main__", "__mp_main__")
TELL_NAMES = """
import json
names = {name: sorted(vars(module)) for name, module in list(sys.modules.items()) if module is not None}
print(json.dumps(names))
"""


def run(program: str, *arguments: str, **environment: str) -> str:
    """Run a program; return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@case(
    "E9",
    situation="A program imports certlag.kube, then uses dateutil, kubernetes and requests_oauthlib.",
    says="All of them work as if certlag were not there.",
    found_by="reader",
)
def test_other_packages_work_as_ever_after_an_import_of_ours() -> None:
    printed = run("""
import certlag.kube, certlag.kube.client, certlag.kube.kubeconfig, runbook.cli.main
import dateutil.parser
import kubernetes
import requests_oauthlib
from kubernetes import client, config, dynamic, informer, stream, utils, watch
from kubernetes.config import kube_config
print(dateutil.parser.isoparse("2026-03-01T00:00:00Z").year)
print(kubernetes.client.CoreV1Api(client.ApiClient(client.Configuration(host="http://127.0.0.1:1"))).api_client)
print(client.ApiClient().deserialize('"2026-03-01T00:00:00Z"', "datetime", "application/json").year)
print(kubernetes.__version__, watch.Watch(), dynamic.DynamicClient, stream.stream, utils.create_from_yaml)
print(isinstance(kube_config.OAuth2Session(client_id="a"), requests_oauthlib.OAuth2Session))
""")
    assert printed.splitlines()[-1] == "True"
    assert printed.split().count("2026") == 2


@pytest.mark.field_case("E9")
def test_no_module_of_others_is_a_part_of_what_it_is_without_us() -> None:
    """Every module of others that was imported has all the names that it has where only it is imported."""
    with_us = json.loads(run(IMPORT_ALL + TELL_NAMES))
    others = sorted(name for name in with_us if name.partition(".")[0] not in OURS)
    assert {"kubernetes", "pydantic", "urllib3"} <= set(others)
    without_us = json.loads(run(IMPORT_NAMED + TELL_NAMES, *others))
    lacking = {name: sorted(set(without_us.get(name, ())) - set(with_us[name])) for name in others}
    assert {name: names for name, names in lacking.items() if names} == {}


@pytest.mark.parametrize(
    ("program", "arguments", "environment"),
    [
        ("exporter.cli", ["--version"], {}),
        ("exporter.cli", ["--help"], {}),
        ("runbook.cli.main", ["--version"], {}),
        ("runbook.cli.main", ["--help"], {}),
        ("runbook.cli.main", [], {"_RUNBOOK_COMPLETE": "bash_complete", "COMP_WORDS": "runbook ", "COMP_CWORD": "1"}),
    ],
    ids=["exporter --version", "exporter --help", "runbook --version", "runbook --help", "completion"],
)
def test_what_only_prints_loads_nothing_that_reaches_a_cluster(
    program: str, arguments: list[str], environment: dict[str, str]
) -> None:
    """The `kubernetes` package alone takes longer than all else that is imported."""
    printed = run(
        "import atexit, sys\n"
        "heavy = {'kubernetes', 'requests', 'oauthlib', 'dateutil', 'jinja2'}\n"
        "atexit.register(lambda: print('loaded:', sorted(heavy & set(sys.modules))))\n"
        f"sys.argv[0] = 'runbook'\nfrom {program} import main\nmain()",
        *arguments,
        **environment,
    )
    assert printed.splitlines()[-1] == "loaded: []"
    assert len(printed.splitlines()) > 1
