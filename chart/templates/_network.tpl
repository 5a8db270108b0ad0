{{/* The way to the API server, to DNS, and to the pods that handshakes are made with. */}}
{{- define "certlag.networkPolicy.egress" -}}
- ports:
    {{- range .root.Values.networkPolicy.apiServer.ports }}
    - port: {{ . }}
    {{- end }}
  {{- with .root.Values.networkPolicy.apiServer.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
# Any port: a target may name its own, and discovery finds more.
- to:
    {{- if .everywhere }}
    - namespaceSelector: {}
    {{- else }}
    - namespaceSelector:
        matchExpressions:
          - key: kubernetes.io/metadata.name
            operator: In
            values: {{ toJson .namespaces }}
    {{- end }}
{{- with .root.Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
