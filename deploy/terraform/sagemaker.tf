# The endpoint `production-model`: variants that share the traffic, and at most one shadow. A SageMaker model is a version's
# folder of the registry as it is, laid at /opt/ml/model, and the sidegate image, started as `serve` on port 8080.
# Whoever has sidecars needs none of this: there a promotion in the registry is the deployment.

locals {
  # A release moves the variant `champion` to another version with its file, and nothing else of it.
  variants = { for name, variant in var.variants : name => merge(variant, {
    version = name == "champion" ? coalesce(var.champion_version, variant.version) : variant.version
    file    = name == "champion" ? coalesce(var.champion_file, variant.file) : variant.file
  }) }
  endpoint = length(local.variants) > 0 ? 1 : 0

  # What an alarm takes back: one variant without a shadow. SageMaker wants a canary to be no more than half of the instances,
  # and of one there is no half.
  guarded = length(local.variants) == 1 && var.shadow == null ? values(local.variants) : []
  routing = [for variant in local.guarded : variant.instances >= 2 ? "CANARY" : "ALL_AT_ONCE"]

  # Every version that a variant or the shadow serves, once, with its model file: `one` of those that were said of it.
  said     = { for variant in concat(values(local.variants), var.shadow == null ? [] : [var.shadow]) : tostring(variant.version) => variant.file... }
  versions = { for version, files in local.said : version => one(distinct(files)) }
}

resource "aws_sagemaker_model" "version" {
  for_each = local.versions

  # Models of SageMaker never change: another image or file is another model. Names take no dots and underscores, and 63 letters.
  name                     = "${trimsuffix(substr("${local.name}-${replace(var.model_name, "/[._]/", "-")}", 0, 42), "-")}-${each.key}-${substr(sha256("${var.model_name} ${each.value} ${var.image_uri}"), 0, 8)}"
  execution_role_arn       = aws_iam_role.sagemaker.arn
  enable_network_isolation = true # it needs nothing beyond its folder

  primary_container {
    image = var.image_uri

    # One model at SageMaker's address; enough for /ping and /invocations.
    environment = {
      SIDEGATE_HTTP__LISTEN  = "0.0.0.0:8080"
      SIDEGATE_REGISTRY__URL = "/opt/ml/model/${each.value}"
    }

    model_data_source {
      s3_data_source {
        s3_uri           = "s3://${aws_s3_bucket.models.id}/${local.registry_prefix}/${var.model_name}/${each.key}/"
        s3_data_type     = "S3Prefix"
        compression_type = "None"
      }
    }
  }

  depends_on = [aws_iam_role_policy.sagemaker]

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_sagemaker_endpoint_configuration" "this" {
  count = local.endpoint

  name_prefix = "${local.name}-"
  kms_key_arn = var.encrypt_endpoint_volumes ? aws_kms_key.this.arn : null

  dynamic "production_variants" {
    for_each = local.variants

    content {
      variant_name                                      = production_variants.key
      model_name                                        = aws_sagemaker_model.version[tostring(production_variants.value.version)].name
      instance_type                                     = production_variants.value.instance_type
      initial_instance_count                            = production_variants.value.instances
      initial_variant_weight                            = production_variants.value.weight
      container_startup_health_check_timeout_in_seconds = 120
    }
  }

  dynamic "shadow_production_variants" {
    for_each = var.shadow == null ? [] : [var.shadow]

    content {
      variant_name                                      = "shadow"
      model_name                                        = aws_sagemaker_model.version[tostring(shadow_production_variants.value.version)].name
      instance_type                                     = shadow_production_variants.value.instance_type
      initial_instance_count                            = shadow_production_variants.value.instances
      initial_variant_weight                            = shadow_production_variants.value.share
      container_startup_health_check_timeout_in_seconds = 120
    }
  }

  lifecycle {
    create_before_destroy = true # the endpoint moves from one to the next
  }
}

resource "aws_cloudwatch_log_group" "endpoint" {
  count = local.endpoint

  name              = "/aws/sagemaker/Endpoints/${var.endpoint_name}"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_sagemaker_endpoint" "this" {
  count = local.endpoint

  name                 = var.endpoint_name
  endpoint_config_name = aws_sagemaker_endpoint_configuration.this[0].name

  # A new configuration gets a tenth of the traffic first, of a single instance all of it, and an alarm takes it back.
  # SageMaker does that for one variant without a shadow; with more the new fleet takes over when it is healthy.
  dynamic "deployment_config" {
    for_each = local.routing

    content {
      blue_green_update_policy {
        termination_wait_in_seconds = 300

        traffic_routing_configuration {
          type                     = deployment_config.value
          wait_interval_in_seconds = 300

          dynamic "canary_size" {
            for_each = deployment_config.value == "CANARY" ? [10] : []

            content {
              type  = "CAPACITY_PERCENT"
              value = canary_size.value
            }
          }
        }
      }
      auto_rollback_configuration {
        alarms {
          alarm_name = aws_cloudwatch_metric_alarm.this["endpoint-errors-${keys(local.variants)[0]}"].alarm_name
        }
      }
    }
  }

  depends_on = [aws_cloudwatch_log_group.endpoint]
}
