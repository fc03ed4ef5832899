# The bucket of the registry: models that are served, what served before, prediction logs, training data.

resource "aws_kms_key" "this" {
  description             = "Everything of ${local.name}: bucket, images, logs, alarms"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${local.name}"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_iam_policy_document" "key" {
  # checkov:skip=CKV_AWS_109:In the policy of a key "*" means this key, and somebody has to be able to change it
  # checkov:skip=CKV_AWS_111:As above
  # checkov:skip=CKV_AWS_356:As above
  statement {
    sid = "TheAccountsOwnPoliciesDecide"
    actions = [
      "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:CreateGrant", "kms:Decrypt", "kms:DeleteAlias", "kms:DescribeKey",
      "kms:DisableKey", "kms:DisableKeyRotation", "kms:EnableKey", "kms:EnableKeyRotation", "kms:Encrypt",
      "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus",
      "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListKeyRotations", "kms:ListResourceTags", "kms:PutKeyPolicy",
      "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:RetireGrant", "kms:RevokeGrant", "kms:ScheduleKeyDeletion",
      "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias", "kms:UpdateKeyDescription",
    ]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "LogsOfThisProject"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${var.aws_region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${local.partition}:logs:${var.aws_region}:${local.account}:log-group:*"]
    }
  }

  statement {
    sid       = "AlarmsToTheTopic"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_s3_bucket" "models" {
  # checkov:skip=CKV_AWS_144:A copy in another region is a matter of the company's recovery plan; sidecars serve on from their caches while the bucket is out of reach
  # checkov:skip=CKV2_AWS_62:Gateways look at the registry by themselves; nobody waits for events
  # checkov:skip=CKV_AWS_18:access_log_bucket says where, since a log needs a bucket that outlives this one
  bucket = coalesce(var.bucket_name, "${local.name}-model-artifacts-${local.account}")

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "models" {
  bucket = aws_s3_bucket.models.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "models" {
  bucket = aws_s3_bucket.models.id

  rule {
    bucket_key_enabled = true # one call to KMS for many objects

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "models" {
  bucket = aws_s3_bucket.models.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "models" {
  bucket = aws_s3_bucket.models.id

  rule {
    object_ownership = "BucketOwnerEnforced" # access is by policies alone
  }
}

resource "aws_s3_bucket_logging" "models" {
  count = var.access_log_bucket == null ? 0 : 1

  bucket        = aws_s3_bucket.models.id
  target_bucket = var.access_log_bucket
  target_prefix = "${aws_s3_bucket.models.id}/"
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.models.arn, "${aws_s3_bucket.models.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "models" {
  bucket     = aws_s3_bucket.models.id
  policy     = data.aws_iam_policy_document.bucket.json
  depends_on = [aws_s3_bucket_public_access_block.models]
}

# The founding rules, to STANDARD_IA after 30 days and to GLACIER after 90, would one day hide a model that serves: a sidecar
# that starts cannot wait hours for a restore. By tags S3 can only choose objects, not spare them, and a promotion would
# race the clock. So nothing that is current is ever archived: it goes to a class that is read within milliseconds and
# costs less the less it is read. What is archived is what was deleted (`sidegate registry gc`) or overwritten.
resource "aws_s3_bucket_lifecycle_configuration" "models" {
  bucket     = aws_s3_bucket.models.id
  depends_on = [aws_s3_bucket_versioning.models]

  rule {
    id     = "current-stays-at-hand"
    status = "Enabled"

    filter {
      object_size_greater_than = 131072 # smaller ones are not moved between tiers, and billed for being watched
    }
    transition {
      days          = 30
      storage_class = "INTELLIGENT_TIERING"
    }
  }

  rule {
    id     = "deleted-is-archived"
    status = "Enabled"

    filter {
      object_size_greater_than = 131072
    }
    noncurrent_version_transition {
      noncurrent_days = 90
      storage_class   = "GLACIER"
    }
  }

  rule {
    id     = "deleted-is-gone-one-day"
    status = "Enabled"

    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.deleted_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  rule {
    id     = "prediction-log"
    status = "Enabled"

    filter {
      prefix = "${local.log_prefix}/"
    }
    expiration {
      days = var.prediction_log_days
    }
    noncurrent_version_expiration {
      noncurrent_days = 1 # a log is deleted because it may not be kept
    }
  }
}
