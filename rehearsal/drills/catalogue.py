"""The drills, as one table: `none` first, then in the order in which a run could meet them. Pure data.

What they promise (exit codes, and that all workers run at their end) is tested one by one.
"""

import signal
from datetime import timedelta

from rehearsal.drills import actions
from rehearsal.drills.drill import Deed, Drill, Elsewhere, Moment, Strike, Typed
from rehearsal.drills.scene import SERVICE, WORKER, Scene

RESTART = "runbook restart-build-service"
RESUME = "runbook resume-build-service"
ABORT = "runbook abort-build-service"
CHECK = "runbook check-build-service"

FORCE = f"kubectl delete pod --force --grace-period=0 -l app={WORKER} --field-selector status.phase=Running"


def _draining(minutes: float, does: Deed) -> Strike:
    return Strike(Moment.DRAINING, timedelta(minutes=minutes), does)


def _again(why: str) -> Typed:
    return Typed(RESTART, 0, why)


DRILLS = (
    Drill(
        "none",
        "how a run looks when nothing goes wrong, and how long each step takes",
        "Nothing goes wrong.",
        (
            Typed(CHECK, 1, "First look: is a restart needed, and by when?"),
            Typed(RESTART, 0, "Read the plan and its preconditions, then say yes."),
            Typed(CHECK, 0, "Look again: every pod presents the issued certificate."),
        ),
        (
            "The deadline in the first answer: how many nights there are left.",
            "The drain: it takes as long as the longest change that is being worked on.",
        ),
    ),
    Drill(
        "short-grace",
        "why a drain is refused whose workers have 30 seconds to finish, and what accepting that costs",
        "Somebody has removed the workers' terminationGracePeriodSeconds, so they have the default of 30 seconds.",
        (
            Typed(RESTART, 3, "It is refused before anything is changed: a change that takes longer would be killed."),
            Typed(f"{RESTART} --accept-grace", 0, "Accepted: watch which pods are killed in the middle of a change."),
        ),
        (
            "Which precondition is refused, and the option that its line names.",
            "The warnings during the drain: each names a pod that was killed, and so a change to be run again.",
            "Better than accepting: set the grace period to what a change may take, and let that roll out first.",
        ),
        before=actions.set_default_grace,
    ),
    Drill(
        "autoscaler",
        "why a drain is refused while KEDA would scale the workers straight up again, and how to pause it",
        "The workers have a ScaledObject with minReplicaCount 3: KEDA scales them up within seconds.",
        (
            Typed(RESTART, 3, "It is refused before anything is changed."),
            Typed(f"{RESTART} --pause-controllers", 0, "KEDA is paused for the run, and unpaused at its end."),
        ),
        (
            "The plan names anyone else who writes to the workers: autoscalers, Argo CD, Flux, owners.",
            "A HorizontalPodAutoscaler with minReplicas 1 or more rests while its workload is at 0: that one passes.",
        ),
        before=actions.add_autoscaler,
    ),
    Drill(
        "unfinished-rollout",
        "why a drain is refused whose workers would not come back: a rollout that never finished",
        "Somebody has deployed workers that crash: the new pod never got ready, so the three old ones still work.",
        (
            Typed(RESTART, 3, "It is refused: scaled to 0 and back, all three would come from the broken template."),
            Elsewhere(
                f"kubectl rollout undo deployment/{WORKER}",
                "Finish that rollout, or undo it, as the refusal says.",
                actions.undo_broken_workers,
            ),
            _again("The workers' template is again the one that their pods are of."),
        ),
        (
            "The counts and the controller's reason in the refusal, and the option that accepts them.",
            "The target is looked at too: a StatefulSet is not updated past a pod that is not ready.",
        ),
        before=actions.deploy_broken_workers,
    ),
    Drill(
        "denied",
        "that what a policy denies is found out before the drain: no worker is touched",
        "Since Friday a ValidatingAdmissionPolicy denies every change of a pod template: a change freeze.",
        (
            Typed(RESTART, 3, "It is refused with the policy's message, before anything is changed."),
            Elsewhere(
                f"kubectl delete validatingadmissionpolicybinding {actions.FREEZE}",
                "Ask the owner of the policy that the message names.",
                actions.end_freeze,
            ),
            _again("Every write of the run is accepted as a dry run."),
        ),
        (
            "The write that is denied, the policy and its message, as the API server said them.",
            "Every write of a run is sent as a dry run first; --dry-run does only that, so it can be tried by day.",
            "If it is denied after the drain anyway, the run stops at once and restores the workers: exit code 3.",
        ),
        before=actions.freeze_templates,
    ),
    Drill(
        "locked",
        "what it looks like when a colleague is restarting the same service",
        "Maria has begun the same restart from her laptop; her run holds the lock.",
        (
            Typed(RESTART, 4, "Two runs never change the same workloads; it says who holds the lock."),
            Elsewhere("ask Maria", "She has stopped her run, and so released the lock.", actions.release_lock),
            _again("The lock is free."),
        ),
        (
            "The holder in the message: user@host. Ask that person first.",
            "--take-over takes over the lock if its holder has not renewed it for 60 seconds.",
        ),
        before=actions.hold_lock,
    ),
    Drill(
        "stuck-worker",
        "what happens when a worker pod never ends: after an hour the workers are put back, nothing is restarted",
        "A minute into the drain the container runtime can't get rid of one worker's container.",
        (
            Typed(RESTART, 5, "It waits until its timeout, then puts the workers back; the old certificate stays."),
            Elsewhere(
                FORCE,
                "Only once the container is surely gone on its node: a pod deleted by force may work on, unseen.",
                lambda scene: scene.remove_ending_pods(WORKER),
            ),
            _again("Nothing stands in the way of the drain any more."),
        ),
        (
            "The pod that is still Terminating, its node, and by when its grace period is over.",
            "What runs in it: a change that takes long is a reason to wait (--drain-timeout), a dead runtime is not.",
            "The deadline: a failed night costs a day of the restart window, not the builds.",
        ),
        strikes=(_draining(1, actions.stick_one_worker),),
    ),
    Drill(
        "killed",
        "that a run outlives its process: kill -9 in the middle of the drain, and resume",
        "A minute into the drain the process is killed by kill -9, as by an out-of-memory killer or a lost laptop.",
        (
            Typed(RESTART, 137, "It says nothing at its end: nothing could."),
            Typed(CHECK, 1, "The cluster knows: a run is open, and the workers' replicas stand in its record."),
            Typed(RESUME, 0, "Go on from the record."),
        ),
        (
            "check-build-service names the open run, its step and its holder.",
            "On another machine resume waits a minute for the dead holder's lock to run out; on the same not.",
            "Nobody resumes? CertlagWorkersLeftDrained fires five minutes after the run's last sign of life.",
        ),
        strikes=(_draining(1, lambda scene: scene.signal_command(signal.SIGKILL)),),
    ),
    Drill(
        "interrupted",
        "what Ctrl-C does in the drain, and how the workers come back",
        "A minute into the drain somebody presses Ctrl-C.",
        (
            Typed(RESTART, 130, "On a terminal it asks whether to put the workers back; else it stops as it is."),
            Typed(ABORT, 0, "If they were not put back: do it now.", if_open=True),
            _again("On another night, or now."),
        ),
        (
            "The question: wait goes on, restore scales the workers up, leave keeps them drained under the record.",
            "Pods that were asked to end can't be called back: they finish their change, new ones start beside them.",
            "A second Ctrl-C leaves at once, and prints how to go on.",
        ),
        strikes=(_draining(1, lambda scene: scene.signal_command(signal.SIGINT)),),
    ),
    Drill(
        "network-lost",
        "that a lost network decides nothing: the run waits, and goes on",
        "A minute into the drain the API server is out of reach, for two minutes.",
        (Typed(RESTART, 0, "It says that it can't see, changes nothing meanwhile, and goes on when it can."),),
        (
            "The warnings: no answer never counts as 'no pods'.",
            "Longer than a minute without an answer, its lock may be taken by others: then it stops by itself, with 4.",
        ),
        strikes=(_draining(1, Scene.lose_network), _draining(3, Scene.find_network)),
    ),
    Drill(
        "token-expired",
        "what to do when your token runs out in the middle of a run",
        "A minute into the drain the token in the kubeconfig expires; two minutes later somebody logs in again.",
        (
            Typed(
                RESTART, 0, "It warns, reads the kubeconfig again after each refusal, and continues with the new token."
            ),
        ),
        (
            "Log in again in a second terminal, into the same kubeconfig. The run need not be stopped.",
            "A token that says when it ends is checked before: a run that could outlast it is refused.",
        ),
        strikes=(_draining(1, Scene.let_token_expire), _draining(3, Scene.renew_token)),
    ),
    Drill(
        "scaled-up",
        "that somebody else's change stops a run as contested, and how to go on",
        "A minute into the drain a colleague sees no workers and scales them up to 3.",
        (
            Typed(RESTART, 9, "It does not fight: it stops, and says who wrote what and when."),
            Typed(RESUME, 0, "After a word with the colleague: drain again, and go on."),
        ),
        (
            "The field manager in the message (kubectl-scale here) and the time: whom to ask.",
            "Instead of resume, abort-build-service puts the workers back without a restart, and closes the run.",
        ),
        strikes=(_draining(1, actions.scale_workers_up),),
    ),
    Drill(
        "node-lost",
        "that pods on a node that went silent count as running, and what it costs when it comes back",
        "A minute into the drain a node goes silent; two minutes later it is back, freshly booted.",
        (Typed(RESTART, 0, "It waits: nobody can know what a silent node still does."),),
        (
            "The pods on that node: until the node is back or the pods are deleted, they may still be working.",
            "Whatever they were working on was cut off: run those changes again.",
            "A node that is surely switched off: delete its pods by force, and the drain goes on.",
        ),
        strikes=(_draining(1, actions.lose_node), _draining(3, actions.find_node)),
    ),
    Drill(
        "gitops-reverts",
        "that a restart undone by GitOps is noticed, and the workers stay away until it is settled",
        "Argo CD keeps the build service as its repository says, and takes the restart's annotation away at once.",
        (
            Typed(RESTART, 9, "The restart was reverted: contested. The workers are left drained, under the record."),
            Elsewhere(
                "argocd app set opschain --sync-policy none", "Suspend it while the run lasts.", actions.leave_restarts
            ),
            Typed(RESUME, 0, "The restart is asked for again, seen to be rolled out, and the workers come back."),
        ),
        (
            "The field manager in the message: argocd-controller.",
            "Argo CD and Flux are recognised by their marks and refused before; this one had left none.",
            "Switch self-healing on again afterwards.",
        ),
        before=actions.revert_restarts,
    ),
    Drill(
        "crash-loop",
        "what is left when the restarted pod does not come up: workers drained under the record",
        "The build service's new pod crashes at each start.",
        (
            Typed(RESTART, 6, "After five minutes it gives up; workers would only fail on it, so they wait."),
            Elsewhere(
                f"kubectl rollout status deployment/{SERVICE}  # fixed: the configuration had a typing error",
                "Find out why with kubectl logs and describe, and fix it.",
                actions.mend_service,
            ),
            Typed(RESUME, 0, "It waits for the fixed rollout, verifies it, and puts the workers back."),
        ),
        (
            "kubectl logs --previous of the new pod, before anything else.",
            "Builds are down until this is fixed: CertlagWorkersLeftDrained wakes a person, and names the command.",
        ),
        before=actions.crash_service,
    ),
    Drill(
        "repaired-template",
        "that a run goes on once somebody has repaired the target's template",
        "The build service's new pod crashes at each start: its template names a configuration that is gone.",
        (
            Typed(RESTART, 6, "After five minutes it gives up: the workers are left drained, under the record."),
            Elsewhere(
                f"kubectl edit deployment/{SERVICE}",
                "Repair the template, and let it roll out; or deploy another one.",
                actions.repair_template,
            ),
            Typed(RESUME, 0, "It takes the present template, verifies its pods, and puts the workers back."),
        ),
        (
            "The annotation certlag.dev/restart-id may stay in the template, or not: what its pods serve counts.",
            "No second restart is requested if they serve the issued certificate.",
        ),
        before=actions.crash_service,
    ),
    Drill(
        "old-certificate",
        "why 'rolled out' is not 'done': the new pod presents the old certificate",
        "The kubelet's cache is stuck: every new pod finds the old Secret mounted.",
        (
            Typed(
                RESTART,
                8,
                "A handshake shows it, also after one more restart: the workers are put back.",
            ),
            Elsewhere(
                "systemctl restart kubelet  # on the node",
                "Its cache of Secrets is made again.",
                actions.mount_new_secrets,
            ),
            _again("The new pod finds the new certificate."),
        ),
        (
            "The fingerprint and not-after that each pod presents, beside the issued one.",
            "Nothing is broken yet, but the deadline stands: builds fail once the old certificate has expired.",
        ),
        before=actions.mount_old_secrets,
    ),
)
"""Every drill; the first is what is played without `--fault`."""

BY_NAME = {drill.name: drill for drill in DRILLS}
