"""What is imported late is not there early, and is the real thing when it is asked for."""

import subprocess
import sys

PROGRAM = """
import sys
import exporter.cli
early = sorted({"requests", "requests_oauthlib.oauth2_session", "dateutil.parser._parser", "bcrypt"} & set(sys.modules))
from kubernetes.config import kube_config
first, second = kube_config.OAuth2Session(client_id="a"), kube_config.OAuth2Session(client_id="b")
import requests_oauthlib
from kubernetes import watch
assert watch.Watch
from kubernetes.client import ApiClient
assert ApiClient().deserialize('"2026-03-01T00:00:00Z"', "datetime", "application/json").year == 2026
import dateutil.parser
assert dateutil.parser.isoparse
print(early, isinstance(first, requests_oauthlib.OAuth2Session), second.client_id)
"""


def test_requests_comes_with_the_first_session_of_openid_connect() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["[]", "True", "b"]
