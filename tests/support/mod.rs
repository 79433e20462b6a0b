//! What the stories share: the real primary, the programs that load the extension, and ways to look at what they read.

pub mod extension;
#[cfg(unix)]
pub mod hosts;
#[cfg(unix)]
pub mod litestream;
pub mod pages;
#[cfg(unix)]
pub mod programs;
pub mod s3;
pub mod workload;
