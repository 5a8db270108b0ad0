"""The faults that certlag is built against: what happens, and what is promised then. Tests name them by number.

A test shows a fault by `@pytest.mark.fault("F7")`, or by its name where that begins with the case of a run, as in
`test_r11_…`. docs/reliability.md is the table of both, and lists what no test shows. A number that is promised is the
constant that keeps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from certlag.kube.client import READ_TIMEOUT
from certlag.kube.decode import MAX_PROBE_PORTS
from certlag.kube.paging import MAX_PAGE
from certlag.kube.reflector import RELIST_AFTER, RETRY_AFTER_MOST
from certlag.kube.transport import ANSWER_TIMEOUT
from certlag.limits import MAX_NAME
from certlag.tls.handshake import MAX_BYTES, TIMEOUT
from certlag.x509.certificates import MAX_CHAIN
from exporter.http.server import MAX_HEADERS, REQUEST_SECONDS


@dataclass(frozen=True)
class Fault:
    """One fault. Its number begins with the letter of its chapter and is never given to another."""

    number: str
    happens: str
    promised: str


@dataclass(frozen=True)
class Chapter:
    """Faults of one kind."""

    title: str
    faults: Sequence[Fault]


CHAPTERS = (
    Chapter(
        "The API server and the way to it",
        (
            Fault("F1", "it is killed between two pages of a list", "half a list is never believed"),
            Fault("F2", "it is killed while it is watched", "verdicts stay, the watch goes on where it was"),
            Fault(
                "F3",
                "429, with and without Retry-After",
                f"waits as asked, at most {RETRY_AFTER_MOST:g} s; lists nothing again",
            ),
            Fault("F4", "a storm of 5xx, 429, 410 or 401", "less than one request a second from each watch"),
            Fault("F5", "410, as an answer and within a stream", "lists again after a wait; out of step until it has"),
            Fault("F6", "410 between two pages of a list", "the list is begun again"),
            Fault(
                "F7",
                "a connection that is open and says nothing",
                f"no contact; cut after {READ_TIMEOUT:g} s; goes on where it was",
            ),
            Fault("F8", "a line of a watch that breaks off", "the whole lines before it count, it does not"),
            Fault("F9", "200 with a page of HTML, from a proxy", "garbled: asked for again, nothing believed"),
            Fault("F10", "a stream cut into pieces at every byte", "the same changes"),
            Fault("F11", "changes of several objects, twice, out of order or of unknown kinds", "the same end"),
            Fault("F12", "an object deleted while nobody watched", "gone with the next list"),
            Fault(
                "F13",
                "resource versions that go backwards: etcd was restored",
                f"taken as they come; a list within {RELIST_AFTER[1] / 60:g} min shows the rest",
            ),
            Fault("F14", "a token that is rotated, gone or empty", "read again at once; else unauthorized, and waits"),
            Fault("F15", "rights withdrawn and given back", "verdicts stay and the watch tells; goes on by itself"),
            Fault("F16", "cert-manager's resources are not installed yet", "waits for them; goes on by itself"),
            Fault("F17", "the API server's own authority is replaced", "unreachable until the new one is in the file"),
            Fault("F18", "objects with missing, null or wrongly typed fields", "skipped, counted, last good one kept"),
            Fault("F19", "thousands of objects change in one burst", "all of them are assessed; memory stays bounded"),
            Fault("N1", "its name is never resolved", "unreachable, and asked for again"),
            Fault("N2", "etcd is killed", "verdicts stay, goes on by itself"),
            Fault("N3", "faults by chance, one upon the other", "the gauges are true, and at the end all is well"),
            Fault(
                "N9",
                "objects so fat that a page of them would fill the memory",
                f"{MAX_PAGE >> 20} MiB of a page are read, then half as many are asked for; one too fat alone is told",
            ),
            Fault("N10", "an answer that drips, no byte of it late", f"given up after {ANSWER_TIMEOUT:g} s"),
            Fault(
                "N11",
                "idle connections are cut before the first bookmark, or no bookmarks come",
                "contact anyway: an earlier end is asked for, before which a bookmark comes",
            ),
        ),
    ),
    Chapter(
        "Time and the machine",
        (
            Fault("F20", "the clock jumps by hours or weeks, and back", "timers go on; no verdict but by true dates"),
            Fault("F21", "not-after in the past, in the year 9999 or missing", "exact, or absent; never 0"),
            Fault("F22", "a process is suspended for hours", "goes on from where it was, with fresh eyes"),
            Fault("N4", "no descriptor is left", "a failed probe with its reason; verdicts stay; goes on by itself"),
            Fault("N5", "the disk is full", "in a pod nothing is written to it: its root is read-only"),
            Fault("N6", "a reader of the output that has gone away", "the run goes on, the exit code stands"),
            Fault("N7", "no memory is left", "ends at once and says why, rather than live on half blind"),
            Fault("N8", "the container runtime or the kubelet is killed", "verdicts stay, renewals are seen anyway"),
        ),
    ),
    Chapter(
        "Handshakes",
        (
            Fault("F23", "servers of one version of TLS only, from 1.0 to 1.3", "each is read"),
            Fault("F24", "no application protocol in common", "asked once more, without any; else a failed probe"),
            Fault(
                "F25",
                "silence, drip, reset, other protocols, floods",
                f"one deadline of {TIMEOUT:g} s, {MAX_BYTES >> 10} KiB, a reason each",
            ),
            Fault("F26", "a certificate without proof of its key", "never believed"),
            Fault("F27", "a flight that comes byte by byte", "believed at its last byte and not before"),
            Fault("F28", "the address goes to another pod meanwhile", "the answer is thrown away"),
            Fault("F29", "a thousand black holes", "the living are asked in time; no thread or descriptor is lost"),
            Fault("F30", "a renewal between list and handshake", "newer than issued: no restart is asked for"),
        ),
    ),
    Chapter(
        "The exporter's own server",
        (
            Fault("F31", "500 slow, half and idle connections", "scrapes go on"),
            Fault(
                "F32",
                "clients that connect and never begin TLS",
                f"scrapes go on; they are cut off after {REQUEST_SECONDS:g} s",
            ),
            Fault("F33", "50 scrapes at once of 50,000 samples", "each gets the whole text"),
            Fault(
                "F34",
                f"malformed headers and requests, or more than {MAX_HEADERS >> 10} KiB of them",
                "refused, or answered as if the header were not there",
            ),
            Fault("F35", "the end of the process within a scrape", "it ends, and leaves nothing open"),
            Fault(
                "F36",
                "a web configuration that is rotated or half written",
                "the last good one stands; none that lets more people in",
            ),
        ),
    ),
    Chapter(
        "Hostile objects, peers and records",
        (
            Fault("H1", "markup, quotes, line ends in names", "the exposition is read back as it was meant"),
            Fault("H2", "markup and script in names", "text on the page, never run"),
            Fault("H3", "escape sequences in names and messages", "printable and on one line on a terminal"),
            Fault("H4", "line ends and escape sequences in what is logged", "one line of printable text each"),
            Fault("H5", "DER and PEM of any form", "read, or refused in one way"),
            Fault("H6", "a forged or edited record", "no run scales or restarts what is not configured"),
            Fault("H7", "a forged or edited Lease", "no write without our own fence"),
            Fault(
                "H8",
                "names and numbers of 64 KiB, a hundred certificates, all ports there are",
                f"{MAX_NAME} characters, {MAX_CHAIN} certificates, {MAX_PROBE_PORTS} ports count; the rest is cut",
            ),
        ),
    ),
    Chapter(
        "Rights and secrets",
        (
            Fault("P1", "the exporter's token is in somebody else's hands", "it reads what is public, and no Secret"),
            Fault(
                "P2",
                "so is the token of who may restart",
                "no write to another workload, record or Lease, no Secret; Events and port-forwards in the namespace",
            ),
            Fault("P3", "a run, a refusal, a failure with credentials", "none is in logs, record, Events or pages"),
            Fault("P4", "a password where none belongs, in file or URL", "refused, told by its place, not repeated"),
            Fault("P5", "a dependency of another content", "not installed: every one is compared with its hash"),
        ),
    ),
    Chapter(
        "The command line, in general",
        (
            Fault("F37", "kill -9 after any step", "resume reaches the same end"),
            Fault("F38", "two runs at once", "one acts"),
            Fault("F39", "replicas edited meanwhile, by an HPA or GitOps", "contested, or refused beforehand"),
            Fault("F40", "a rollout that is stuck", "reported as stalled; the workers stay drained at the deadline"),
            Fault("F41", "the API server is lost in the middle", "waited out; never taken for no pods"),
            Fault("F42", "putting back fails", "7, which workers and why; the record is kept, the command is printed"),
        ),
    ),
    Chapter(
        "The cases of a run",
        (
            Fault("R1", "every count is 0, and a pod is still ending", "not drained"),
            Fault("R2", "a worker that matches nothing", "refused"),
            Fault("R3", "a pod that was created after the first look", "waited for too"),
            Fault("R4", "an evicted pod that was left behind", "does not hold the drain"),
            Fault("R5", "a pod of a dead node", "never counted as gone, never deleted; 5 at the timeout"),
            Fault("R6", "a grace too long or the default; a worker that was killed", "refused; lost work is told"),
            Fault("R7", "403, 5xx and timeouts in the drain", "waits on; never no pods"),
            Fault("R8", "a token that runs out", "fetched again, or refused beforehand"),
            Fault("R9", "a watch that ends early", "made up for by consistent lists"),
            Fault("R10", "a second run over an unfinished one", "never records 0, never overwrites; offers to resume"),
            Fault("R11", "SIGKILL, suspend and Ctrl-C around each write", "resume ends the same"),
            Fault("R12", "two operators at once", "one acts; the other names it, 4"),
            Fault("R13", "an old holder wakes up after a take-over", "its next write is refused"),
            Fault("R14", "a HorizontalPodAutoscaler", "rests at 0; one that scales from 0 is refused"),
            Fault("R15", "KEDA", "paused at no number and seen to be, restored last; refused before 2.11"),
            Fault("R16", "Argo CD and Flux", "refused if seen, contested if not"),
            Fault("R17", "the restart is reverted", "contested, 9"),
            Fault("R18", "available without a new pod", "not rolled out"),
            Fault("R19", "a progress deadline before ours", "stalled; waits until our own"),
            Fault("R20", "two restarts in one second; a paused Deployment", "told apart; refused"),
            Fault("R21", "a volume that one node may use", "warned of beforehand"),
            Fault("R22", "the new pod read the old Secret", "one more restart while drained; then 8, workers put back"),
            Fault("R23", "TLS 1.2 with client certificates", "verified anyway"),
            Fault("R24", "PodDisruptionBudgets protect nothing here", "the plan says so"),
            Fault("R25", "timeouts of drain and restart", "5, put back; 6, left drained under the record"),
            Fault("R26", "long silence; no terminal", "each pod is told; asks for --yes, 2"),
            Fault("R27", "partition, OnDelete, DaemonSet, Job", "refused; refused; done; refused"),
            Fault("R28", "the operator's clock is an hour off", "the API server's time is used; warned"),
        ),
    ),
    Chapter(
        "Chance and time",
        (
            Fault("F43", "an hour of faults by chance", "memory, descriptors and threads are flat"),
            Fault("F44", "whatever a fuzzer thinks of", "read, or refused in one way"),
        ),
    ),
)
FAULTS = {fault.number: fault for chapter in CHAPTERS for fault in chapter.faults}
