//! Memory that a backlog took goes back once it is read: every some seconds, on a thread of its own.

use std::time::Duration;

const EVERY: Duration = Duration::from_secs(10);

/// Starts the thread.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start() -> std::io::Result<()> {
    std::thread::Builder::new().name("memory".into()).spawn(|| {
        loop {
            std::thread::park_timeout(EVERY);
            kafka::memory::give_back();
        }
    })?;
    Ok(())
}
