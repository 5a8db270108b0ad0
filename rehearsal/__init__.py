"""An embedded cluster to try, rehearse and test on, without Kubernetes. Nothing is in it yet."""
