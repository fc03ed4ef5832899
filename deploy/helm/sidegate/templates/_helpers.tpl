{{/* Names end with the release's, unless that says it already. With `-train` behind it a CronJob's may have 52 letters. */}}
{{- define "sidegate.name" -}}
{{- if contains "sidegate" .Release.Name }}{{ .Release.Name | trunc 46 | trimSuffix "-" }}{{ else }}{{ printf "%s-sidegate" .Release.Name | trunc 46 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "sidegate.selector" -}}
app.kubernetes.io/name: sidegate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sidegate.labels" -}}
{{ include "sidegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sidegate.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "sidegate.account" -}}
{{ .Values.serviceAccount.name | default (include "sidegate.name" .) }}
{{- end }}

{{- define "sidegate.security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Variables by which a store is reached: of (list ROOT ROLE). */}}
{{- define "sidegate.storeEnv" -}}
{{- $root := index . 0 }}{{- $role := index . 1 }}
{{- with $root.Values.registryUrl }}
- {name: SIDEGATE_REGISTRY__URL, value: {{ . | quote }}}
{{- end }}
{{- with $root.Values.credentials.webIdentity }}
{{- if .enabled }}
- {name: AWS_ROLE_ARN, value: {{ index .roles $role | required (printf "credentials.webIdentity.roles.%s is needed" $role) | quote }}}
- {name: AWS_REGION, value: {{ .region | required "credentials.webIdentity.region is needed" | quote }}}
- {name: AWS_WEB_IDENTITY_TOKEN_FILE, value: /var/run/secrets/sidegate-aws/token}
{{- end }}
{{- end }}
{{- end }}

{{- define "sidegate.storeEnvFrom" -}}
- secretRef: {name: {{ .Values.credentials.secret }}, optional: true}
{{- end }}

{{- define "sidegate.storeMounts" -}}
- {name: sidegate-config, mountPath: /etc/sidegate, readOnly: true}
{{- if .Values.credentials.webIdentity.enabled }}
- {name: sidegate-aws, mountPath: /var/run/secrets/sidegate-aws, readOnly: true}
{{- end }}
{{- end }}

{{- define "sidegate.storeVolumes" -}}
- name: sidegate-config
  configMap: {name: {{ include "sidegate.name" . }}}
{{- if .Values.credentials.webIdentity.enabled }}
- name: sidegate-aws
  projected:
    sources:
      - serviceAccountToken: {audience: {{ .Values.credentials.webIdentity.audience }}, path: token, expirationSeconds: 3600}
{{- end }}
{{- end }}

{{/* The sidecar, as an item of initContainers (native) or containers (plain). Why each line is as it is:
deploy/k8s/components/sidecar/sidecar.yaml, which this is held against. */}}
{{- define "sidegate.sidecar" -}}
{{- $plain := eq .Values.layout "plain" -}}
{{- $delay := eq (toString .Values.sidecar.drainDelayMs) "" | ternary (ternary 5000 0 $plain) .Values.sidecar.drainDelayMs -}}
- name: sidegate
  image: {{ include "sidegate.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if $plain }}
  lifecycle: {preStop: {sleep: {seconds: {{ .Values.app.preStopSeconds }}}}}
  {{- else }}
  restartPolicy: Always
  {{- end }}
  args: [serve, --config, /etc/sidegate/sidegate.toml]
  env:
    - {name: SIDEGATE_CONFIG, value: /etc/sidegate/sidegate.toml}
    - {name: SIDEGATE_HTTP__UDS, value: /run/sidegate/sidegate.sock}
    - {name: SIDEGATE_OPS__LISTEN, value: "0.0.0.0:8003"}
    - {name: SIDEGATE_REGISTRY__CACHE_DIR, value: /var/cache/sidegate}
    - {name: SIDEGATE_LOG__FORMAT, value: json}
    - {name: SIDEGATE_SHUTDOWN__DRAIN_DELAY_MS, value: {{ $delay | int | toString | quote }}}
    - {name: SIDEGATE_SHUTDOWN__TIMEOUT_MS, value: {{ .Values.sidecar.drainTimeoutMs | int | toString | quote }}}
    {{- include "sidegate.storeEnv" (list . "sidecar") | nindent 4 }}
    {{- with .Values.sidecar.env }}{{ toYaml . | nindent 4 }}{{ end }}
  envFrom: {{- include "sidegate.storeEnvFrom" . | nindent 4 }}
  ports:
    - {name: sidegate-ops, containerPort: 8003}
  startupProbe:
    httpGet: {path: /startupz, port: sidegate-ops}
    periodSeconds: 1
    timeoutSeconds: 2
    failureThreshold: {{ .Values.sidecar.startupSeconds }}
  readinessProbe:
    httpGet: {path: /readyz, port: sidegate-ops}
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 2
  livenessProbe:
    httpGet: {path: /livez, port: sidegate-ops}
    periodSeconds: 10
    timeoutSeconds: 2
    failureThreshold: 6
  resources: {{- toYaml .Values.sidecar.resources | nindent 4 }}
  securityContext: {{- include "sidegate.security" . | nindent 4 }}
  volumeMounts:
    {{- include "sidegate.storeMounts" . | nindent 4 }}
    - {name: sidegate-run, mountPath: /run/sidegate}
    - {name: sidegate-cache, mountPath: /var/cache/sidegate}
{{- end }}

{{/* The volumes that it needs. */}}
{{- define "sidegate.volumes" -}}
{{ include "sidegate.storeVolumes" . }}
- name: sidegate-run
  emptyDir: {sizeLimit: 1Mi}
- name: sidegate-cache
  emptyDir: {sizeLimit: {{ .Values.sidecar.cacheSize }}}
{{- end }}

{{/* The app's way to the socket. */}}
{{- define "sidegate.appMounts" -}}
- {name: sidegate-run, mountPath: /run/sidegate, readOnly: true}
{{- end }}

{{/* What the PodMonitor looks for: of this release alone, as another of the namespace has its own. */}}
{{- define "sidegate.podLabels" -}}
sidegate: sidecar
sidegate-release: {{ .Release.Name }}
{{- end }}

{{/* A change of the configuration rolls out: most keys are taken over by a running sidecar, some need a restart. */}}
{{- define "sidegate.podAnnotations" -}}
checksum/sidegate: {{ .Values.config | sha256sum }}
{{- end }}
