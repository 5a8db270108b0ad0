"""Alerts, their pages and the dashboard: the text that turns metrics into somebody's decision.

`generate` writes what is checked in (`rules.yaml`, `dashboard.json`, the chart's rule template) from `rules` and
`dashboard`. None of it is shipped in the wheel.
"""
