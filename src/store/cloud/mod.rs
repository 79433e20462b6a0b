//! Replicas in buckets: the common part of S3, Google Cloud Storage and Azure Blob Storage.

mod attempt;
mod batch;
mod body;
mod checksum;
mod client;
mod error;
mod listing;
mod read;
mod refusal;
mod request;
mod store;
#[cfg(test)]
mod tests;
mod transport;
mod write;

#[cfg(feature = "gcs")]
pub(super) use attempt::Attempt;
pub(super) use client::{Bucket, ClientParts, CloudClient, Service, invalid_settings, no_credentials};
pub(super) use refusal::is_region;
pub(super) use store::CloudStore;
