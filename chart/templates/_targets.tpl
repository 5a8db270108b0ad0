{{/* What the configuration says, in the form that rights are made of. Each returns YAML. */}}

{{/* The targets, each with its namespace. */}}
{{- define "certlag.targets" -}}
{{- $targets := list -}}
{{- range .Values.config.targets -}}
{{- $targets = append $targets (merge (dict "namespace" (.namespace | default $.Release.Namespace)) .) -}}
{{- end -}}
{{- toYaml (dict "targets" $targets) -}}
{{- end -}}

{{/* Whether every namespace is looked through. */}}
{{- define "certlag.clusterWide" -}}
{{- if has "*" ((.Values.config.discovery | default dict).namespaces | default list) -}}true{{- end -}}
{{- end -}}

{{/* The namespaces that have a target or are looked through, once each; all of them is the above. */}}
{{- define "certlag.namespaces" -}}
{{- $namespaces := without ((.Values.config.discovery | default dict).namespaces | default list) "*" -}}
{{- range (include "certlag.targets" . | fromYaml).targets -}}
{{- $namespaces = append $namespaces .namespace -}}
{{- end -}}
{{- toYaml (dict "namespaces" ($namespaces | uniq | sortAlpha)) -}}
{{- end -}}

{{/* The rules for workloads by name, from a list such as deployment/a, statefulset/b. */}}
{{- define "certlag.workloadRules" -}}
{{- $verbs := .verbs -}}
{{- $workloads := .workloads | uniq -}}
{{- range $kind := list "deployment" "statefulset" "daemonset" -}}
{{- $names := list -}}
{{- range $workloads -}}
{{- if hasPrefix (printf "%s/" $kind) . -}}
{{- $names = append $names (trimPrefix (printf "%s/" $kind) .) -}}
{{- end -}}
{{- end -}}
{{- with $names }}
- apiGroups: [apps]
  resources: [{{ $kind }}s]
  resourceNames: {{ toJson . }}
  verbs: {{ toJson $verbs }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The names of the Leases that guard workloads: as in certlag/run_record.py. */}}
{{- define "certlag.leaseNames" -}}
{{- $names := list -}}
{{- range . -}}
{{- $names = append $names (printf "certlag-%s" (. | replace "/" "-")) -}}
{{- end -}}
{{- toJson ($names | uniq) -}}
{{- end -}}
