resource "aws_ecr_repository" "models" {
  name                 = "${local.name}-models"
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.this.arn
  }
}

resource "aws_ecr_lifecycle_policy" "models" {
  repository = aws_ecr_repository.models.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "The last 10 images"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 10 }
      action       = { type = "expire" }
    }]
  })
}

# Lambda pulls by itself and not as the function's role.
data "aws_iam_policy_document" "pull" {
  statement {
    sid     = "FunctionsOfThisAccount"
    actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:lambda:${var.aws_region}:${local.account}:function:${local.name}-inference"]
    }
  }
}

resource "aws_ecr_repository_policy" "models" {
  repository = aws_ecr_repository.models.name
  policy     = data.aws_iam_policy_document.pull.json
}
