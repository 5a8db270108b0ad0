"""Alertmanager: a silence for what a drain causes, and a gate on what fires. Touches its API v2 over HTTP.

A silence is narrow (the matchers name the alerts and the namespace), short (it ends by itself with the run's own
deadline) and never covers a critical alert. It is kept in the run's record by its address, id and all, so that anyone
who resumes the run can end it, wherever they are; only a run that is killed between making it and noting it leaves it
to its own end. Failing to silence is only a warning; failing to ask the gate closes it.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from certlag.clock import Clock
from certlag.config.urls import has_credentials, http_url
from certlag.kube.deadline import Deadline, cause, read_all, with_deadlines

TIMEOUT = 5.0
"""Seconds to connect, and between two bytes."""
ANSWER_TIMEOUT = 30.0
"""Seconds for an answer, from the request to its end: a run that drips away here holds its workers drained."""
MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of one: a hundred thousand alerts. What has more is refused, not cut off."""
SILENCE_PATH = "/api/v2/silence/"


class AlertmanagerError(Exception):
    """Alertmanager did not answer, or refused."""


def is_address(text: str) -> bool:
    """Tell whether this can be Alertmanager's address, which is shown: an http(s) URL without a password."""
    url = http_url(text)
    return url is not None and not has_credentials(url)


class Alertmanager:
    """One Alertmanager, by its URL."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._pool = with_deadlines(urllib3.PoolManager(retries=False, timeout=TIMEOUT))

    def firing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return which of these alerts fire, silenced or not.

        Raises:
            AlertmanagerError: it could not be asked.
        """
        wanted = set(names)
        alerts = self._request("GET", "/api/v2/alerts?active=true&silenced=true&inhibited=true")
        if not isinstance(alerts, list):
            raise AlertmanagerError(f"{self._url}: this is no list of alerts: {str(alerts)[:200]}")
        found = {_name(alert) for alert in alerts}
        return tuple(sorted(found & wanted))

    def silence(self, body: dict[str, Any]) -> str:
        """Make a silence and return its address, which ends with its id.

        Raises:
            AlertmanagerError: it was not made.
        """
        made = self._request("POST", "/api/v2/silences", body)
        if not isinstance(made, dict) or not made.get("silenceID"):
            raise AlertmanagerError(f"{self._url}: no id of a silence: {str(made)[:200]}")
        return f"{self._url}{SILENCE_PATH}{made['silenceID']}"

    def expire(self, silence: str) -> None:
        """End a silence, by its id.

        Raises:
            AlertmanagerError: it was not ended.
        """
        self._request("DELETE", f"{SILENCE_PATH}{silence}")

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if not is_address(self._url):
            raise AlertmanagerError("its address is no http:// or https:// URL without a password")
        try:
            encoded = None if body is None else json.dumps(body).encode()
            with Deadline(self._clock, ANSWER_TIMEOUT).active():
                response = self._pool.request(
                    method, self._url + path, body=encoded, headers=headers, preload_content=False
                )
            with response:
                data = read_all(response, MAX_ANSWER)
            if response.status != 200:
                raise AlertmanagerError(f"{self._url}{path}: HTTP {response.status}: {data[:200]!r}")
            return json.loads(data) if data else None
        except HTTPError as error:
            raise AlertmanagerError(f"{self._url}{path}: {cause(error)}") from error
        except ValueError as error:
            raise AlertmanagerError(f"{self._url}{path}: {error}") from error


def _name(alert: Any) -> str:
    """Return the name of an alert, as Alertmanager lists it.

    Raises:
        AlertmanagerError: it is none.
    """
    try:
        return str(alert["labels"].get("alertname", ""))
    except (KeyError, TypeError, AttributeError) as error:
        raise AlertmanagerError(f"this is no alert: {str(alert)[:200]}") from error


class Silences:
    """The silence of one run: begun with it, ended with it.

    Without an Alertmanager none is begun, and one of the record is ended where it was made.
    """

    def __init__(
        self,
        alertmanager: Alertmanager | None,
        clock: Clock,
        *,
        namespace: str,
        alerts: Sequence[str],
        by: str,
        warn: Callable[[str], None],
    ) -> None:
        self._alertmanager = alertmanager
        self._clock = clock
        self._namespace = namespace
        self._alerts = tuple(alerts)
        self._by = by
        self._warn = warn

    def begin(self, until: datetime) -> str | None:
        """Silence the alerts until then at the latest; return the silence's address, None if there is none."""
        if self._alertmanager is None:
            return None
        names = "|".join(map(re.escape, self._alerts))
        body = {
            "matchers": [
                {"name": "alertname", "value": names, "isRegex": True, "isEqual": True},
                {"name": "namespace", "value": self._namespace, "isRegex": False, "isEqual": True},
                {"name": "severity", "value": "critical", "isRegex": False, "isEqual": False},
            ],
            "startsAt": self._clock.now().isoformat(),
            "endsAt": until.isoformat(),
            "createdBy": self._by,
            "comment": "drained restart by certlag",
        }
        try:
            return self._alertmanager.silence(body)
        except AlertmanagerError as error:
            self._warn(f"no silence: {error}")
            return None

    def end(self, silence: str) -> None:
        """End the silence of this address; failing to is only a remark, since it ends by itself."""
        url, _, number = silence.rpartition(SILENCE_PATH)
        try:
            (self._alertmanager or Alertmanager(url, self._clock)).expire(number)
        except AlertmanagerError as error:
            self._warn(f"silence {silence} is not ended, it ends by itself: {error}")
