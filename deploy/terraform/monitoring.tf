# What CloudWatch sees of Lambda, the API and SageMaker. What sidegate itself measures, per model and version, is
# Prometheus's (docs/monitoring.md).

resource "aws_sns_topic" "alarms" {
  name              = "${local.name}-alarms"
  kms_master_key_id = aws_kms_key.this.arn
}

resource "aws_sns_topic_subscription" "mail" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

locals {
  function_name = "${local.name}-inference"
  function_of   = { FunctionName = local.function_name }
  api_of        = local.function == 0 ? {} : { ApiId = aws_apigatewayv2_api.this[0].id }

  alarms = merge(
    local.function == 0 ? {} : {
      function-errors    = { namespace = "AWS/Lambda", metric = "Errors", dimensions = local.function_of, statistic = "Sum", above = 0, why = "invocations failed" }
      function-throttles = { namespace = "AWS/Lambda", metric = "Throttles", dimensions = local.function_of, statistic = "Sum", above = 0, why = "there is no concurrency left (lambda_concurrency)" }
      function-latency   = { namespace = "AWS/Lambda", metric = "Duration", dimensions = local.function_of, statistic = "p99", above = var.latency_p99_ms, why = "one in a hundred invocations takes longer than latency_p99_ms" }
      api-errors         = { namespace = "AWS/ApiGateway", metric = "5xx", dimensions = local.api_of, statistic = "Sum", above = 0, why = "requests were answered with 5xx" }
    },
    # SageMaker counts by variant.
    { for variant in keys(local.variants) : "endpoint-errors-${variant}" => {
      namespace = "AWS/SageMaker", metric = "Invocation5XXErrors", dimensions = { EndpointName = var.endpoint_name, VariantName = variant }, statistic = "Sum", above = 0, why = "requests were answered with 5xx"
    } },
    { for variant in keys(local.variants) : "endpoint-latency-${variant}" => {
      namespace = "AWS/SageMaker", metric = "ModelLatency", dimensions = { EndpointName = var.endpoint_name, VariantName = variant }, statistic = "p99", above = var.latency_p99_ms * 1000, why = "one in a hundred requests takes longer than latency_p99_ms"
    } },
  )

  # Of the dashboard: title, and its metrics as [namespace, name, dimension, value…].
  widgets = concat(
    local.function == 0 ? [] : [
      { title = "Lambda Metrics", metrics = [
        ["AWS/Lambda", "Invocations", "FunctionName", local.function_name, { stat = "Sum" }],
        ["AWS/Lambda", "Errors", "FunctionName", local.function_name, { stat = "Sum" }],
        ["AWS/Lambda", "Duration", "FunctionName", local.function_name, { stat = "Average" }],
      ] },
      { title = "API", metrics = [
        ["AWS/ApiGateway", "Count", "ApiId", aws_apigatewayv2_api.this[0].id, { stat = "Sum" }],
        ["AWS/ApiGateway", "4xx", "ApiId", aws_apigatewayv2_api.this[0].id, { stat = "Sum" }],
        ["AWS/ApiGateway", "5xx", "ApiId", aws_apigatewayv2_api.this[0].id, { stat = "Sum" }],
        ["AWS/ApiGateway", "Latency", "ApiId", aws_apigatewayv2_api.this[0].id, { stat = "p99" }],
      ] },
    ],
    local.endpoint == 0 ? [] : [
      for metric, stat in { Invocations = "Sum", Invocation5XXErrors = "Sum", ModelLatency = "p99" } : {
        title                           = "SageMaker ${metric}"
        metrics                         = [for variant in keys(local.variants) : ["AWS/SageMaker", metric, "EndpointName", var.endpoint_name, "VariantName", variant, { stat = stat }]]
      }
    ],
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${local.name}-${each.key}"
  alarm_description   = "In two of three periods of a minute ${each.value.why}."
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching" # no request, no failure
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_dashboard" "this" {
  count = length(local.widgets) > 0 ? 1 : 0

  dashboard_name = "${local.name}-monitoring"
  dashboard_body = jsonencode({
    widgets = [for place, widget in local.widgets : {
      type       = "metric"
      x          = 12 * (place % 2)
      y          = 6 * floor(place / 2)
      width      = 12
      height     = 6
      properties = { title = widget.title, metrics = widget.metrics, region = var.aws_region, period = 300, view = "timeSeries" }
    }]
  })
}
