"""The answer of `check-…` on one screen: what was issued, what each pod presents, until when, what to do. Pure."""

from collections.abc import Iterable

from rich.text import Text

from certlag.assessment import Assessment, Verdict, WindowState
from certlag.model import Issued
from runbook.check.advice import CheckReport, advise
from runbook.check.status import PodStatus
from runbook.guard.record import Run
from runbook.kube.views import reference
from runbook.outcomes import MEANINGS
from runbook.report.layout import Cell, Command, Form, Part, cell, item, pairs, section, table, title
from runbook.report.text.pods import STYLES
from runbook.report.wording import EVIDENCE, REASONS, STATES, STEPS, distance, instant, moment, sentence, visible

STATE_STYLES = {
    WindowState.SETTLED: ("done", "good"),
    WindowState.NEEDS_RESTART: ("warning", "warning"),
    WindowState.RENEWAL_DUE: ("warning", "warning"),
    WindowState.UNKNOWN: ("warning", "warning"),
    WindowState.EXPIRED: ("bad", "bad"),
}
"""The sign and the style of each state."""
NO_PODS = "no pod runs; those that start later load the issued certificate"


def check_parts(answer: CheckReport, form: Form) -> list[Part]:
    """Show the whole answer."""
    target = answer.assessment.target
    head = Text.assemble((target.name, "title"), f"  {reference(target.workload)} in {target.workload.namespace}")
    parts: list[Part] = [title(head), _state(answer, form), pairs(_facts(answer))]
    for assessment, _ in answer.status.uses:
        parts += [*section(f"Issued: Certificate {visible(assessment.key.name)}"), pairs(_issued(answer, assessment))]
    if answer.status.pods:
        parts += [*section("What each pod presents"), _pods(answer, form)]
    advice = advise(answer)
    parts += [*section("What to do"), item(form.signs.arrow, advice.text)]
    return [*parts, *(Command(visible(command)) for command in advice.commands)]


def _state(answer: CheckReport, form: Form) -> Part:
    state = answer.status.state
    if (missing := answer.assessment.missing_text) is not None:
        return item(form.signs.warning, cell(sentence(missing), "warning"), "warning", indent=0)
    if state is None:
        return item(form.signs.warning, Text("Nothing to assess", style="warning"), "warning", indent=0)
    sign, style = STATE_STYLES[state]
    words = NO_PODS if state is WindowState.SETTLED and not answer.status.pods else STATES[state]
    return item(getattr(form.signs, sign), Text(sentence(words), style=style), style, indent=0)


def _facts(answer: CheckReport) -> Iterable[tuple[str, Cell]]:
    status = answer.status
    if status.deadline is not None:
        passed = status.deadline <= status.at
        words = f"{distance(status.deadline, status.at)}, {instant(status.deadline)}"
        yield "deadline", cell(words, "bad" if passed else "title")
    if any(use.issuer_changed for _, use in status.uses):
        yield "issuer", cell("changed: what is presented is not signed by the CA that signs new ones", "bad")
    elif status.uses and all(use.issuer_changed is False for _, use in status.uses):
        yield "issuer", "unchanged"
    if answer.run is not None:
        yield "run", _run(answer.run)


def _run(run: Run) -> Text:
    who = f"{run.operator.user} on {run.operator.host}"
    text = cell(f"{run.id} by {who}, since {moment(run.begun)}: {STEPS[run.step]}")
    if run.ended is not None:
        text.append_text(cell(f"; stopped: {MEANINGS[run.ended]}", "bad"))
    return text


def _issued(answer: CheckReport, assessment: Assessment) -> Iterable[tuple[str, Cell]]:
    certificate, issued, now = assessment.certificate, assessment.issued, answer.status.at
    if certificate is None:
        yield "certificate", cell("does not exist", "bad")
        return
    if issued is None:
        yield "certificate", cell("was never issued", "warning")
        return
    yield from _identity(issued)
    if certificate.revision is not None:
        yield "revision", str(certificate.revision)
    yield "not before", f"{instant(issued.not_before)}, {distance(issued.not_before, now)}"
    yield "not after", f"{instant(issued.not_after)}, {distance(issued.not_after, now)}"
    if certificate.renewal_at is not None:
        yield "renewal", f"{instant(certificate.renewal_at)}, {distance(certificate.renewal_at, now)}"
    yield "known", EVIDENCE[issued.evidence]


def _identity(issued: Issued) -> Iterable[tuple[str, Cell]]:
    if issued.chain is not None:
        yield "fingerprint", issued.chain.leaf.fingerprint_sha256
        yield "serial", issued.chain.leaf.serial_number


def _pods(answer: CheckReport, form: Form) -> Part:
    rows = [
        (
            cell(pod.name),
            cell(pod.verdict, STYLES.get(pod.verdict, "")),
            cell("" if pod.fingerprint is None else pod.fingerprint[:16]),
            cell("" if pod.not_after is None else instant(pod.not_after)),
            cell(_reason(pod)),
        )
        for pod in answer.status.pods
    ]
    return table(("pod", "verdict", "fingerprint", "until", "reason"), rows, form)


def _reason(pod: PodStatus) -> str:
    reason = REASONS[pod.reason]
    return f"{reason} ({pod.failure})" if pod.failure and pod.verdict is not Verdict.CURRENT else reason
