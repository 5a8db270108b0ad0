// The process that holds a namespace open: a pod's sandbox, and the first process of a cluster.
module certlag.dev/bench/pause

go 1.26.0
