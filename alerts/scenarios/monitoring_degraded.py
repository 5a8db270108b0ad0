"""CertlagMonitoringDegraded: the exporter runs, and sees nothing new."""

from alerts.scenario import Firing, Labels, Scenario, World, fires, quiet
from alerts.scenarios.worlds import EXPORTER, USE, always, clock, exporter_restarted, healthy, renewed, steps

ALERT = "CertlagMonitoringDegraded"
CONTACT, SYNCED, SUCCESS = (
    "certlag_watch_last_contact_timestamp_seconds",
    "certlag_watch_synced",
    "certlag_probe_success",
)
PODS = {"resource": "pods", "watch_namespace": "opschain", "name": "", **EXPORTER}
EVERYWHERE = {"resource": "certificates", "watch_namespace": "*", "name": "", **EXPORTER}
WORKER = {"resource": "deployments", "watch_namespace": "opschain", "name": "opschain-api-worker"}
PLACE = {"pod": "p", "container": "buildkitd", "port": "1234", **USE}
SUMMARY = "The exporter does not see what it should: its verdicts are old."
LOG = "`kubectl -n certlag logs -l app.kubernetes.io/part-of=certlag,app.kubernetes.io/component=exporter`"


def silent(how_long: str, what: str = "pods in opschain", **watch: str) -> Firing:
    """The alert of a watch that hears nothing."""
    labels = watch or {"resource": "pods", "watch_namespace": "opschain"}
    return Firing(
        {"namespace": "certlag", "severity": "warning", "reason": "silent", **labels},
        SUMMARY,
        f"The exporter has heard nothing of {what} for {how_long}. Run {LOG}: it names the error.",
    )


def unsynced(what: str = "pods", **watch: str) -> Firing:
    """The alert of a watch that has no list."""
    labels = watch or {"resource": "pods", "watch_namespace": "opschain"}
    return Firing(
        {"namespace": "certlag", "severity": "warning", "reason": "unsynced", **labels},
        SUMMARY,
        f"The exporter has not been able to list {what} in opschain: what depends on it is not assessed before it has."
        f" Run {LOG}: it names the error, most often a permission that is missing.",
    )


UNSYNCED = unsynced()
UNANSWERED = Firing(
    {"namespace": "certlag", "severity": "warning", "reason": "unanswered", "job": "certlag-exporter"},
    SUMMARY,
    "An exporter has not completed a handshake with any pod: a restart would not be noticed."
    f" Look for a NetworkPolicy between it and the pods, then run {LOG}: it names the failures.",
)

POD_COUNTS, FOUND = "certlag_pods", "certlag_target_found"


def mislabelled(world: World, *names: str) -> World:
    """Return a world in which a server put its own `namespace` in the place of these metrics'."""

    def labels(old: Labels) -> Labels:
        given = dict(old)
        return tuple(sorted({**given, "exported_namespace": given["namespace"], "namespace": "monitoring"}.items()))

    return World(
        {(name, labels(old) if name in names else old): points for (name, old), points in world.series.items()}
    )


def other_namespace(series: int, label: str = "namespace") -> Firing:
    """The alert of a server that overwrites namespaces, or does not where the setting says that it does."""
    return Firing(
        {"namespace": "certlag", "severity": "warning", "reason": "mislabelled", "job": "certlag-exporter"},
        SUMMARY,
        f"{series} series do not have the certificate's namespace in the label {label}, by which the rules tell"
        " workloads apart: alerts name a wrong namespace, and workloads of one name are taken for one. Set"
        " `rules.namespaceLabel` to the label that holds it (`kubectl get prometheus --all-namespaces -o yaml` shows"
        " `overrideHonorLabels`), or scrape with `honorLabels: true`.",
    )


SILENT = healthy().with_series(CONTACT, clock(until=20), **PODS)
NEVER_SYNCED = healthy().with_series(CONTACT, always(None), **PODS).with_series(SYNCED, steps((1, 0), (0, 20)), **PODS)
NO_ANSWER = healthy().with_series(SUCCESS, steps((1, 0), (0, 20)), **PLACE)

SCENARIOS = (
    Scenario(
        "fires when a watch has heard nothing for a quarter of an hour",
        SILENT,
        quiet(ALERT, 34, 36) + fires(ALERT, 37, silent("17m 0s")),
    ),
    Scenario(
        "names a watch of all namespaces",
        healthy().with_series(CONTACT, clock(until=20), **EVERYWHERE),
        fires(ALERT, 37, silent("17m 0s", "certificates", resource="certificates", watch_namespace="*")),
    ),
    Scenario(
        "clears when the watch hears something",
        healthy().with_series(CONTACT, (*clock(until=20)[:50], *clock()[50:]), **PODS),
        fires(ALERT, 49, silent("29m 0s")) + quiet(ALERT, 50),
    ),
    Scenario("fires when a list cannot be had", NEVER_SYNCED, quiet(ALERT, 34) + fires(ALERT, 35, UNSYNCED)),
    Scenario(
        "names the one object that may not be read, whatever else of its kind is",
        healthy().with_series(SYNCED, steps((1, 0), (0, 20)), **{**WORKER, **EXPORTER}),
        quiet(ALERT, 34) + fires(ALERT, 35, unsynced("deployments/opschain-api-worker", **WORKER)),
    ),
    Scenario(
        "names the one object of which nothing is heard",
        healthy().with_series(CONTACT, clock(until=20), **{**WORKER, **EXPORTER}),
        fires(ALERT, 37, silent("17m 0s", "deployments/opschain-api-worker in opschain", **WORKER)),
    ),
    Scenario(
        "clears when the list is had",
        healthy().with_series(SYNCED, steps((0, 0), (1, 50)), **PODS),
        fires(ALERT, 49, UNSYNCED) + quiet(ALERT, 50),
    ),
    Scenario(
        "fires when no handshake with any pod succeeds", NO_ANSWER, quiet(ALERT, 34) + fires(ALERT, 35, UNANSWERED)
    ),
    Scenario(
        "is quiet while some handshakes succeed",
        NO_ANSWER.with_series(SUCCESS, always(1), **{**PLACE, "pod": "q"}),
        quiet(ALERT, 35, 75),
    ),
    Scenario(
        "fires when one of two replicas gets no answer from any pod",
        NO_ANSWER.and_also(healthy().told_by_another()),
        fires(ALERT, 35, UNANSWERED),
    ),
    Scenario(
        "is quiet when probes fail for ten minutes",
        healthy().with_series(SUCCESS, steps((1, 0), (0, 20), (1, 30)), **PLACE),
        quiet(ALERT, 29, 35, 45),
    ),
    Scenario("is quiet while there is nothing to probe", healthy().without(SUCCESS), quiet(ALERT, 35, 75)),
    Scenario("is quiet while all is well", healthy(), quiet(ALERT, 1, 37, 75)),
    Scenario("is quiet after a renewal", renewed(), quiet(ALERT, 37, 75)),
    Scenario("is quiet without series", healthy().without(CONTACT, SYNCED, SUCCESS), quiet(ALERT, 37, 75)),
    Scenario("is quiet while the exporter restarts", exporter_restarted(healthy(), 30), quiet(ALERT, 31, 32, 37, 48)),
    Scenario("is quiet through ten minutes without a scrape", healthy().unscraped(30), quiet(ALERT, 35, 39, 40, 46)),
    Scenario(
        "a silent watch holds through ten minutes without a scrape",
        SILENT.unscraped(38),
        fires(ALERT, 37, silent("17m 0s")) + fires(ALERT, 47, silent("17m 0s")) + fires(ALERT, 48, silent("28m 0s")),
    ),
    Scenario(
        "handshakes that fail hold through ten minutes without a scrape",
        NO_ANSWER.unscraped(30),
        quiet(ALERT, 34) + fires(ALERT, 35, UNANSWERED) + fires(ALERT, 39, UNANSWERED),
    ),
    Scenario(
        "a list that cannot be had holds through ten minutes without a scrape",
        NEVER_SYNCED.unscraped(30),
        quiet(ALERT, 34) + fires(ALERT, 35, UNSYNCED) + fires(ALERT, 39, UNSYNCED),
    ),
    Scenario("is one alert for two replicas", SILENT.with_replica(), fires(ALERT, 37, silent("17m 0s"))),
    Scenario(
        "fires when one of two replicas is blind",
        healthy()
        .with_replica()
        .with_series(CONTACT, clock(until=20), **PODS)
        .with_series(SYNCED, steps((1, 0), (0, 21)), **PODS),
        quiet(ALERT, 35) + fires(ALERT, 36, UNSYNCED) + fires(ALERT, 37, UNSYNCED, silent("17m 0s")),
    ),
    *(
        Scenario(
            f"says nothing of {what} of another job",
            world.relabelled("job", value="another", was="certlag-exporter"),
            quiet(ALERT, 37, 75),
        )
        for what, world in (("a watch", SILENT), ("a list", NEVER_SYNCED), ("handshakes", NO_ANSWER))
    ),
    Scenario(
        "takes an instant of zero for none, as for a watch that has just begun",
        healthy().with_series(CONTACT, always(0), **PODS),
        quiet(ALERT, 37, 75),
    ),
    Scenario(
        "fires when the namespaces of pods and targets are overwritten",
        mislabelled(healthy(), POD_COUNTS, FOUND),
        quiet(ALERT, 14) + fires(ALERT, 15, other_namespace(5)) + fires(ALERT, 75, other_namespace(5)),
        of_defaults=True,
    ),
    *(
        Scenario(
            f"fires when the namespace of {name} is overwritten",
            mislabelled(healthy(), name).unscraped(30),
            fires(ALERT, 15, other_namespace(series)) + fires(ALERT, 39, other_namespace(series)),
            of_defaults=True,
        )
        for name, series in ((POD_COUNTS, 4), (FOUND, 1))
    ),
    Scenario(
        "says nothing of the namespaces that another job overwrites",
        healthy().and_also(
            mislabelled(healthy(), POD_COUNTS, FOUND).relabelled("job", value="another", was="certlag-exporter")
        ),
        quiet(ALERT, 15, 75),
    ),
)
