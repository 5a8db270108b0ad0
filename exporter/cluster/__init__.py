"""The way to the cluster: connection, watches, and the API's JSON turned into the model. Only reads."""
