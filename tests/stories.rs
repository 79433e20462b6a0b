//! One module a story.

mod support;

/// What the extension does, told by those who use it.
mod stories {
    #[cfg(unix)]
    mod byte_for_byte;
    #[cfg(unix)]
    mod clients;
    mod conformance;
    #[cfg(unix)]
    mod errors;
    #[cfg(unix)]
    mod following;
    mod layers;
    mod measures;
    #[cfg(unix)]
    mod page_sizes;
    #[cfg(unix)]
    mod s3;
    #[cfg(unix)]
    mod sample;
    #[cfg(unix)]
    mod tables;
}
