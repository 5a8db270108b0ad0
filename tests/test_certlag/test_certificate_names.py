"""Names of certificates: which one a handshake asks for, and in which form."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlag.tls.handshake import Handshake
from certlag.x509.names import MAX_HOST_NAME, host_name, server_name
from tests.forged_tls import ClientHello

SERVER_NAME = 0


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("svc.example", "svc.example"),
        ("Svc.EXAMPLE", "svc.example"),
        ("svc.example.", "svc.example"),
        ("localhost", "localhost"),
        ("under_score.example", "under_score.example"),
        ("3com.example", "3com.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        (".".join(["a" * 49] * 5) + ".bcd", ".".join(["a" * 49] * 5) + ".bcd"),
    ],
)
def test_a_host_name_is_sent_in_its_usual_form(name: str, sent: str) -> None:
    assert host_name(name) == sent


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        ".example",
        "a..example",
        "a" * 64 + ".example",
        ".".join(["a" * 49] * 5) + ".bcde",
        "ü" * 60 + ".example",
        "-a.example",
        "a-.example",
        "*.example",
        "a name",
        "spiffe://cluster/svc",
        "admin@svc.example",
        "svc.example:443",
        "10.0.0.1",
        "10.0.0.1.",
        "1.2.3",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "a\0b",
    ],
)
def test_what_is_no_host_name_is_never_sent(name: str) -> None:
    assert host_name(name) is None


@pytest.mark.parametrize(
    ("names", "sent"),
    [
        ([], None),
        (["a.example", "b.example"], "a.example"),
        (["*.example", "b.example"], "b.example"),
        (["*.example"], "certlag.example"),
        (["*.Example."], "certlag.example"),
        (["*.one.example", "*.two.example"], "certlag.one.example"),
        (["*.bücher.example"], "certlag.xn--bcher-kva.example"),
        (["10.0.0.1", "*.example"], "certlag.example"),
        (["a name", "a.example"], "a.example"),
        (["10.0.0.1", "::1"], None),
        (["*"], None),
        (["*."], None),
        (["*.*.example"], None),
        (["a.*.example"], None),
        (["f*.example"], None),
    ],
)
def test_the_first_name_counts_and_wildcards_only_where_there_is_no_other(
    names: Sequence[str], sent: str | None
) -> None:
    assert server_name(names) == sent


@given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9*._ü-]{0,80}", fullmatch=True))
def test_every_chosen_name_is_sent_as_it_is_and_no_other_name_is(name: str) -> None:
    chosen = server_name([name])
    extension = dict(ClientHello.of(Handshake(chosen).to_send()).extensions).get(SERVER_NAME)
    assert (extension is None) == (chosen is None)
    if chosen is not None:
        assert extension is not None
        assert extension[5:].decode("ascii") == chosen == chosen.lower()
        assert len(chosen) <= MAX_HOST_NAME
        assert host_name(chosen) == chosen
