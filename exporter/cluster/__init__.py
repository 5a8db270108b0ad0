"""The way to the cluster: connection, watches, and the API's JSON turned into the model. Only reads."""

from exporter.cluster.deferred import defer

# Before any module of this package imports `kubernetes`.
defer()
