# Who may what. Gateways read, and write what they publish; trainers write; SageMaker reads one folder of one bucket and pulls one image. "*" stands as a
# resource only where AWS knows no other, and as an action nowhere.

# === what ===

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "ReadTheRegistry"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.models.arn}/${local.registry_prefix}/*"]
  }

  statement {
    sid       = "TellMissingFromForbidden"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.models.arn]
    # IfExists: S3 asks for this right, with no prefix, when it has to answer 404 for an object that is not there.
    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = ["${local.registry_prefix}/*"]
    }
  }

  statement {
    sid       = "Decrypt"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.this.arn]
  }
}

# What `sidegate-train`, `sidegate registry` and `sidegate monitor` write. Nothing that serves can be deleted with it:
# `sidegate registry gc` is a person's, with a role of their own.
data "aws_iam_policy_document" "write" {
  source_policy_documents = [data.aws_iam_policy_document.read.json]

  statement {
    sid       = "WriteTheRegistry"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.models.arn}/${local.registry_prefix}/*"]
  }

  statement {
    sid     = "DeleteProbesAndWhatIsOld"
    actions = ["s3:DeleteObject"]
    resources = [
      "${aws_s3_bucket.models.arn}/${local.registry_prefix}/_probe/*",
      "${aws_s3_bucket.models.arn}/${local.registry_prefix}/_drift/*", # windows of pods that are gone
    ]
  }

  statement {
    sid     = "ReadRowsToTrainOn"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.models.arn}/${local.data_prefix}/*",
      "${aws_s3_bucket.models.arn}/${local.log_prefix}/*",
    ]
  }

  statement {
    sid       = "ListThem"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.models.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${local.data_prefix}/*", "${local.log_prefix}/*"]
    }
  }

  statement {
    sid       = "Encrypt"
    actions   = ["kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}

# Sidecars that publish what they see and know, for `sidegate monitor`: monitor.publish_interval_ms and
# experiments.publish_interval_ms.
data "aws_iam_policy_document" "publish" {
  source_policy_documents = [data.aws_iam_policy_document.read.json]

  statement {
    sid     = "PublishWindowsAndSums"
    actions = ["s3:PutObject"]
    resources = [
      "${aws_s3_bucket.models.arn}/${local.registry_prefix}/_drift/*",
      "${aws_s3_bucket.models.arn}/${local.registry_prefix}/_experiments/*",
    ]
  }

  statement {
    sid       = "Encrypt"
    actions   = ["kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}

data "aws_iam_policy_document" "log" {
  statement {
    sid       = "WriteThePredictionLog"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.models.arn}/${local.log_prefix}/*"]
  }

  statement {
    sid       = "Encrypt"
    actions   = ["kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}

resource "aws_iam_policy" "read" {
  name        = "${local.name}-registry-read"
  description = "What a sidegate that serves needs"
  policy      = data.aws_iam_policy_document.read.json
}

resource "aws_iam_policy" "publish" {
  name        = "${local.name}-registry-publish"
  description = "The same, and to publish windows of features and sums of experiments"
  policy      = data.aws_iam_policy_document.publish.json
}

resource "aws_iam_policy" "write" {
  name        = "${local.name}-registry-write"
  description = "What trainings, promotions and sidegate monitor need"
  policy      = data.aws_iam_policy_document.write.json
}

# === who: pods and the workflow, by web identity ===

locals {
  eks    = var.eks_oidc_provider == null ? [] : [var.eks_oidc_provider]
  github = var.github_repository == null ? [] : ["token.actions.githubusercontent.com"]

  # By role: the issuer of tokens, who of its subjects, the policy, and how long one may have it (seconds). Roles that nobody
  # could take are not made.
  roles = { for name, role in {
    gateway = {
      issuer   = local.eks
      subjects = [for account in var.gateway_service_accounts : "system:serviceaccount:${account}"]
      policy   = var.gateways_publish ? aws_iam_policy.publish.arn : aws_iam_policy.read.arn
      session  = 3600
    }
    trainer = {
      issuer   = local.eks
      subjects = [for account in var.trainer_service_accounts : "system:serviceaccount:${account}"]
      policy   = aws_iam_policy.write.arn
      session  = 3600
    }
    workflow = {
      issuer   = local.github
      subjects = [for environment in var.github_environments : "repo:${coalesce(var.github_repository, "-")}:environment:${environment}"]
      policy   = aws_iam_policy.write.arn
      session  = 21600 # a training may take six hours, and registers at its end; pods get new tokens meanwhile, a job none
    }
  } : name => role if length(role.issuer) > 0 && length(role.subjects) > 0 }
}

data "aws_iam_policy_document" "trust" {
  for_each = local.roles

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = ["arn:${local.partition}:iam::${local.account}:oidc-provider/${one(each.value.issuer)}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${one(each.value.issuer)}:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "${one(each.value.issuer)}:sub"
      values   = each.value.subjects
    }
  }
}

resource "aws_iam_role" "web_identity" {
  for_each = local.roles

  name                 = "${local.name}-${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.trust[each.key].json
  max_session_duration = each.value.session
}

resource "aws_iam_role_policy_attachment" "web_identity" {
  for_each = local.roles

  role       = aws_iam_role.web_identity[each.key].name
  policy_arn = each.value.policy
}

resource "aws_iam_role_policy" "log" {
  count = var.gateways_log_predictions && contains(keys(local.roles), "gateway") ? 1 : 0

  name   = "prediction-log"
  role   = aws_iam_role.web_identity["gateway"].name
  policy = data.aws_iam_policy_document.log.json
}

# === who: services ===

data "aws_iam_policy_document" "service_trust" {
  for_each = toset(["sagemaker", "lambda"])

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
    # Not on behalf of another account.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "sagemaker" {
  # checkov:skip=CKV_AWS_356:GetAuthorizationToken and PutMetricData know no resources; the second is bound to a namespace
  # checkov:skip=CKV_AWS_111:As above
  source_policy_documents = [data.aws_iam_policy_document.read.json]

  # SageMaker hands the key on to the volumes of the instances.
  statement {
    sid       = "GrantTheVolumes"
    actions   = ["kms:CreateGrant"]
    resources = [aws_kms_key.this.arn]
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }

  statement {
    sid       = "KnowTheKey"
    actions   = ["kms:DescribeKey"]
    resources = [aws_kms_key.this.arn]
  }

  statement {
    sid       = "PullTheImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [aws_ecr_repository.models.arn]
  }

  statement {
    sid       = "LogInToEcr"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["arn:${local.partition}:logs:${var.aws_region}:${local.account}:log-group:/aws/sagemaker/Endpoints/${var.endpoint_name}:*"]
  }

  statement {
    sid       = "Measure"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]
    condition {
      test     = "StringLike"
      variable = "cloudwatch:namespace"
      values   = ["/aws/sagemaker/*", "AWS/SageMaker"]
    }
  }
}

resource "aws_iam_role" "sagemaker" {
  name               = "${local.name}-sagemaker-role"
  assume_role_policy = data.aws_iam_policy_document.service_trust["sagemaker"].json
}

resource "aws_iam_role_policy" "sagemaker" {
  name   = "serve"
  role   = aws_iam_role.sagemaker.name
  policy = data.aws_iam_policy_document.sagemaker.json
}

data "aws_iam_policy_document" "lambda" {
  # checkov:skip=CKV_AWS_356:X-Ray knows no resources
  # checkov:skip=CKV_AWS_111:As above
  source_policy_documents = [data.aws_iam_policy_document.read.json]

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${local.partition}:logs:${var.aws_region}:${local.account}:log-group:/aws/lambda/${local.name}-inference:*"]
  }

  statement {
    sid       = "Trace"
    actions   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "lambda" {
  name               = "${local.name}-inference"
  assume_role_policy = data.aws_iam_policy_document.service_trust["lambda"].json
}

resource "aws_iam_role_policy" "lambda" {
  name   = "serve"
  role   = aws_iam_role.lambda.name
  policy = data.aws_iam_policy_document.lambda.json
}
