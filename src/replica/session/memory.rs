//! Returns free memory to the operating system.

use crate::runtime::PerProcess;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a release waits, so that it serves all replicas that are removed within that time.
const DELAY: Duration = Duration::from_secs(1);

/// Calls the allocator of the host. Set by the module that may do that.
static RELEASE: OnceLock<fn()> = OnceLock::new();

/// Sets the function that returns free memory to the operating system after replicas were removed.
pub(crate) fn set_memory_release(release: fn()) {
    // Every caller sets the same function.
    let _ = RELEASE.set(release);
}

/// Returns free memory to the operating system, once for all calls within [`DELAY`].
pub(super) async fn release_free() {
    static PENDING: PerProcess<AtomicBool> = PerProcess::new();
    let pending = PENDING.get_or_init(AtomicBool::default);
    if pending.swap(true, Ordering::Relaxed) {
        return;
    }
    tokio::time::sleep(DELAY).await;
    pending.store(false, Ordering::Relaxed);
    if let Some(release) = RELEASE.get() {
        // This can take long in a large process.
        let _ = tokio::task::spawn_blocking(*release).await;
    }
}
