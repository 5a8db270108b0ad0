// What the chart's objects are checked against: nothing is built of these, their API descriptions are read.
module certlag.dev/bench/api-schemas

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	k8s.io/kubernetes v1.36.3
)
