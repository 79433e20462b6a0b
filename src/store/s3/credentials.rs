//! The credentials of an S3 bucket.

use crate::store::environment::Secret;

/// The credentials that requests are signed with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::store) enum S3Credentials {
    /// Fixed keys.
    Static { id: Secret, secret: Secret, token: Option<Secret> },
    /// The temporary keys of a role. The environment variables configure how to request them.
    Role(Vec<(&'static str, Secret)>),
    /// A command that prints keys.
    Process(Secret),
    /// None, because the bucket is public.
    None,
}
