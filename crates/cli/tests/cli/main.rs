//! Tests of the program as its users run it, on replicas that the real Litestream wrote.

// Litestream does not run on Windows.
#![cfg(unix)]

mod support;

mod diff;
mod export;
mod failures;
mod guide;
mod hydrate;
mod pages;
mod printing;
mod progress;
mod reports;
mod shell;
mod streaming;
mod watching;
