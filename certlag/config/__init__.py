"""The configuration: its schema, any YAML file as a model, releases of the chart, shards of namespaces."""
