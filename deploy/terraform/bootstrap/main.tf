# Once per account, by an administrator: the bucket of the state, the trust in GitHub's tokens, and the roles that plan and
# apply. Its own state stays with who ran it; it holds no secret and changes next to never.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

provider "aws" {
  region = var.aws_region
}

variable "aws_region" {
  description = "Region of the state's bucket."
  type        = string
}

variable "project_name" {
  description = "As in the configuration that keeps its state here."
  type        = string
  default     = "sidegate"
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflow plans and applies."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.github_repository))
    error_message = "github_repository is OWNER/NAME, without wildcards."
  }
}

variable "github_oidc_provider_arn" {
  description = "ARN of the account's provider of GitHub's tokens, of which there can be one only; null: it is made here."
  type        = string
  default     = null
}

variable "apply_policy_arns" {
  description = "Policies of those who deploy in this account; they create roles, buckets and functions. What they may at most is your account's decision."
  type        = set(string)

  validation {
    condition     = length(var.apply_policy_arns) > 0 && alltrue([for arn in var.apply_policy_arns : !endswith(arn, "/AdministratorAccess")])
    error_message = "apply_policy_arns names at least one policy, and not AdministratorAccess."
  }
}

variable "permissions_boundary" {
  description = "ARN of the boundary of the role that applies; null: none."
  type        = string
  default     = null
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  issuer = "token.actions.githubusercontent.com"
  aws    = "arn:${data.aws_partition.current.partition}:iam::aws:policy"

  # Pull requests plan with rights to look at settings, not into objects; only jobs of the environment `infrastructure`,
  # which waits for an approval, apply.
  roles = {
    plan = {
      subjects = ["repo:${var.github_repository}:pull_request", "repo:${var.github_repository}:ref:refs/heads/main"]
      policies = { view = "${local.aws}/job-function/ViewOnlyAccess", audit = "${local.aws}/SecurityAudit" }
      boundary = null
      writes   = []
    }
    apply = {
      subjects = ["repo:${var.github_repository}:environment:infrastructure"]
      policies = { for arn in var.apply_policy_arns : arn => arn }
      boundary = var.permissions_boundary
      writes   = ["s3:PutObject", "s3:DeleteObject"] # the lock is deleted
    }
  }
}

# === the state ===

resource "aws_s3_bucket" "state" {
  # checkov:skip=CKV_AWS_144:What is lost with it can be imported again
  # checkov:skip=CKV_AWS_145:The AES-256 of S3 itself: a key of our own would be one more thing to lose before anything can be restored
  # checkov:skip=CKV2_AWS_62:Nobody waits for events
  # checkov:skip=CKV_AWS_18:CloudTrail knows who read it; a log needs a bucket that is older than this one
  bucket = "${var.project_name}-terraform-state-${data.aws_caller_identity.current.account_id}"

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket = aws_s3_bucket.state.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "state" {
  bucket     = aws_s3_bucket.state.id
  depends_on = [aws_s3_bucket_versioning.state]

  rule {
    id     = "former-states"
    status = "Enabled"

    filter {}
    noncurrent_version_expiration {
      noncurrent_days           = 90
      newer_noncurrent_versions = 20
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

data "aws_iam_policy_document" "state" {
  for_each = local.roles

  statement {
    sid       = "TheState"
    actions   = concat(["s3:GetObject"], each.value.writes)
    resources = ["${aws_s3_bucket.state.arn}/${var.project_name}/*"]
  }

  statement {
    sid       = "ListIt"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.state.arn]
  }
}

# === who plans, who applies ===

resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_oidc_provider_arn == null ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "trust" {
  for_each = local.roles

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.github_oidc_provider_arn == null ? aws_iam_openid_connect_provider.github[0].arn : var.github_oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = each.value.subjects
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${var.project_name}-terraform-${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.trust[each.key].json
  permissions_boundary = each.value.boundary
}

resource "aws_iam_role_policy" "state" {
  for_each = local.roles

  name   = "state"
  role   = aws_iam_role.this[each.key].name
  policy = data.aws_iam_policy_document.state[each.key].json
}

# What the two policies of AWS leave out of what a plan reads back.
data "aws_iam_policy_document" "plan" {
  statement {
    actions = ["sns:GetSubscriptionAttributes", "lambda:GetFunction"]
    resources = [
      "arn:${data.aws_partition.current.partition}:sns:*:${data.aws_caller_identity.current.account_id}:${var.project_name}-*",
      "arn:${data.aws_partition.current.partition}:lambda:*:${data.aws_caller_identity.current.account_id}:function:${var.project_name}-*",
    ]
  }
  statement {
    actions   = ["apigateway:GET"]
    resources = ["arn:${data.aws_partition.current.partition}:apigateway:*::/apis/*"]
  }
}

resource "aws_iam_role_policy" "plan" {
  name   = "plan"
  role   = aws_iam_role.this["plan"].name
  policy = data.aws_iam_policy_document.plan.json
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = merge([for role, what in local.roles : { for name, arn in what.policies : "${role}/${name}" => { role = role, arn = arn } }]...)

  role       = aws_iam_role.this[each.value.role].name
  policy_arn = each.value.arn
}

# === what to put where ===

output "backend" {
  description = "Content of backend.hcl (variable TF_BACKEND of the repository); put your environment for ENVIRONMENT, a state each."
  value       = <<-END
    bucket = "${aws_s3_bucket.state.id}"
    region = "${var.aws_region}"
    key    = "${var.project_name}/ENVIRONMENT.tfstate"
  END
}

output "roles" {
  description = "AWS_PLAN_ROLE and AWS_APPLY_ROLE of the repository."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}
