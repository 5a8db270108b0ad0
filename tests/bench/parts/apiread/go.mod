// Reads the Kubernetes API from inside a pod, as any in-cluster client does.
module certlag.dev/bench/apiread

go 1.26.0
