"""Fields of a pod, and of what KServe runs in one: they say what serves, not how many serve.

Source: kubernetes/api core/v1/types.go (PodSpec), v1.36; kserve/kserve pkg/apis/serving/v1beta1 (component.go,
predictor.go).
"""

POD_SPEC = (
    *("activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "containers", "dnsConfig", "dnsPolicy"),
    *("enableServiceLinks", "ephemeralContainers", "hostAliases", "hostIPC", "hostNetwork", "hostPID", "hostUsers"),
    *("hostname", "hostnameOverride", "imagePullSecrets", "initContainers", "nodeName", "nodeSelector", "os"),
    *("overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates", "resourceClaims", "resources"),
    *("restartPolicy", "runtimeClassName", "schedulerName", "schedulingGates", "securityContext", "serviceAccount"),
    *("serviceAccountName", "setHostnameAsFQDN", "shareProcessNamespace", "subdomain"),
    *("terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints", "volumes"),
)

INFERENCE_PREDICTOR = (
    *("model", "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm"),
    *("paddle", "workerSpec", "timeout", "canaryTrafficPercent", "logger", "batcher", "labels", "deploymentStrategy"),
)
