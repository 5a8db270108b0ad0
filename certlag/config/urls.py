"""URLs that people write, and of which a password may be part: nobody repeats one before it was read here. Pure."""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit


def http_url(text: str) -> SplitResult | None:
    """Read the http:// or https:// URL of a host, perhaps with a path; None if it is none.

    Where a password has a slash that is not quoted, its rest is taken for the path: such a URL is none.
    """
    try:
        url = urlsplit(text)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # brackets that do not fit, or a port that is none
        return None
    return url if valid and not (url.query or url.fragment or "@" in url.path) else None


def has_credentials(url: SplitResult) -> bool:
    """Tell whether there is a user or a password, which no request of ours would send."""
    return "@" in url.netloc


def without_credentials(url: SplitResult) -> str:
    """Return it as it may be shown."""
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()


def is_private(url: SplitResult) -> bool:
    """Tell whether nobody on the way reads what is sent there: it is encrypted, or does not leave this machine."""
    try:
        return url.scheme == "https" or url.hostname == "localhost" or ip_address(str(url.hostname)).is_loopback
    except ValueError:  # a name
        return False
