{{/* The exporter's rights: it lists and watches, and reads no Secret. */}}

{{- define "certlag.exporter.subject" -}}
- kind: ServiceAccount
  name: {{ include "certlag.exporter.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* What was issued, and which pods run. */}}
{{- define "certlag.exporter.lookRules" -}}
- apiGroups: [cert-manager.io]
  resources: [certificates, certificaterequests]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
{{- end -}}

{{/* All of that in one namespace, and its targets' workloads, records and Leases by name. */}}
{{- define "certlag.exporter.namespaceRules" -}}
{{- $workloads := list -}}
{{- $records := list -}}
{{- $locks := list -}}
{{- range .targets -}}
{{- if eq .namespace $.namespace -}}
{{- $workloads = concat $workloads (list .workload) (.workers | default list) -}}
{{- $records = append $records (printf "certlag-run-%s" .name) -}}
{{- $locks = append $locks .workload -}}
{{- end -}}
{{- end -}}
{{- if not .clusterWide }}
{{ include "certlag.exporter.lookRules" . }}
{{- end }}
{{- if $workloads }}
{{- include "certlag.workloadRules" (dict "workloads" $workloads "verbs" (list "list" "watch")) }}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: {{ toJson $records }}
  verbs: [list, watch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: {{ include "certlag.leaseNames" $locks }}
  verbs: [list, watch]
{{- end }}
{{- end -}}
