//! A panic is a bug, and ends the program: without one of its threads it could wait for ever, or look well and not work.
//! What a program leaves at any instant is what its next start goes on from, so nothing is lost by it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use tracing::error;

/// From now on a panic of any thread is logged in one line, and the process aborts (SIGABRT).
pub fn on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        say(panic);
        std::process::abort();
    }));
}

fn say(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let reason = panic.payload_as_str().unwrap_or("no reason");
    error!(
        thread = thread.name().unwrap_or("unnamed"),
        place, reason, "a bug in this program, please report it: it ends"
    );
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        eprintln!("{backtrace}");
    }
}

#[cfg(test)]
mod tests {
    use super::on_panic;
    use crate::telemetry::{self, LogFormat};
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::thread;

    const CHILD: &str = "CRASH_TEST_CHILD";

    /// This test's program once more, in which another thread panics.
    #[test]
    fn a_panic_of_any_thread_ends_the_program() {
        if std::env::var_os(CHILD).is_some() {
            telemetry::init(LogFormat::Json);
            on_panic();
            let sender = thread::Builder::new().name("sender".to_owned());
            let panicked = sender.spawn(|| panic!("two\nlines")).expect("a thread").join();
            unreachable!("it goes on after {panicked:?}");
        }
        let name = "crash::tests::a_panic_of_any_thread_ends_the_program";
        let mut child = Command::new(std::env::current_exe().expect("our path"));
        let ended = child.args([name, "--exact", "--nocapture"]).env(CHILD, "1").output().expect("it runs");
        assert_eq!(ended.status.signal(), Some(6), "{ended:?}");
        let said = String::from_utf8(ended.stderr).expect("text");
        let line =
            said.lines().find(|line| line.contains("a bug in this program")).expect("a line of the log");
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!((&line["thread"], &line["reason"]), (&"sender".into(), &"two\nlines".into()));
    }
}
