"""The way to the cluster: kubeconfig, transport, lists and watches, and the API's JSON as the model. Only reads."""
