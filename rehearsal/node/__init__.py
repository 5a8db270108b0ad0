"""The nodes: what runs in containers, on which addresses, and the kubelet that starts and ends it."""
