"""How long the exporter takes to tell: measured from outside, from the API server's announcement to a scrape."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from tests.bench import waiting
from tests.bench.cluster import Object
from tests.exporter_process import ExporterProcess
from tests.metrics import Metrics
from tests.test_stories.ground import Ground

CLOSELY = 0.005


def delay(exporter: ExporterProcess, change: Callable[[], float], told: Callable[[Metrics], bool]) -> float:
    """Make a change, and return the seconds from when it was announced until a scrape told of it.

    `change` returns when it was announced, on the monotonic clock.
    """

    def scrape() -> float:
        waiting.until("the exporter to tell of a change", lambda: told(exporter.metrics()), interval=CLOSELY)
        return time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        scraping = pool.submit(scrape)
        announced = change()
    # A scrape may be ahead of the test's own watch.
    return max(0.0, scraping.result() - announced)


def ready(ground: Ground, name: str, before: Collection[str], *, replicas: int = 1) -> float:
    """Wait until a new pod is Ready and one of those of before is terminating or gone; return when that was seen."""

    def replaced() -> bool:
        serving = [pod for pod in ground.pods(name) if "deletionTimestamp" not in pod["metadata"]]
        new = [pod for pod in serving if pod["metadata"]["uid"] not in before]
        return len(serving) == replicas and bool(new) and all(_is_ready(pod) for pod in new)

    waiting.until("the new pod to be Ready and the old one terminating", replaced, interval=CLOSELY)
    return time.monotonic()


def _is_ready(pod: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
