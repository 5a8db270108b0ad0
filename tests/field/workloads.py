"""Workloads and pods as YAML, as somebody applies them; a test says what differs by further lines of a spec."""

import textwrap

KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}


def workload(kind: str, name: str, *, replicas: int | None = 1, image: str, grace: int, spec: str, pod: str) -> str:
    """A workload of one container; `spec` and `pod` are further lines of its spec and of its pods'."""
    serves = "server" in image
    lines = [
        "apiVersion: apps/v1",
        f"kind: {KINDS[kind]}",
        f"metadata: {{name: {name}, labels: {{app: {name}}}}}",
        "spec:",
        *([f"  replicas: {replicas}"] if replicas is not None else []),
        f"  selector: {{matchLabels: {{app: {name}}}}}",
        *_indented(spec, 2),
        "  template:",
        f"    metadata: {{labels: {{app: {name}}}}}",
        "    spec:",
        f"      terminationGracePeriodSeconds: {grace}",
        *_indented(pod, 6),
        *([] if "containers:" in pod else _container(name, image, serves=serves)),
    ]
    return "\n".join(lines)


def deployment(
    name: str, *, replicas: int = 1, image: str = "server", grace: int = 60, spec: str = "", pod: str = ""
) -> str:
    """A Deployment; with an image of a server it mounts the Secret of its name and serves TLS on 8443."""
    return workload("deployment", name, replicas=replicas, image=image, grace=grace, spec=spec, pod=pod)


def stateful_set(
    name: str, *, replicas: int = 1, image: str = "server", grace: int = 60, spec: str = "", pod: str = ""
) -> str:
    """A StatefulSet, as `deployment`."""
    return workload("statefulset", name, replicas=replicas, image=image, grace=grace, spec=spec, pod=pod)


def daemon_set(name: str, *, image: str = "server", grace: int = 60, spec: str = "", pod: str = "") -> str:
    """A DaemonSet, as `deployment`."""
    return workload("daemonset", name, replicas=None, image=image, grace=grace, spec=spec, pod=pod)


def _container(name: str, image: str, *, serves: bool) -> list[str]:
    mounts = [
        "          ports: [{containerPort: 8443}]",
        "          volumeMounts: [{name: tls, mountPath: /tls}]",
        f"      volumes: [{{name: tls, secret: {{secretName: {name}}}}}]",
    ]
    return ["      containers:", f"        - name: {name}", f"          image: {image}", *(mounts if serves else [])]


def _indented(lines: str, by: int) -> list[str]:
    return textwrap.indent(textwrap.dedent(lines).strip("\n"), " " * by).splitlines()


SERVICE = deployment("svc")
WORKERS = deployment("worker", replicas=3, image="worker", grace=3600)
