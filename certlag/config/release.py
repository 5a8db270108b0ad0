"""A release of the chart, and the ConfigMap that holds its configuration. Pure."""

import re
from dataclasses import dataclass

from certlag.model import DNS_LABEL

CONFIG_MAP_PREFIX = "certlag-config-"
CONFIGURATION_KEY = "certlag.yaml"
"""The key of that ConfigMap."""
CONFIGURATION_LABELS = {"app.kubernetes.io/part-of": "certlag", "app.kubernetes.io/component": "configuration"}
"""The labels of that ConfigMap."""

_NAME = r"[a-z0-9]([-a-z0-9.]{0,51}[a-z0-9])?"
"""Helm allows 53 characters, as in the name of a subdomain (helm.sh/helm/v3/pkg/chartutil, ValidateReleaseName)."""


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A release: where Helm installed the chart, and under which name."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Release":
        """Read NAMESPACE/NAME.

        Raises:
            ValueError: it has another form.
        """
        namespace, _, name = text.partition("/")
        if re.fullmatch(DNS_LABEL, namespace) is None or re.fullmatch(_NAME, name) is None:
            raise ValueError(f"{text!r} is not NAMESPACE/NAME, as in monitoring/certlag")
        return cls(namespace, name)

    @property
    def config_map(self) -> str:
        """The name of the ConfigMap that holds its configuration; the chart's name overrides do not change it."""
        return f"{CONFIG_MAP_PREFIX}{self.name}"

    def __str__(self) -> str:
        """Return NAMESPACE/NAME."""
        return f"{self.namespace}/{self.name}"
