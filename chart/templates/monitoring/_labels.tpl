{{/* How rules and dashboard write the labels of `rules.extraLabels`: in lists, texts, links and legends. */}}

{{- define "certlag.rules.extra" -}}
{{ range .Values.rules.extraLabels }}{{ . }}, {{ end }}
{{- end -}}

{{- define "certlag.rules.where" -}}
{{ range .Values.rules.extraLabels }}{{ printf "{{ with $labels.%s }} (%s {{ . }}){{ end }}" . . }}{{ end }}
{{- end -}}

{{- define "certlag.rules.choice" -}}
{{ range .Values.rules.extraLabels }}{{ printf "&var-filters=%s%%7C%%3D%%7C{{ $labels.%s }}" . . }}{{ end }}
{{- end -}}

{{- define "certlag.rules.legend" -}}
{{ range .Values.rules.extraLabels }}{{ printf "{{%s}}/" . }}{{ end }}
{{- end -}}
