{{- define "isocline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "isocline.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "isocline.labels" -}}
{{ include "isocline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "isocline.secret" -}}
{{- if .Values.secrets.existing -}}
{{- .Values.secrets.existing -}}
{{- else if .Values.secrets.create -}}
{{- include "isocline.fullname" . -}}
{{- end -}}
{{- end -}}

{{/* s from the request to stop to the end: preStop, drain_delay and drain of the file (defaults 0 and
     30), and 10 s to write curves and end. A kill before that breaks requests off. */}}
{{- define "isocline.grace" -}}
{{- $serve := default dict .Values.system.serve -}}
{{- $delay := 0 -}}{{- if hasKey $serve "drain_delay" -}}{{- $delay = $serve.drain_delay -}}{{- end -}}
{{- $drain := 30 -}}{{- if hasKey $serve "drain" -}}{{- $drain = $serve.drain -}}{{- end -}}
{{- addf .Values.preStopSeconds $delay $drain 10 | ceil | int64 -}}
{{- end -}}

{{/* Namespaces of this cluster whose EndpointSlices the file watches, as a JSON array. */}}
{{- define "isocline.namespaces" -}}
{{- $found := list -}}
{{- range default list .Values.system.discover -}}
{{- with .kubernetes -}}
{{- if not .api -}}{{- $found = append $found (default $.Release.Namespace .namespace) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $found | uniq | toJson -}}
{{- end -}}
