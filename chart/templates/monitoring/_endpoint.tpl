{{/*
What a ServiceMonitor and a PodMonitor say of a scrape alike. honorLabels: `namespace` and `pod` of our metrics are
those of what is watched, not the exporter's. `job` is what the rules ask for, whatever the release is called.
*/}}
{{- define "certlag.monitor.endpoint" -}}
{{- $monitor := .monitor -}}
port: http
honorLabels: true
{{- if include "certlag.web.tls" .root }}
scheme: https
{{- end }}
{{- with $monitor.interval }}
interval: {{ . }}
{{- end }}
{{- with $monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with $monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
relabelings:
  - targetLabel: job
    replacement: {{ .root.Values.rules.job | quote }}
  {{- with $monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "certlag.monitor.selection" -}}
namespaceSelector:
  matchNames: [{{ .Release.Namespace }}]
selector:
  matchLabels:
    {{- include "certlag.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/component: exporter
{{- end -}}
