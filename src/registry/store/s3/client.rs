//! The SDK's client, made to wait no longer and ask no more than it should.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_types::service_config::ServiceConfigKey;

use super::{Limits, S3Options};
use crate::config::PathStyle;

/// Where no region is named anywhere; servers that are not AWS's mostly do not care.
const REGION: Region = Region::from_static("us-east-1");
/// For obtaining credentials, which the request that needs them waits for.
const CREDENTIALS: Duration = Duration::from_secs(5);

/// Where AWS's own tools look, in the behaviour of the SDK that this code was written for.
pub(super) fn places() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
}

/// A client for the bucket; credentials are looked for in `places` at its first request.
pub(super) async fn connect(options: &S3Options, limits: &Limits, places: ConfigLoader) -> Client {
    // Without the last link of AWS's own chain, which asks the machine across the network.
    let region = RegionProviderChain::first_try(options.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(REGION);
    let mut loader = places
        .region(region)
        .retry_config(RetryConfig::standard().with_max_attempts(options.attempts.max(1)))
        .timeout_config(timeouts(limits, limits.head, limits.answer))
        .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build());
    if let Some(endpoint) = &options.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let shared = loader.load().await;
    let path_style = match options.path_style {
        PathStyle::On => true,
        PathStyle::Off => false,
        PathStyle::Auto => has_endpoint(&shared),
    };
    let config = Builder::from(&shared)
        .force_path_style(path_style)
        // Content is verified by digests of our own, and not every server knows these.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        // Progress has a deadline of our own, which resumes instead of giving up.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// Settings of one request that takes long to send, and whose repetition is not for the SDK to decide.
pub(super) fn patient(limits: &Limits, bytes: u64) -> Builder {
    let sending = Duration::from_secs(bytes / limits.write_bytes_per_second.max(1));
    aws_sdk_s3::Config::builder()
        .timeout_config(timeouts(limits, limits.head + sending, limits.answer + sending))
        .retry_config(RetryConfig::disabled())
}

fn timeouts(limits: &Limits, head: Duration, answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(limits.connect)
        .read_timeout(head)
        .operation_attempt_timeout(answer)
        .build()
}

/// Whether anybody named a server: the options, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3` or the profile.
fn has_endpoint(config: &SdkConfig) -> bool {
    let key =
        ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let of_service = || config.service_config()?.load_config(key.ok()?);
    config.endpoint_url().is_some() || of_service().is_some()
}
