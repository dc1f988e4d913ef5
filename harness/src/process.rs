//! A child process that cannot outlive this one, however this one ends.
//!
//! `setpriv --pdeathsig KILL` asks the kernel to kill the child when its parent dies, `kill -9` included. The
//! kernel means the parent *thread*: a child forked by a test's own thread would die with that test while
//! others still use it. So one thread, which lives as long as this process, forks them all.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::wait_until;

/// How long a child may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Dies when this process dies.
    WithParent,
    /// In a session of its own: lives on after this process and its terminal.
    Detached,
}

/// A command for `program`, away from the terminal's Ctrl-C, reading nothing.
pub(crate) fn command(program: impl AsRef<OsStr>, lifetime: Lifetime) -> Command {
    let mut command = match lifetime {
        Lifetime::WithParent => {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).process_group(0);
            command
        }
        Lifetime::Detached => Command::new("setsid"),
    };
    command.arg(program).stdin(Stdio::null());
    command
}

/// A file for a child's output, appended to.
pub(crate) fn output(path: &Path) -> Result<Stdio> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    Ok(file.with_context(|| format!("cannot write {}", path.display()))?.into())
}

/// A running child, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn start(name: &str, command: Command) -> Result<Process> {
        let child = spawn(command).with_context(|| {
            format!("cannot start {name} (setpriv and setsid come with util-linux: run scripts/setup)")
        })?;
        Ok(Process { name: name.to_owned(), child: Some(child) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child().id()
    }

    /// The exit status, once it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child_mut().try_wait();
        status.with_context(|| format!("cannot ask after {}", self.name))
    }

    /// Sends a signal; an error if the process has ended.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        // Until it is waited for, an ended child keeps its pid, so this cannot reach a stranger.
        if let Some(status) = self.ended()? {
            bail!("cannot signal {}: it has ended with {status}", self.name);
        }
        send_signal(self.pid(), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    pub(crate) fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("{} ({}) to end", self.name, self.pid());
        wait_until(&what, within, || self.ended().transpose())?
    }

    /// SIGKILL, and waits for the end of it; nothing if it has ended already.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let child = self.child_mut();
        child.kill().and_then(|()| child.wait()).with_context(|| format!("cannot kill {}", self.name))?;
        Ok(())
    }

    /// Lets it live on.
    pub(crate) fn detach(mut self) {
        self.child = None;
    }

    fn child(&self) -> &Child {
        self.child.as_ref().expect("only detach, which consumes the process, takes the child")
    }

    fn child_mut(&mut self) -> &mut Child {
        self.child.as_mut().expect("only detach, which consumes the process, takes the child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.is_some()
            && let Err(error) = self.kill()
        {
            eprintln!("{error:#}");
        }
    }
}

/// Sends a signal to a process by its id; the caller must know whose id it is.
///
/// # Errors
/// When there is no such process or it is not ours.
pub fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    let target =
        i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(|| format!("no process id: {pid}"))?;
    kill_process(target, signal).with_context(|| format!("process {pid} cannot be signalled"))
}

/// Forks on the thread that lives as long as this process.
fn spawn(command: Command) -> io::Result<Child> {
    type Request = (Command, Sender<io::Result<Child>>);
    static FORKING: OnceLock<Sender<Request>> = OnceLock::new();
    let forking = FORKING.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        std::thread::Builder::new()
            .name("forking".into())
            .spawn(move || {
                for (mut command, reply) in requests {
                    // Nobody waits for the reply only if the caller's thread is gone; the child is lost then.
                    reply.send(command.spawn()).ok();
                }
            })
            .expect("a thread can be started");
        sender
    });
    let (reply, answer) = channel();
    forking.send((command, reply)).expect("the forking thread never ends");
    answer.recv().expect("the forking thread answers every request")
}
