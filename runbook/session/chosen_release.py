"""The release that `runbook use` has stored for a cluster. Touches one file of the user's.

It belongs to a context and to its API server: contexts of two kubeconfigs may have the same name.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from certlag.config.release import Release
from certlag.config.schema import ConfigurationError


@dataclass(frozen=True, slots=True)
class ChosenReleases:
    """The file, and what is in it."""

    path: Path

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> "ChosenReleases":
        """Return the file of the user: under $XDG_CONFIG_HOME, by default ~/.config."""
        home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or "~").expanduser() / ".config"
        return cls(Path(home) / "certlag" / "releases.json")

    def get(self, context: str, server: str) -> Release | None:
        """Return what is stored for a context of a server; None if nothing is.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        text = self._read().get(server, {}).get(context)
        try:
            return None if text is None else Release.parse(text)
        except ValueError as error:
            raise self._unreadable(error) from error

    def store(self, context: str, server: str, release: Release) -> None:
        """Store a release for a context of a server; the file is replaced whole.

        Raises:
            ConfigurationError: the file cannot be read or written.
        """
        stored = self._read()
        stored.setdefault(server, {})[context] = str(release)
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
            new.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            raise ConfigurationError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        contexts = stored.values() if isinstance(stored, dict) else [None]
        texts = [each for context in contexts if isinstance(context, dict) for each in context.values()]
        if not all(isinstance(each, dict) for each in contexts) or not all(isinstance(each, str) for each in texts):
            raise self._unreadable("it is not what `runbook use` writes")
        return dict(stored)

    def _unreadable(self, error: object) -> ConfigurationError:
        return ConfigurationError(f"{self.path}: cannot be read: {error}; delete it, and run `runbook use` again")
