{{/* Names and labels that all templates share. */}}

{{- define "certlag.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name, which stands for the chart's where it contains that. */}}
{{- define "certlag.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains (include "certlag.name" .) .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "certlag.name" .) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "certlag.exporter.fullname" -}}
{{- include "certlag.fullname" . }}-exporter
{{- end -}}

{{/* The configuration: found by the release's name alone, so name overrides do not change it; certlag/config/release.py. */}}
{{- define "certlag.configMap" -}}
certlag-config-{{ .Release.Name }}
{{- end -}}

{{- define "certlag.release" -}}
{{ .Release.Namespace }}/{{ .Release.Name }}
{{- end -}}

{{/* What never changes: selectors can't be. */}}
{{- define "certlag.selectorLabels" -}}
app.kubernetes.io/name: {{ include "certlag.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Pods are found by part-of and component, whatever the release's name and overrides are: the alerts' commands. */}}
{{- define "certlag.podLabels" -}}
{{ include "certlag.selectorLabels" . }}
app.kubernetes.io/part-of: certlag
{{- end -}}

{{- define "certlag.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "certlag.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with include "certlag.commonLabels" . }}
{{ . }}
{{- end }}
{{- end -}}

{{/* `commonLabels` without those by which objects are found. */}}
{{- define "certlag.commonLabels" -}}
{{- $ours := list "name" "instance" "component" "part-of" -}}
{{- $labels := .Values.commonLabels -}}
{{- range $ours }}{{ $labels = omit $labels (printf "app.kubernetes.io/%s" .) }}{{ end -}}
{{- with $labels }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/*
The metadata of an object: (dict "root" $ "name" … "namespace" … "component" … "labels" … "annotations" …),
all but root and name optional.
*/}}
{{- define "certlag.metadata" -}}
{{- $annotations := merge dict (.annotations | default dict) .root.Values.commonAnnotations -}}
name: {{ .name }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "certlag.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "certlag.exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "certlag.exporter.fullname" .) -}}
{{- else -}}
{{- $message := "serviceAccount.name: name the account to use, or set serviceAccount.create to true" -}}
{{- required $message .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "certlag.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}
