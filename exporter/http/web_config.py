"""`--web.config.file`: TLS, client CA, basic auth and headers of our own server, in exporter-toolkit's form.

Reads that file and the ones it names, again whenever one of them has changed on disk or has appeared there: an exporter
of certificates that were renewed and never loaded must not be one itself. A change that cannot be used (half written,
key and certificate that do not fit, a file that is missing) is logged once, and what was last good stays, with what the
files that it names hold now. So it does if the change would let in more people: the beginning of a file that is being
written is often a good file with less in it.

The form is that of prometheus/exporter-toolkit, docs/web-configuration.md, and the response headers are those that it
allows (web/handler.go). What OpenSSL's Python cannot do as asked is refused rather than ignored: cipher suites and
curves by Go's names, and allowed SANs. So is what could only fail later: a hash that bcrypt does not read or that takes
longer than a scrape, and a header's value that HTTP does not carry.
"""

import importlib
import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from certlag.config import yaml_model

log = logging.getLogger("certlag")

_VERIFY_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


class Demands(NamedTuple):
    """What a connection is asked for before its first request: TLS at all, of which versions, and whose certificate."""

    versions: tuple[str, str]
    client_auth_type: str
    authorities: bytes


class WebConfigError(Exception):
    """The file, or one that it names, cannot be used; the message says what, where, and what would be right."""


@dataclass(frozen=True)
class WebConfig:
    """How to serve. `tls` is None for plain HTTP; `users` are bcrypt hashes by name; nobody is asked if empty.

    `demands` is None without TLS. A connection that met others than these is not one that would be let in now.
    """

    tls: ssl.SSLContext | None = None
    demands: Demands | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def protections(self) -> frozenset[str]:
        """Return what keeps people out or secrets in, each by the file's word for it."""
        verifies = self.tls is not None and self.tls.verify_mode is ssl.CERT_REQUIRED
        standing = {"tls_server_config": self.tls, "client_auth_type": verifies, "basic_auth_users": self.users}
        return frozenset(word for word, stands in standing.items() if stands)

    def authenticate(self, user: str, password: str) -> bool:
        """Tell whether a user may come in, in the same time for every name, whether it exists or not.

        That is the time of the highest cost of all users: a check of a lower one is followed by those that it lacks, as
        each cost takes twice as long as the one below.
        """
        highest = max(map(_cost, self.users.values()))
        known = self.users.get(user) or _hash_of_nobody(highest)
        hashes = (known, *map(_hash_of_nobody, range(_cost(known), highest)))
        # bcrypt reads 72 bytes and refuses more.
        first, *_ = [bool(_bcrypt().checkpw(password.encode()[:72], each)) for each in hashes]
        return first and user in self.users


def _bcrypt() -> Any:
    """Return the library; where no users are named, it is never loaded."""
    return importlib.import_module("bcrypt")


def _cost(known: bytes) -> int:
    """Return the logarithm of how long a hash takes, as it stands in it: `$2b$10$…`."""
    return int(known[4:6])


def _hash_of_nobody(cost: int) -> bytes:
    """Return a hash that no password has, and that takes as long to check as any of its cost."""
    return b"$2b$%02d$" % cost + b"." * 53


class WebConfigFile:
    """The configuration as its file has it now."""

    def __init__(self, path: str | None) -> None:
        """Read it for the first time; `path` None means plain HTTP for everybody.

        Raises:
            WebConfigError: it cannot be used.
        """
        self._path = Path(path) if path else None
        self._config = WebConfig()
        self._file = _File()
        """What the last good configuration was made of."""
        self._seen: dict[Path, object] = {}
        """What each file that matters looked like when it was last read, or was not there to be read."""
        if self._path:
            self._file = _parse(self._path, self._seen)
            self._config = _load(self._file, self._path, self._seen)

    def current(self) -> WebConfig:
        """Return the configuration, read again if a file has changed."""
        if self._path and any(_stamp(file) != stamp for file, stamp in self._seen.items()):
            seen: dict[Path, object] = {}
            try:
                self._take(_parse(self._path, seen), self._path, seen)
                log.info("web configuration read again", extra={"file": str(self._path)})
            except WebConfigError as error:
                log.warning("web configuration not taken, the last good one stays", extra={"error": str(error)})
                self._keep(self._path, seen)
            self._seen = seen
        return self._config

    def _take(self, file: "_File", path: Path, seen: dict[Path, object]) -> None:
        config = _load(file, path, seen)
        if lost := self._config.protections - config.protections:
            raise WebConfigError(
                f"{path}: without {', '.join(sorted(lost))}; only a start takes it, no running process"
            )
        self._config, self._file = config, file

    def _keep(self, path: Path, seen: dict[Path, object]) -> None:
        """Go on with the last good file, and with what the files that it names hold now, if that can be used."""
        with suppress(WebConfigError):  # they are those of the file that was refused, or as bad
            self._take(self._file, path, seen)


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


_Value = Annotated[str, Field(pattern=r"^([!-~]([ -~]*[!-~])?)?$")]
"""What HTTP carries as a header's value (RFC 9110 §5.5) without guessing at an encoding."""


class _HeadersSection(_Section):
    """The headers that exporter-toolkit allows; one that is empty is not sent."""

    strict_transport_security: _Value = Field(default="", alias="Strict-Transport-Security")
    x_content_type_options: Literal["nosniff", ""] = Field(default="", alias="X-Content-Type-Options")
    x_frame_options: Literal["deny", "sameorigin", ""] = Field(default="", alias="X-Frame-Options")
    x_xss_protection: _Value = Field(default="", alias="X-XSS-Protection")
    content_security_policy: _Value = Field(default="", alias="Content-Security-Policy")


class _HttpSection(_Section):
    http2: bool = True
    headers: _HeadersSection = _HeadersSection()


_User = Annotated[str, Field(pattern="^[^:]*$")]
"""What stands before the first colon of a credential (RFC 7617 §2)."""
_COST = r"(0[4-9]|1[0-6])"
"""bcrypt's least, and what takes some seconds: Prometheus waits for ten."""
_Hash = Annotated[str, Field(pattern=rf"^\$2[aby]\${_COST}\$[./A-Za-z0-9]{{21}}[.Oeu][./A-Za-z0-9]{{31}}$")]
"""A salt has 128 bits: of its last character only two count, and bcrypt refuses one with others."""


class _File(_Section):
    tls_server_config: _TlsSection | None = None
    http_server_config: _HttpSection | None = None
    basic_auth_users: dict[_User, _Hash] = {}


_LINE = "one line of ASCII characters"
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
    "headers": "a mapping with any of the headers that exporter-toolkit allows",
    "Strict-Transport-Security": _LINE,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny or sameorigin",
    "X-XSS-Protection": _LINE,
    "Content-Security-Policy": _LINE,
    "basic_auth_users": "a mapping of user names without a colon to bcrypt hashes of a cost of 4 to 16, as "
    "`htpasswd -nBC 10 NAME` prints them",
}

_SECRET = frozenset({"basic_auth_users"})
"""Where a hash belongs, a password may have been written."""


def _parse(path: Path, seen: dict[Path, object]) -> _File:
    """Read the file; note what it looked like, taken before it was read."""
    seen[path] = _stamp(path)
    try:
        return yaml_model.read(path.read_text(encoding="utf-8"), str(path), _File, _RIGHT_FORMS, _SECRET)
    except (OSError, UnicodeDecodeError) as error:
        raise WebConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except yaml_model.YamlFileError as error:
        raise WebConfigError(str(error)) from error


def _load(file: _File, path: Path, seen: dict[Path, object]) -> WebConfig:
    """Read what the file names; note what each looked like, taken before it was read."""
    tls = demands = None
    if section := file.tls_server_config:
        named = (section.cert_file, section.key_file, section.client_ca_file)
        seen |= {path.parent / name: _stamp(path.parent / name) for name in named if name}
        tls, demands = _context(section, path)
    users = {name: known.encode() for name, known in file.basic_auth_users.items()}
    headers = file.http_server_config.headers.model_dump(by_alias=True) if file.http_server_config else {}
    return WebConfig(tls, demands, users, tuple((name, value) for name, value in headers.items() if value))


def _context(section: _TlsSection, path: Path) -> tuple[ssl.SSLContext, Demands]:
    verifies = section.client_auth_type != "NoClientCert"
    if verifies != (section.client_ca_file is not None):
        raise WebConfigError(
            f"{path}: tls_server_config: client_auth_type {section.client_auth_type} "
            f"{'needs a' if verifies else 'checks nothing against a'} client_ca_file"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[section.min_version], _VERSIONS[section.max_version]
    context.verify_mode = _VERIFY_MODES[section.client_auth_type]
    context.options |= ssl.OP_NO_RENEGOTIATION  # by which one connection could have us sign without end
    files = {"cert_file": section.cert_file, "key_file": section.key_file, "client_ca_file": section.client_ca_file}
    found = {key: _read(path, key, name) for key, name in files.items() if name}
    try:
        # With a password that is none, a key that needs one is an error: else OpenSSL would ask the terminal.
        context.load_cert_chain(path.parent / section.cert_file, path.parent / section.key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        pair = f"{section.cert_file} and {section.key_file}"
        raise WebConfigError(
            f"{path}: tls_server_config: {pair} are not a PEM certificate chain and its key, without a password"
            f"{_reason(error)}"
        ) from error
    authorities = found.get("client_ca_file", b"")
    if section.client_ca_file:
        try:
            context.load_verify_locations(path.parent / section.client_ca_file)
        except ssl.SSLError as error:
            raise WebConfigError(
                f"{path}: tls_server_config.client_ca_file: {section.client_ca_file} holds no PEM certificate"
                f"{_reason(error)}"
            ) from error
    return context, Demands((section.min_version, section.max_version), section.client_auth_type, authorities)


def _read(path: Path, key: str, name: str) -> bytes:
    try:
        return (path.parent / name).read_bytes()
    except OSError as error:
        raise WebConfigError(f"{path}: tls_server_config.{key}: {name} cannot be read: {error.strerror}") from error


def _reason(error: Exception) -> str:
    """Return OpenSSL's own words where it has some, as in `: key values mismatch`."""
    reason = getattr(error, "reason", None)
    return f": {reason.lower().replace('_', ' ')}" if reason else ""


def _stamp(file: Path) -> object:
    """Return what changes when a file does, through links too: Kubernetes swaps one to renew a mounted Secret."""
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns)
