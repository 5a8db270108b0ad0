"""What `helm test` asks of the exporter: that it is ready, and that it sees the cluster."""  # noqa: INP001 - a script

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPSConnection

scheme, access = sys.argv[1:]
# By its address, which stands in no certificate: this looks at what is served, not at who serves it.
unverified = ssl.create_default_context()
unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE


def connection() -> HTTPConnection:
    """Return a connection to the exporter's Service."""
    address = os.environ["ADDRESS"]
    if scheme == "https":
        return HTTPSConnection(address, timeout=10, context=unverified)
    return HTTPConnection(address, timeout=10)


def get(path: str) -> str:
    """Return what is served under a path; anything but 200 ends the test."""
    asked = connection()
    asked.request("GET", path)
    answer = asked.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {text}")
    return text


if access == "restricted":
    # It would ask for a password or a certificate, which this test has no business to know.
    connection().connect()
    sys.stdout.write("it listens, which is all that can be seen without a password\n")
else:
    get("/readyz")
    synced = [line for line in get("/metrics").splitlines() if line.startswith("certlag_watch_synced{")]
    if not synced or not all(line.endswith(" 1") for line in synced):
        sys.exit("not all watches are synced:\n" + "\n".join(synced))
    sys.stdout.write(f"ready, {len(synced)} watches synced\n")
