# The same image as a function, by its command `lambda`, behind an HTTP API that asks for AWS signatures; without
# `lambda_models`, the default, nothing of this is made.

locals {
  function = length(var.lambda_models) > 0 ? 1 : 0

  routes = local.function == 0 ? [] : [
    "POST /predict", "GET /health", "GET /model/info", "POST /invocations",
    "GET /v2/models/{model}", "POST /v2/models/{model}/infer",
  ]
}

resource "aws_cloudwatch_log_group" "function" {
  count = local.function

  name              = "/aws/lambda/${local.name}-inference"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_lambda_function" "inference" {
  # checkov:skip=CKV_AWS_116:A dead letter queue is for events; these are requests, and whoever asked is told of a failure
  # checkov:skip=CKV_AWS_117:It talks to S3 and KMS alone, which need no private network
  # checkov:skip=CKV_AWS_272:Code signing is for zip files; the image is named by its digest
  count = local.function

  function_name                  = "${local.name}-inference"
  role                           = aws_iam_role.lambda.arn
  package_type                   = "Image"
  image_uri                      = var.image_uri
  architectures                  = [var.lambda_architecture]
  memory_size                    = var.lambda_memory_mb
  timeout                        = var.lambda_timeout_seconds
  reserved_concurrent_executions = var.lambda_concurrency
  kms_key_arn                    = aws_kms_key.this.arn

  image_config {
    command = concat(["lambda"], var.lambda_metrics_namespace == null ? [] : ["--embedded-metrics", var.lambda_metrics_namespace])
  }

  environment {
    variables = {
      SIDEGATE_REGISTRY__URL       = "s3://${aws_s3_bucket.models.id}/${local.registry_prefix}"
      SIDEGATE_REGISTRY__MODELS    = join(",", var.lambda_models)
      SIDEGATE_REGISTRY__CACHE_DIR = "/tmp/sidegate" # the only place a function may write to
      SIDEGATE_LOG__FORMAT         = "json"
    }
  }

  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_iam_role_policy.lambda, aws_cloudwatch_log_group.function]
}

resource "aws_apigatewayv2_api" "this" {
  count = local.function

  name          = "${local.name}-api"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "function" {
  count = local.function

  api_id                 = aws_apigatewayv2_api.this[0].id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.inference[0].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = min(30000, var.lambda_timeout_seconds * 1000)
}

resource "aws_apigatewayv2_route" "this" {
  for_each = toset(local.routes)

  api_id             = aws_apigatewayv2_api.this[0].id
  route_key          = each.key
  authorization_type = "AWS_IAM"
  target             = "integrations/${aws_apigatewayv2_integration.function[0].id}"
}

resource "aws_cloudwatch_log_group" "api" {
  count = local.function

  name              = "/aws/apigateway/${local.name}-api"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_apigatewayv2_stage" "this" {
  count = local.function

  api_id      = aws_apigatewayv2_api.this[0].id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.api_requests_per_second
    throttling_burst_limit   = 2 * var.api_requests_per_second
    detailed_metrics_enabled = true
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api[0].arn
    format = jsonencode({
      id         = "$context.requestId", route = "$context.routeKey", status = "$context.status",
      latency_ms = "$context.responseLatency", caller = "$context.identity.userArn",
    })
  }
}

resource "aws_lambda_permission" "api" {
  count = local.function

  statement_id  = "api"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.inference[0].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this[0].execution_arn}/*"
}

# For those who ask the API: attach it to their roles.
data "aws_iam_policy_document" "call" {
  count = local.function

  statement {
    sid       = "AskForPredictions"
    actions   = ["execute-api:Invoke"]
    resources = ["${aws_apigatewayv2_api.this[0].execution_arn}/$default/*"]
  }
}

resource "aws_iam_policy" "call" {
  count = local.function

  name        = "${local.name}-call"
  description = "What an app needs to ask the API of ${local.name}"
  policy      = data.aws_iam_policy_document.call[0].json
}
