"""All that the exporter knows at one instant: assessments and its own health. The page and the JSON read it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from certlag.assessment import Assessment
from certlag.config.release import Release
from certlag.kube.reflector import WatchHealth
from certlag.kube.resources import Watch
from certlag.target_assessment import TargetAssessment


@dataclass(frozen=True, slots=True)
class Status:
    """What is known at `now`, a UTC instant.

    `ready`: the first lists and probes are complete. `server`: the API server's URL. `release`: the chart's release
    that the targets are from, None if they are from elsewhere.
    """

    now: datetime
    ready: bool
    watches: Mapping[Watch, WatchHealth]
    targets: tuple[TargetAssessment, ...] = ()
    certificates: tuple[Assessment, ...] = ()
    server: str | None = None
    release: Release | None = None
