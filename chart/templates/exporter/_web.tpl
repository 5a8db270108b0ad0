{{/* What the web configuration means for anyone who asks; each but the scheme returns "true" or nothing. */}}

{{- define "certlag.web.enabled" -}}
{{- if or .Values.web.config .Values.web.existingSecret -}}true{{- end -}}
{{- end -}}

{{/* Whether it speaks TLS. */}}
{{- define "certlag.web.tls" -}}
{{- if or .Values.web.tls (.Values.web.config | default dict).tls_server_config -}}true{{- end -}}
{{- end -}}

{{- define "certlag.web.scheme" -}}
{{- if include "certlag.web.tls" . -}}https{{- else -}}http{{- end -}}
{{- end -}}

{{/* Whether it asks for something that a kubelet's probe does not have. */}}
{{- define "certlag.web.restricted" -}}
{{- $config := .Values.web.config | default dict -}}
{{- $asked := ($config.tls_server_config | default dict).client_auth_type | default "NoClientCert" -}}
{{- if or .Values.web.restricted $config.basic_auth_users (eq $asked "RequireAndVerifyClientCert") -}}true{{- end -}}
{{- end -}}
