terraform {
  required_version = ">= 1.11" # the state is locked by a conditional write to its bucket

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }

  # Where the state is, `terraform init -backend-config=backend.hcl` says: bootstrap/ makes the bucket and prints the file.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.aws_region

  default_tags {
    tags = {
      Project     = var.project_name
      Environment = var.environment
      ManagedBy   = "terraform"
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  name      = "${var.project_name}-${var.environment}"

  # Folders of the bucket.
  registry_prefix = var.registry_prefix
  data_prefix     = "data" # rows to train on
  log_prefix      = "log"  # predictions and their outcomes
}
