"""What `helm test` asks of the exporter: that it is ready, and that every watch of its has a first complete list."""

import os
import socket
import ssl
import sys
import urllib.request

scheme, access = sys.argv[1:]
address = os.environ["ADDRESS"]

if access == "restricted":
    # It would ask for a password or a certificate, which this test has no business to know.
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=10).close()
    sys.stdout.write("it listens, which is all that can be seen without a password\n")
    sys.exit(0)

# By its address, which stands in no certificate: this looks at what is served, not at who serves it.
unverified = ssl.create_default_context()
unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE


def get(path: str) -> str:
    """Return what is served under a path; anything but 200 is an error."""
    with urllib.request.urlopen(f"{scheme}://{address}{path}", timeout=10, context=unverified) as response:
        return response.read().decode()


get("/readyz")
synced = [line for line in get("/metrics").splitlines() if line.startswith("certlag_watch_synced{")]
if not synced or not all(line.endswith(" 1") for line in synced):
    sys.exit("not all watches are synced:\n" + "\n".join(synced))
sys.stdout.write(f"ready, {len(synced)} watches synced\n")
