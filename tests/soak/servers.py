"""Servers of pods that were restarted: each presents what it loaded at its start, as the daemons do that we watch."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.bench import network, parts, waiting
from tests.pki import Issued


@dataclass
class Servers:
    """Processes, each with the numbers of the certificates that it serves; one that serves none any more is ended."""

    directory: Path
    authorities: Mapping[int, bytes]
    """The CA of each certificate, PEM."""
    _serving: list[tuple[subprocess.Popen[bytes], set[int]]] = field(default_factory=list)

    def restart(self, loaded: Mapping[int, Issued]) -> Mapping[int, int]:
        """Start servers again with what they load now; return the port of each."""
        process, ports = waiting.until("servers at free ports", partial(self._start, loaded), 60)
        for _, numbers in self._serving:
            numbers.difference_update(loaded)
        self._serving.append((process, set(loaded)))
        self._end([it for it in self._serving if not it[1]])
        return ports

    def end(self) -> None:
        """End all of them."""
        self._end([*self._serving])

    def _start(self, loaded: Mapping[int, Issued]) -> tuple[subprocess.Popen[bytes], Mapping[int, int]] | None:
        """Start servers at ports that are free; None if they are not any more, since somebody else was faster."""
        first = network.free_ports_in_a_row(len(loaded))
        ports = dict(zip(loaded, range(first, first + len(loaded)), strict=True))
        said = self.directory / f"servers-{first}.log"
        with said.open("wb") as log:
            process = subprocess.Popen(
                [str(parts.binary("tlsserve")), *(f"{ports[it]}:any:{self._folder(it, loaded[it])}" for it in loaded)],
                stderr=log,
            )

        def serves_or_ended() -> bool:
            return process.poll() is not None or said.read_text().count("serving on ") == len(ports)

        try:
            waiting.until("all ports to be served", serves_or_ended, 60)
        except waiting.TooLateError:
            process.kill()
            raise
        return None if process.poll() is not None else (process, ports)

    def _folder(self, number: int, issued: Issued) -> Path:
        folder = self.directory / "restarted" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        issued.write(folder)
        (folder / "ca.crt").write_bytes(self.authorities[number])
        return folder

    def _end(self, serving: list[tuple[subprocess.Popen[bytes], set[int]]]) -> None:
        for process, _ in serving:
            process.kill()
            process.wait()
        self._serving = [it for it in self._serving if it not in serving]


@contextmanager
def servers(directory: Path, authorities: Mapping[int, bytes]) -> Iterator[Servers]:
    """Give servers that end with the block."""
    all_of_them = Servers(directory, authorities)
    try:
        yield all_of_them
    finally:
        all_of_them.end()
