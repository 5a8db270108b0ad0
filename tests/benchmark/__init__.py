"""`make bench`: what the exporter costs at size, beside the limits of the same machine.

`population` makes certificates and pods, `etcd` puts them into a real API server's store, `measurement` measures one
size from outside the exporter's process, `limits` measures what could not be beaten, `report` prints both.
"""
