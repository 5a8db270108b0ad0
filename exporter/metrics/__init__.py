"""Assessments as samples, and samples as the text that Prometheus reads."""
