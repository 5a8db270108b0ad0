"""What a stranger can make the server do.

Anybody who reaches the port may ask, and each request costs us something before we know whose it is.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import bcrypt
import pytest

from exporter.http.auth import WAITING
from tests.bench import waiting
from tests.field.record import case
from tests.web_server import PASSWORD, authorization, get, serving, write

CLIENTS = 60
CREDENTIALS = f"prometheus:{PASSWORD}"


def hashed(cost: int, password: str = PASSWORD) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


@contextmanager
def guessing(port: int, number: int, addresses: int = 1) -> Iterator[list[socket.socket]]:
    """So many clients that have each sent a wrong password of their own, and wait for what comes of it."""
    with ExitStack() as stack:
        sources = [(f"127.0.1.{1 + each % addresses}", 0) for each in range(number)]
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 60, source_address=source))
            for source in sources
        ]
        for each, client in enumerate(clients):
            header = authorization(f"prometheus:{each}")["Authorization"]
            client.sendall(f"GET / HTTP/1.1\r\nHost: here\r\nAuthorization: {header}\r\n\r\n".encode())
        yield clients


def answered(clients: list[socket.socket]) -> list[int]:
    """The statuses of the answers that are there."""
    statuses = []
    for client in clients:
        client.setblocking(False)  # noqa: FBT003
        with suppress(BlockingIOError):
            statuses.append(int(client.recv(100, socket.MSG_PEEK).split(b" ")[1]))
        client.setblocking(True)  # noqa: FBT003
    return statuses


@case(
    "E2",
    situation="60 clients send wrong passwords at once.",
    says="A scrape is answered before all but a few of them, also one whose password was not checked yet; clients "
    "beyond 32 that wait are answered with 429.",
    found_by="reader",
)
@pytest.mark.parametrize("known", [True, False], ids=["scraped before", "the first scrape"])
@pytest.mark.thorough
def test_wrong_passwords_do_not_stand_before_a_right_one(tmp_path: Path, *, known: bool) -> None:
    with serving(write(tmp_path, basic_auth_users={"prometheus": hashed(10)})) as port:
        if known:
            assert get(port, credentials=CREDENTIALS).status == 200
        with guessing(port, CLIENTS) as clients:
            waiting.until("all of them to be heard", lambda: answered(clients).count(429) >= CLIENTS - WAITING - 1)
            before = answered(clients).count(401)
            assert get(port, credentials=CREDENTIALS).status == 200
            assert answered(clients).count(401) - before <= 3
            waiting.until("all to be answered", lambda: len(answered(clients)) == CLIENTS, 60)
            assert set(answered(clients)) == {401, 429}


@pytest.mark.field_case("E2")
@pytest.mark.thorough
def test_more_clients_that_guess_than_there_is_room_for_keep_nobody_out(tmp_path: Path) -> None:
    """None of those that wait for bcrypt can be told to go, so few may wait."""
    with (
        serving(write(tmp_path, basic_auth_users={"prometheus": hashed(10)})) as port,
        guessing(port, 250),
        guessing(port, 250),
    ):
        assert get(port, credentials=CREDENTIALS).status == 200


@pytest.mark.field_case("E2")
@pytest.mark.thorough
def test_a_client_of_another_address_does_not_wait_for_those_of_one(tmp_path: Path) -> None:
    """Who sends more than can be checked stands in his own way: a scraper comes from an address of its own."""
    with (
        serving(write(tmp_path, basic_auth_users={"prometheus": hashed(10)})) as port,
        guessing(port, CLIENTS) as crowd,
    ):
        waiting.until("all of them to be heard", lambda: answered(crowd).count(429) >= CLIENTS - WAITING - 1)
        with socket.create_connection(("127.0.0.1", port), 60, source_address=("127.0.0.2", 0)) as scraper:
            header = authorization(CREDENTIALS)["Authorization"]
            scraper.sendall(f"GET / HTTP/1.1\r\nHost: here\r\nAuthorization: {header}\r\n\r\n".encode())
            with guessing(port, CLIENTS):  # newer than the scraper
                before = answered(crowd).count(401)
                assert scraper.recv(100).startswith(b"HTTP/1.1 200 ")
                assert answered(crowd).count(401) - before <= 3


@pytest.mark.field_case("E2")
@pytest.mark.thorough
def test_clients_of_many_addresses_that_guess_are_bounded_as_those_of_one(tmp_path: Path) -> None:
    with (
        serving(write(tmp_path, basic_auth_users={"prometheus": hashed(8)})) as port,
        guessing(port, CLIENTS, addresses=CLIENTS) as clients,
    ):
        waiting.until("all to be answered", lambda: len(answered(clients)) == CLIENTS, 60)
        assert answered(clients).count(429) >= CLIENTS - WAITING - 20
        assert get(port, credentials=CREDENTIALS).status == 200


@pytest.mark.field_case("E2")
def test_the_passwords_of_clients_that_went_are_not_checked(tmp_path: Path) -> None:
    """Else it would be enough to send them."""
    with serving(write(tmp_path, basic_auth_users={"prometheus": hashed(10)})) as port:
        began = time.process_time()
        refusal(port, "prometheus", 0)
        one = time.process_time() - began
        with guessing(port, WAITING) as clients:
            waiting.until("the first to be answered", lambda: answered(clients) == [401])
            began = time.process_time()
        assert get(port, credentials=CREDENTIALS).status == 200
        assert time.process_time() - began < 8 * one


@case(
    "E4",
    situation="Somebody tries user names and looks at how long each refusal takes; the users' hashes differ in cost.",
    says="It takes as long for each name, whether there is such a user or not.",
    found_by="reader",
)
@pytest.mark.thorough
def test_a_refusal_takes_as_long_for_every_name(tmp_path: Path) -> None:
    """In processor time, of which bcrypt's cost doubles what it takes: 64 times as much for 10 as for 4."""
    users = {"cheap": hashed(4), "prometheus": hashed(10), "middle": hashed(7)}
    with serving(write(tmp_path, basic_auth_users=users)) as port:
        taken = {name: min(refusal(port, name, attempt) for attempt in range(3)) for name in (*users, "nobody", "")}
    assert max(taken.values()) < 2 * min(taken.values()), taken


def refusal(port: int, name: str, attempt: int) -> float:
    """Seconds of processor that a wrong password of a user takes."""
    began = time.process_time()
    assert get(port, credentials=f"{name}:wrong {attempt}").status == 401
    return time.process_time() - began


@pytest.mark.field_case("E4")
@pytest.mark.parametrize("credentials", ["cheap:cheap", f"prometheus:{PASSWORD}"])
def test_users_of_unequal_costs_come_in_by_their_own_passwords_only(credentials: str, tmp_path: Path) -> None:
    users = {"cheap": hashed(4, "cheap"), "prometheus": hashed(6)}
    with serving(write(tmp_path, basic_auth_users=users)) as port:
        assert get(port, credentials=credentials).status == 200
        for wrong in (
            f"{credentials}x",
            "cheap:\0",
            f"cheap:{PASSWORD}",
            "prometheus:cheap",
            "nobody:cheap",
            "nobody:",
        ):
            assert get(port, credentials=wrong).status == 401
