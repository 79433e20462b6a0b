//! One module a story.

#[path = "support/mod.rs"]
mod support;

#[path = "stories/conformance.rs"]
mod conformance;
