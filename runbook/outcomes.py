"""How a run can end, and the exit code that says so. Pure: the words and one table.

The codes are part of the public contract: scripts and alerts are written against them.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """How a command of the runbook ended; also the `outcome` of a run in its record."""

    DONE = "done"
    DRY_RUN = "dry_run"
    NOTHING_TO_DO = "nothing_to_do"
    ABORTED = "aborted"
    UNEXPECTED = "unexpected"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    DENIED = "denied"
    LOCKED = "locked"
    DRAIN_TIMED_OUT = "drain_timed_out"
    RESTART_FAILED = "restart_failed"
    RESTORE_INCOMPLETE = "restore_incomplete"
    OLD_CERTIFICATE = "old_certificate"
    CONTESTED = "contested"
    NOT_VERIFIED = "not_verified"
    NOT_BEGUN = "not_begun"
    INTERRUPTED = "interrupted"


EXIT_CODES = {
    Outcome.DONE: 0,
    Outcome.DRY_RUN: 0,
    Outcome.NOTHING_TO_DO: 0,
    Outcome.ABORTED: 0,
    Outcome.UNEXPECTED: 1,
    Outcome.NOT_BEGUN: 1,
    Outcome.REFUSED: 3,
    Outcome.CANCELLED: 3,
    Outcome.DENIED: 3,
    Outcome.LOCKED: 4,
    Outcome.DRAIN_TIMED_OUT: 5,
    Outcome.RESTART_FAILED: 6,
    Outcome.RESTORE_INCOMPLETE: 7,
    Outcome.OLD_CERTIFICATE: 8,
    Outcome.CONTESTED: 9,
    Outcome.NOT_VERIFIED: 10,
    Outcome.INTERRUPTED: 130,
}
"""2, for wrong usage, is click's own."""

CODES = {
    0: "done, aborted as asked, or nothing to do",
    1: "unexpected: the message says how far it came",
    3: "refused or cancelled, nothing was changed; or the API server denied a write, workers restored",
    4: "another run holds the lock",
    5: "the workers did not finish in time: not restarted, workers restored",
    6: "the restart did not succeed: workers left at 0, see the record",
    7: "workers not fully restored",
    8: "the old certificate is still served after a second restart: workers restored",
    9: "somebody else changed what the run works on",
    10: "restarted, not verified: workers restored",
    130: "interrupted",
}
"""What each exit code means, in the help of a command."""

MEANINGS = {
    Outcome.DONE: "restarted, verified, workers back",
    Outcome.DRY_RUN: "dry run: nothing was changed",
    Outcome.NOTHING_TO_DO: "nothing to do",
    Outcome.ABORTED: "aborted, workers back",
    Outcome.UNEXPECTED: "an error that is not expected; the record says how far it came",
    Outcome.REFUSED: "refused, nothing was changed",
    Outcome.CANCELLED: "cancelled, nothing was changed",
    Outcome.DENIED: "the API server refuses a write of the run: stopped, workers restored",
    Outcome.LOCKED: "another run holds the lock",
    Outcome.DRAIN_TIMED_OUT: "the workers did not finish in time: not restarted, workers put back",
    Outcome.RESTART_FAILED: "the restart did not succeed: workers left drained under the record",
    Outcome.RESTORE_INCOMPLETE: "workers not fully put back",
    Outcome.OLD_CERTIFICATE: "the old certificate is presented after one more restart: workers put back",
    Outcome.CONTESTED: "somebody else changed what this run works on",
    Outcome.NOT_VERIFIED: "restarted, not verified: workers restored",
    Outcome.NOT_BEGUN: "the Job in the cluster has no pod that runs",
    Outcome.INTERRUPTED: "interrupted",
}
