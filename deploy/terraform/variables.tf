variable "aws_region" {
  description = "Region of everything here."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region is a region's name, such as eu-central-1."
  }
}

variable "project_name" {
  description = "Begins the name of every resource."
  type        = string
  default     = "sidegate"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.project_name))
    error_message = "project_name is 2 to 21 lower-case letters, digits and hyphens, a letter first: bucket names take no others."
  }
}

variable "environment" {
  description = "What this copy is for; part of every name, so that several fit in one account."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "environment is 2 to 12 lower-case letters and digits, such as staging."
  }
}

# === the registry ===

variable "bucket_name" {
  description = "Name of the bucket; null: PROJECT-ENVIRONMENT-model-artifacts-ACCOUNT, since names of buckets are the whole world's."
  type        = string
  default     = null
}

variable "registry_prefix" {
  description = "Folder of the registry in the bucket; gateways get s3://BUCKET/PREFIX as registry.url."
  type        = string
  default     = "registry"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", var.registry_prefix))
    error_message = "registry_prefix is one folder, without slashes."
  }
}

variable "access_log_bucket" {
  description = "An existing bucket for the access log of the registry's; null: none is kept."
  type        = string
  default     = null
}

variable "prediction_log_days" {
  description = "Days that the prediction log is kept (s3://BUCKET/log, prediction_log.url of a gateway). Inputs may be personal data."
  type        = number
  default     = 90

  validation {
    condition     = var.prediction_log_days >= 1 && var.prediction_log_days <= 3650
    error_message = "prediction_log_days is 1 to 3650."
  }
}

variable "deleted_days" {
  description = "Days after which what was deleted or overwritten in the bucket is gone for good."
  type        = number
  default     = 365

  validation {
    condition     = var.deleted_days > 180
    error_message = "deleted_days is more than 180: after 90 days deleted versions lie in Glacier, which bills 90 days at least."
  }
}

# === who may ===

variable "eks_oidc_provider" {
  description = "Issuer of an EKS cluster without https://, such as oidc.eks.eu-central-1.amazonaws.com/id/ABC. Null: no roles for pods."
  type        = string
  default     = null
}

variable "gateway_service_accounts" {
  description = "Service accounts (NAMESPACE:NAME) of pods with a sidegate sidecar; they read the registry."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for account in var.gateway_service_accounts : can(regex("^[a-z0-9-]+:[a-z0-9.-]+$", account))])
    error_message = "gateway_service_accounts are NAMESPACE:NAME, without wildcards."
  }
}

variable "gateways_log_predictions" {
  description = "Whether gateways may write to the prediction log too."
  type        = bool
  default     = false
}

variable "gateways_publish" {
  description = "Whether sidecars may publish windows of features and sums of experiments below _drift/ and _experiments/, for `sidegate monitor`."
  type        = bool
  default     = true
}

variable "trainer_service_accounts" {
  description = "Service accounts (NAMESPACE:NAME) of training jobs and of `sidegate monitor`; they write to the registry."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for account in var.trainer_service_accounts : can(regex("^[a-z0-9-]+:[a-z0-9.-]+$", account))])
    error_message = "trainer_service_accounts are NAMESPACE:NAME, without wildcards."
  }
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflow trains; null: no role for it."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.github_repository))
    error_message = "github_repository is OWNER/NAME, without wildcards."
  }
}

variable "github_environments" {
  description = "Environments of that repository whose jobs may train and promote; jobs outside of them may not."
  type        = set(string)
  default     = ["training", "staging", "production"]
}

# === SageMaker ===

variable "image_uri" {
  description = "The sidegate image in the repository made here, by digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:…. Null: neither SageMaker nor Lambda."
  type        = string
  default     = null

  validation {
    condition     = var.image_uri == null || can(regex("@sha256:[0-9a-f]{64}$", var.image_uri))
    error_message = "image_uri ends in @sha256:…: a tag could come to mean another image."
  }
}

variable "endpoint_name" {
  description = "Name of the SageMaker endpoint."
  type        = string
  default     = "production-model"
}

variable "model_name" {
  description = "The model of the registry that SageMaker serves."
  type        = string
  default     = null

  validation {
    condition     = var.model_name == null || can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", var.model_name))
    error_message = "model_name is a name of the registry: letters, digits, dots, hyphens and underscores."
  }
}

variable "variants" {
  description = "Production variants of the endpoint by name, and how traffic is split: each a version of model_name. Empty: no endpoint."
  type = map(object({
    version       = number
    file          = optional(string, "model.onnx") # of the version's folder: `sidegate registry show MODEL@VERSION`
    weight        = optional(number, 1)
    instance_type = optional(string, "ml.m5.xlarge")
    instances     = optional(number, 1)
  }))
  default = {}

  validation {
    condition     = alltrue([for name, variant in var.variants : can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,30}$", name)) && variant.version >= 1 && variant.version == floor(variant.version) && variant.weight >= 0 && variant.instances >= 1 && contains(["model.onnx", "model.ubj", "model.json", "model.txt"], variant.file)])
    error_message = "variants are named by letters, digits and hyphens; version is a whole number from 1, file model.onnx, .ubj, .json or .txt, weight 0 or more, instances 1 or more."
  }

  validation {
    condition     = length(distinct(values(var.variants)[*].version)) == length(distinct([for variant in values(var.variants) : "${variant.version} ${variant.file}"]))
    error_message = "a version has one model file, and variants say two of it."
  }

  validation {
    condition     = length(var.variants) == 0 || (var.image_uri != null && var.model_name != null)
    error_message = "variants need image_uri and model_name."
  }
}

variable "champion_version" {
  description = "Version of the variant `champion` in place of the one in variants; a release writes it. Null: as there."
  type        = number
  default     = null

  validation {
    condition     = var.champion_version == null || (try(var.champion_version >= 1 && var.champion_version == floor(var.champion_version), false) && contains(keys(var.variants), "champion"))
    error_message = "champion_version is a whole number from 1, and variants has a champion."
  }
}

variable "champion_file" {
  description = "Model file of champion_version. Null: the one that the variant `champion` has."
  type        = string
  default     = null

  validation {
    condition     = var.champion_file == null || (try(contains(["model.onnx", "model.ubj", "model.json", "model.txt"], var.champion_file), false) && var.champion_version != null)
    error_message = "champion_file is model.onnx, model.ubj, model.json or model.txt, and there is a champion_version."
  }
}

variable "shadow" {
  description = "A version that gets a copy of the traffic and answers nobody; `share` of it, 0 to 1. Null: none."
  type = object({
    version       = number
    file          = optional(string, "model.onnx")
    share         = optional(number, 1)
    instance_type = optional(string, "ml.m5.xlarge")
    instances     = optional(number, 1)
  })
  default = null

  validation {
    condition     = var.shadow == null || length(var.variants) == 1
    error_message = "SageMaker takes a shadow beside exactly one production variant."
  }

  validation {
    condition     = var.shadow == null || try(contains(["model.onnx", "model.ubj", "model.json", "model.txt"], var.shadow.file), false)
    error_message = "file of shadow is model.onnx, model.ubj, model.json or model.txt."
  }
}

variable "encrypt_endpoint_volumes" {
  description = "Whether the volumes of the endpoint's instances are encrypted by the key made here. False where an instance type has disks of its own, which encrypt themselves: SageMaker takes no key for them."
  type        = bool
  default     = true

  validation {
    condition     = !var.encrypt_endpoint_volumes || alltrue([for one in concat(values(var.variants), var.shadow == null ? [] : [var.shadow]) : !can(regex("^ml\\.([a-z]+[0-9][a-z]*d[a-z]*|g[56][a-z]*|p[45][a-z]*|trn1n?)\\.", one.instance_type))])
    error_message = "an instance type among variants or shadow has disks of its own (such as ml.m5d, ml.g4dn, ml.g5): set encrypt_endpoint_volumes = false."
  }
}

# === Lambda ===

variable "lambda_models" {
  description = "Models that the function serves, which the registry has in Production. Empty: no function and no API."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.lambda_models) == 0 || var.image_uri != null
    error_message = "lambda_models needs image_uri."
  }
}

variable "lambda_memory_mb" {
  description = "Memory of the function in MB; its processor time is by it."
  type        = number
  default     = 3008

  validation {
    condition     = var.lambda_memory_mb >= 128 && var.lambda_memory_mb <= 10240
    error_message = "lambda_memory_mb is 128 to 10240."
  }
}

variable "lambda_timeout_seconds" {
  description = "Seconds that the function may take. The HTTP API waits 30 s at most; more is for those who invoke the function itself."
  type        = number
  default     = 60

  validation {
    condition     = var.lambda_timeout_seconds >= 1 && var.lambda_timeout_seconds <= 900
    error_message = "lambda_timeout_seconds is 1 to 900."
  }
}

variable "lambda_concurrency" {
  description = "Instances of the function at one time at most; it is taken from what the account has, which is 10 in all in a new one: then -1, none are kept for it."
  type        = number
  default     = 20
}

variable "lambda_architecture" {
  description = "Processor of the image: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.lambda_architecture)
    error_message = "lambda_architecture is x86_64 or arm64."
  }
}

variable "api_requests_per_second" {
  description = "Requests per second that the API lets through; twice as many in a burst."
  type        = number
  default     = 100
}

# === watching ===

variable "alarm_emails" {
  description = "Who is told of alarms; each has to confirm by mail."
  type        = set(string)
  default     = []
}

variable "log_days" {
  description = "Days that logs are kept, one of the numbers that CloudWatch knows."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_days)
    error_message = "log_days is one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 and the years up to ten."
  }
}

variable "latency_p99_ms" {
  description = "Milliseconds of the 99th percentile from which on there is an alarm."
  type        = number
  default     = 500
}

variable "lambda_metrics_namespace" {
  description = "Namespace of CloudWatch in which predictions of the function are counted and timed by model, version and outcome, each of them a metric that is charged; null: not at all"
  type        = string
  default     = null

  validation {
    condition     = var.lambda_metrics_namespace == null || can(regex("^[A-Za-z0-9._/#-][A-Za-z0-9._/#:-]{0,254}$", var.lambda_metrics_namespace)) && !can(regex("^AWS/", var.lambda_metrics_namespace))
    error_message = "1 to 255 of A-Z a-z 0-9 . - _ / # :, not beginning with AWS/ or a colon."
  }
}
