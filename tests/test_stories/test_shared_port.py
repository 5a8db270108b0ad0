"""Two processes behind one port: each connection shows the certificate of one of them."""

import json

import pytest

from tests.bench import servers
from tests.figures import Figures
from tests.monitoring import monitoring
from tests.test_stories.ground import Ground, a_target

REQUIRED = "CertlagNeedsRestart"
FOR = 20
"""Seconds that the need must hold before the alert fires: probed once a second, a flicker never lasts that long."""
SUCCESSOR = """
listen() {{
  sed "s#ssl;#ssl reuseport;#; s#{tls}#$1#; s#/tmp/nginx.pid#$1/pid#" /tmp/one > $1/conf
  nginx -c $1/conf &
}}
cat > /tmp/one <<'END'
{configuration}END
mkdir /tmp/old /tmp/new && cp -L {tls}/* /tmp/old && listen /tmp/old
until ! cmp -s {tls}/tls.crt /tmp/old/tls.crt; do sleep 0.2; done
cp -L {tls}/* /tmp/new && listen /tmp/new && touch /tmp/both
wait
"""
"""A server that starts its successor beside itself once the Secret has changed, and does not end."""


def sharing(secret: str) -> servers.Server:
    tls = f"/tls/{secret}"
    configuration = servers.NGINX.format(tls=tls, port=servers.PORT)
    return servers.Server(("/bin/sh", "-c", SUCCESSOR.format(tls=tls, configuration=configuration)), (secret,))


@pytest.mark.cluster
@pytest.mark.field_case("B2")
def test_an_old_process_behind_a_shared_port_pages_somebody(ground: Ground, figures: Figures) -> None:
    ground.apply(servers.certificate("one"), servers.deployment("one", [sharing("one")]))
    ground.wait_available("one")
    with ground.watched([a_target("one")], options=["--probe-interval", "1"]) as exporter:
        ground.renew("one")
        (pod,) = ground.pods("one")
        both = ("exec", pod["metadata"]["name"], "--", "sh", "-c", "until [ -e /tmp/both ]; do sleep 0.2; done")
        ground.cluster.kubectl(*both, namespace=ground.namespace)

        def is_mixed() -> bool:
            certificates = json.loads(exporter.get("/api/v1/status")[2])["certificates"]
            uses = (use for found in certificates if found["name"] == "one" for use in found["uses"])
            pods = [each for use in uses for each in use["pods"]]
            if [each["reason"] for each in pods] != ["mixed"]:
                raise LookupError(str(pods))
            return True

        with monitoring(
            ground.cluster, ground.folder, f"{exporter.host}:{exporter.port}", {"needsRestart.for": f"{FOR}s"}
        ) as watch:
            watch.wait("both certificates to be seen", is_mixed, 120)
            watch.pager.wait(REQUIRED, "firing", seconds=FOR + 30)
            (changes,) = watch.values("changes(certlag_loaded_not_before_timestamp_seconds[1m])")
            assert watch.values(f"min_over_time(certlag_needs_restart[{FOR}s])") == [1.0], "it never flickered"
            figures(
                f"another leaf than at the scrape before: {changes:g} times within a minute, needs_restart steadily 1"
            )
            assert changes > 0, "both processes answer"
