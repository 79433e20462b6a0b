//! Progress bars on stderr. They are shown only if stderr is a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// The time between two updates of a bar.
pub const REFRESH: Duration = Duration::from_millis(100);

/// Returns a bar for this many bytes.
pub fn bytes(total: u64, what: &str) -> ProgressBar {
    bar(total, what, "{bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
}

/// Returns a bar for tenths of a percent.
pub fn per_mille(what: &str) -> ProgressBar {
    bar(1000, what, "{percent} %, {eta} left")
}

fn bar(total: u64, what: &str, numbers: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{msg}} [{{bar:30}}] {numbers}"))
        .expect("the template is correct")
        .progress_chars("=> ");
    let bar = ProgressBar::new(total).with_style(style).with_message(what.to_owned());
    bar.enable_steady_tick(REFRESH);
    bar
}

/// Returns a number of bytes for people.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
