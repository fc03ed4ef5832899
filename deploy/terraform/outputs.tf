output "registry_url" {
  description = "registry.url of gateways, trainings and commands (SIDEGATE_REGISTRY__URL)."
  value       = "s3://${aws_s3_bucket.models.id}/${local.registry_prefix}"
}

output "data_url" {
  description = "Where rows to train on are put."
  value       = "s3://${aws_s3_bucket.models.id}/${local.data_prefix}"
}

output "prediction_log_url" {
  description = "prediction_log.url of gateways that keep one."
  value       = "s3://${aws_s3_bucket.models.id}/${local.log_prefix}"
}

output "image_repository" {
  description = "Where the image is pushed to."
  value       = aws_ecr_repository.models.repository_url
}

output "roles" {
  description = "Roles by who takes them: gateway and trainer are for service accounts (eks.amazonaws.com/role-arn), workflow is AWS_TRAINING_ROLE of the repository."
  value       = merge({ for name, role in aws_iam_role.web_identity : name => role.arn }, { sagemaker = aws_iam_role.sagemaker.arn, lambda = aws_iam_role.lambda.arn })
}

output "endpoint" {
  description = "The SageMaker endpoint; null without variants."
  value       = one(aws_sagemaker_endpoint.this[*].name)
}

output "api_url" {
  description = "Where the API listens; requests are signed (SigV4, service execute-api). Null without lambda_models."
  value       = one(aws_apigatewayv2_api.this[*].api_endpoint)
}

output "caller_policy" {
  description = "Policy for the roles of those who ask the API; null without lambda_models."
  value       = one(aws_iam_policy.call[*].arn)
}

output "alarms" {
  description = "Topic that alarms go to."
  value       = aws_sns_topic.alarms.arn
}
