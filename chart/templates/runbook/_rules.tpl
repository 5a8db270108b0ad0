{{/* The runbook's rights, as runbook/kube/permissions.py asks for them, but for the way to the pods; from the target's keys. */}}
{{- define "certlag.runbook.rules" -}}
{{- $workloads := concat (list .target.workload) (.target.workers | default list) -}}
- apiGroups: [cert-manager.io]
  resources: [certificates, certificaterequests]
  verbs: [list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
{{- include "certlag.workloadRules" (dict "workloads" $workloads "verbs" (list "get" "list" "watch" "patch")) }}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [certlag-run-{{ .target.name }}]
  verbs: [get, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: {{ include "certlag.leaseNames" $workloads }}
  verbs: [get, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
- apiGroups: [""]
  resources: [resourcequotas]
  verbs: [list]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list]
{{- if .runbook.keda }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list]
{{- end }}
{{- if .runbook.persistentVolumeClaims }}
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
{{- end }}
{{- end -}}

{{/* The release's targets, for `runbook --release`. */}}
{{- define "certlag.runbook.configurationRules" -}}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ include "certlag.configMap" . }}]
  verbs: [get]
{{- end -}}

{{/* Handshakes from outside the cluster: `get` asks for the WebSocket; newer API servers check `create` within it. */}}
{{- define "certlag.runbook.portForwardRules" -}}
- apiGroups: [""]
  resources: [pods/portforward]
  verbs: [get, create]
{{- end -}}

{{/* Starting a run in the cluster from the suspended CronJob, and following it. */}}
{{- define "certlag.runbook.startRules" -}}
- apiGroups: [batch]
  resources: [cronjobs]
  resourceNames: [certlag-run-{{ .target.name }}]
  verbs: [get]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list]
{{- end -}}

{{/*
A Role, and its RoleBinding unless nobody is bound:
(dict "root" $ "name" … "namespace" … "rules" … "subjects" …).
*/}}
{{- define "certlag.runbook.role" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "certlag.metadata" (dict
        "root" .root
        "name" .name
        "namespace" .namespace
        "component" "runbook") | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
{{- with .subjects }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "certlag.metadata" (dict
        "root" $.root
        "name" $.name
        "namespace" $.namespace
        "component" "runbook") | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $.name }}
subjects:
  {{- range . }}
  - kind: {{ .kind }}
    name: {{ .name | quote }}
    {{- if eq .kind "ServiceAccount" }}
    namespace: {{ .namespace | default $.namespace }}
    {{- else }}
    apiGroup: rbac.authorization.k8s.io
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}
