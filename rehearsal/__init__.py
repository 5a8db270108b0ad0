"""An embedded cluster to try, rehearse and test on: a Kubernetes API, its controllers and cert-manager in one process.

Nothing of it needs Kubernetes, root or the passing of time: `cluster` is stepped from event to event by any clock, and
`live` puts the same cluster on sockets and on the system's clock.
"""
