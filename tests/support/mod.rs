//! What the stories share.

pub mod s3;
