//! Replicas in buckets: the common part of S3, Google Cloud Storage and Azure Blob Storage.

mod attempt;
mod checksum;
mod client;
mod error;
mod listing;
mod read;
mod refusal;
mod request;
mod store;
mod transport;
mod write;

pub(super) use client::{Bucket, ClientParts, Service, invalid_settings, no_credentials};
pub(super) use refusal::is_region;
pub(super) use store::CloudStore;
