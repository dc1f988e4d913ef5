//! One shutdown flag for a whole program: the first SIGINT or SIGTERM asks for a clean end, the second
//! ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code after a second signal: 128 + SIGINT.
const EXIT_FORCED: i32 = 130;

/// Comes to who writes beyond the size that a file may have (`ulimit -f`); the same number on all Linux but MIPS, in
/// signal(7).
const SIGXFSZ: i32 = 25;

/// Cheap to clone; every thread looks at the same flag.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Starts listening for SIGINT and SIGTERM on a thread of its own. SIGXFSZ is taken and does nothing, so that a file
    /// that gets too large is an error of its writer, and not the silent end of the program.
    ///
    /// # Errors
    /// When the operating system refuses a thread or a signal handler.
    pub fn on_signals() -> std::io::Result<Shutdown> {
        let shutdown = Shutdown::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _guard = runtime.enter();
            // Once listened for, it stays without effect.
            drop(signal(SignalKind::from_raw(SIGXFSZ))?);
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let token = shutdown.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if token.0.swap(true, Ordering::SeqCst) {
                        eprintln!("ended at once, by a second signal");
                        std::process::exit(EXIT_FORCED);
                    }
                }
            });
        })?;
        Ok(shutdown)
    }

    /// Asks for a clean end, as a signal would.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// True once a clean end was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
