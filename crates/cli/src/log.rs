//! What the library logs.

use std::io;
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

/// Prints only warnings of the library, on stderr, because the program prints the errors itself. Its variables give its whole log instead.
pub fn start() {
    if ["LITESTREAM_LOG_LEVEL", "LITESTREAM_LOG_FILE"].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
    let is_warning = filter_fn(|event| *event.level() == Level::WARN && event.target().starts_with("litestream_vfs"));
    let warnings = lines.without_time().with_filter(is_warning);
    // This is the only subscriber of the process.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(warnings));
}
