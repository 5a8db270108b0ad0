"""`--web.config.file`: TLS, client CA, basic auth and headers of our own server, in exporter-toolkit's form.

Reads that file and the ones it names, again whenever one of them has changed on disk: an exporter of certificates that
were renewed and never loaded must not be one itself. A change that cannot be used (half written, key and certificate
that do not fit) is logged once, and what was last good stays. So it does if the change would let in more people: the
beginning of a file that is being written is often a good file with less in it.

The form is that of prometheus/exporter-toolkit, docs/web-configuration.md. What OpenSSL's Python cannot do as asked is
refused rather than ignored: cipher suites and curves by Go's names, and allowed SANs.
"""

import hashlib
import importlib
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from exporter import yaml_file

log = logging.getLogger("certlag")

_VERIFY_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


class WebConfigError(Exception):
    """The file, or one that it names, cannot be used; the message says what, where, and what would be right."""


@dataclass(frozen=True)
class WebConfig:
    """How to serve. `tls` is None for plain HTTP; `users` are bcrypt hashes by name; nobody is asked if empty."""

    tls: ssl.SSLContext | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def guards(self) -> frozenset[str]:
        """Return what keeps people out or secrets in, each by the file's word for it."""
        verifies = self.tls is not None and self.tls.verify_mode is ssl.CERT_REQUIRED
        standing = {"tls_server_config": self.tls, "client_auth_type": verifies, "basic_auth_users": self.users}
        return frozenset(word for word, stands in standing.items() if stands)

    def admits(self, user: str, password: str) -> bool:
        """Tell whether a user may come in. Takes as long as bcrypt does, also for a name that does not exist."""
        known = self.users.get(user) or _nobody()
        # bcrypt reads 72 bytes and refuses more.
        return bool(_bcrypt().checkpw(password.encode()[:72], known)) and user in self.users


def _bcrypt() -> Any:
    """Return the library; where no users are named, it is never loaded."""
    return importlib.import_module("bcrypt")


@cache
def _nobody() -> Any:
    """Return what is compared against for users that do not exist, so that a wrong name takes time too."""
    return _bcrypt().hashpw(b"nobody", _bcrypt().gensalt(4))


class WebConfigFile:
    """The configuration as its file has it now."""

    def __init__(self, path: str | None) -> None:
        """Read it for the first time; `path` None means plain HTTP for everybody.

        Raises:
            WebConfigError: it cannot be used.
        """
        self._path = Path(path) if path else None
        self._config = WebConfig()
        self._seen: Mapping[Path, object] = {}
        if self._path:
            self._config, self._seen = _load(self._path)

    def current(self) -> WebConfig:
        """Return the configuration, read anew if a file has changed."""
        if self._path and any(_stamp(file) != stamp for file, stamp in self._seen.items()):
            seen = {file: _stamp(file) for file in self._seen}
            try:
                self._config, self._seen = self._read_anew(self._path)
                log.info("web configuration read anew", extra={"file": str(self._path)})
            except WebConfigError as error:
                self._seen = seen  # the next change is tried again, this one is not
                log.warning("web configuration not taken, the last good one stays", extra={"error": str(error)})
        return self._config

    def _read_anew(self, path: Path) -> tuple[WebConfig, Mapping[Path, object]]:
        config, seen = _load(path)
        if lost := self._config.guards - config.guards:
            raise WebConfigError(
                f"{path}: without {', '.join(sorted(lost))}; only a start takes it, no running process"
            )
        return config, seen


def credential_digest(user: str, password: str, config: WebConfig) -> bytes:
    """Return what stands for an admitted credential in memory, so that bcrypt need not run at each scrape."""
    parts = (user.encode(), password.encode(), config.users.get(user, b""))
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).digest()


# --- the file -------------------------------------------------------------------------------------


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=lambda name: name)


class _TlsSection(_Section):
    cert_file: str
    key_file: str
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: str | None = None
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    prefer_server_cipher_suites: bool = True


class _HttpSection(_Section):
    http2: bool = True
    headers: dict[str, str] = {}


class _File(_Section):
    tls_server_config: _TlsSection | None = None
    http_server_config: _HttpSection | None = None
    basic_auth_users: dict[str, Annotated[str, Field(pattern=r"^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$")]] = {}


_RIGHT_FORMS = {
    "": "a mapping with tls_server_config, http_server_config and basic_auth_users",
    "tls_server_config": "a mapping with cert_file and key_file",
    "cert_file": "the path of a PEM certificate chain, relative to this file",
    "key_file": "the path of its PEM key, relative to this file",
    "client_auth_type": "NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
    "client_ca_file": "the path of the PEM authorities of clients, relative to this file",
    "min_version": "TLS12 or TLS13",
    "max_version": "TLS12 or TLS13",
    "prefer_server_cipher_suites": "true or false",
    "http_server_config": "a mapping with headers and http2",
    "http2": "true or false (this server speaks HTTP/1.1 either way)",
    "headers": "a mapping of header names to texts",
    "basic_auth_users": "a mapping of user names to bcrypt hashes, as `htpasswd -nB NAME` prints them",
}

_SECRET = frozenset({"basic_auth_users"})
"""Where a hash belongs, a password may have been written."""


def _load(path: Path) -> tuple[WebConfig, Mapping[Path, object]]:
    """Read the file and what it names; return also what each looked like, taken before it was read."""
    seen: dict[Path, object] = {path: _stamp(path)}
    try:
        file = yaml_file.read(path.read_text(encoding="utf-8"), str(path), _File, _RIGHT_FORMS, _SECRET)
    except (OSError, UnicodeDecodeError) as error:
        raise WebConfigError(f"{path}: cannot be read: {error}") from error
    except yaml_file.YamlFileError as error:
        raise WebConfigError(str(error)) from error
    tls = None
    if section := file.tls_server_config:
        named = (section.cert_file, section.key_file, section.client_ca_file)
        seen |= {path.parent / name: _stamp(path.parent / name) for name in named if name}
        tls = _context(section, path)
    users = {name: known.encode() for name, known in file.basic_auth_users.items()}
    headers = tuple(file.http_server_config.headers.items()) if file.http_server_config else ()
    return WebConfig(tls, users, headers), seen


def _context(section: _TlsSection, path: Path) -> ssl.SSLContext:
    verifies = section.client_auth_type != "NoClientCert"
    if verifies != (section.client_ca_file is not None):
        raise WebConfigError(
            f"{path}: tls_server_config: client_auth_type {section.client_auth_type} "
            f"{'needs a' if verifies else 'checks nothing against a'} client_ca_file"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[section.min_version], _VERSIONS[section.max_version]
    context.verify_mode = _VERIFY_MODES[section.client_auth_type]
    file = section.cert_file
    try:
        context.load_cert_chain(path.parent / section.cert_file, path.parent / section.key_file)
        if section.client_ca_file:
            file = section.client_ca_file
            context.load_verify_locations(path.parent / file)
    except OSError as error:  # ssl.SSLError is one
        raise WebConfigError(f"{path}: tls_server_config: {file}: {error}") from error
    return context


def _stamp(file: Path) -> object:
    """Return what changes when a file does, through links too: Kubernetes swaps one to renew a mounted Secret."""
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns)
