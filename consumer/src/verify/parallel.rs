//! Decoding on all cores. One thread reads blocks, as many as there are cores decode them, and the caller gets
//! what they say in the order of the file:
//!
//! ```text
//!         ┌─ jobs ──▶ decode ─┐ one answer
//!  read ──┤           decode ─┤ for each block
//!    ▲    └─ order ───────────┴──▶ caller
//!    └────────── spares ─────────────┘
//! ```

use super::blocks::{Block, Blocks, Filled};
use super::tally::Tally;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, Read};
use std::thread;

/// A block on its way, and what it says once that is known.
#[derive(Default)]
struct Job {
    block: Block,
    tally: Tally,
}

/// Where a job's answer will be; the error that ended the reading.
type Pending = io::Result<Receiver<Job>>;

/// Calls `each` with what every block says, in order, until it fails; an error of the source comes last.
///
/// # Errors
/// Those of `each`.
///
/// # Panics
/// When a thread does.
pub fn for_each_tally<R: Read + Send>(
    blocks: Blocks<R>,
    workers: usize,
    mut each: impl FnMut(io::Result<&Tally>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // No more jobs than these exist. That bounds the memory, and no queue is ever full. Twice the workers: while
    // each decodes one, the next is read already.
    let count = 2 * workers + 2;
    thread::scope(|scope| {
        let (spare, spares) = bounded(count);
        let (jobs, work) = bounded::<(Job, Sender<Job>)>(count);
        let (order, pending) = bounded(count);
        for _ in 0..count {
            spare.send(Job::default()).expect("the receiver is still here");
        }
        for _ in 0..workers {
            let work = work.clone();
            scope.spawn(move || {
                for (mut job, answer) in work {
                    job.tally.fill(&job.block);
                    // Nobody waits for it when the caller has failed.
                    let _ = answer.send(job);
                }
            });
        }
        scope.spawn(move || read(blocks, &spares, &jobs, &order));
        for answer in pending {
            match answer.map(|answer| answer.recv()) {
                Ok(Ok(job)) => {
                    each(Ok(&job.tally))?;
                    // The reader is gone at the end of the file.
                    let _ = spare.send(job);
                }
                // Its worker panicked, which the scope passes on.
                Ok(Err(_)) => break,
                Err(error) => each(Err(error))?,
            }
        }
        Ok(())
    })
}

/// Reads until the file ends, or nobody listens any more.
fn read<R: Read>(
    mut blocks: Blocks<R>,
    spares: &Receiver<Job>,
    jobs: &Sender<(Job, Sender<Job>)>,
    order: &Sender<Pending>,
) {
    for mut job in spares {
        let filled = match blocks.fill(&mut job.block) {
            Ok(filled) => filled,
            Err(error) => {
                let _ = order.send(Err(error));
                return;
            }
        };
        let (answer, receiver) = bounded(1);
        let sent = match filled {
            Filled::Nothing => return,
            Filled::Lines => jobs.send((job, answer)).is_ok(),
            // Decoded here and dropped at once: so memory never holds more than one.
            Filled::LongLine => {
                job.tally.fill(&std::mem::take(&mut job.block));
                answer.send(job).is_ok()
            }
        };
        if !sent || order.send(Ok(receiver)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    /// What `each` was told, until it fails at `fail_at`: the lines of each block, all malformed, or an error.
    fn told(source: impl Read + Send, fail_at: usize) -> (Vec<Option<String>>, anyhow::Result<()>) {
        let mut told = Vec::new();
        let result = for_each_tally(Blocks::sized(source, 8, 64), 3, |tally| {
            let line = |what: &String| what.rsplit(' ').next().expect("never empty").to_owned() + "\n";
            told.push(
                tally.ok().map(|tally| tally.malformed_shown.iter().map(|(_, what)| line(what)).collect()),
            );
            if told.len() == fail_at {
                bail!("enough");
            }
            Ok(())
        });
        (told, result)
    }

    /// Fails or panics once all else is read.
    struct Bad {
        panics: bool,
    }

    impl Read for Bad {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            assert!(!self.panics, "on purpose");
            Err(io::Error::other("the disk is gone"))
        }
    }

    #[test]
    fn blocks_come_in_order() {
        // Some are longer than a block.
        let line = |i: usize| format!("{}{i}\n", "0".repeat(if i.is_multiple_of(10) { 20 } else { 1 }));
        let text: String = (0..2000).map(line).collect();
        let (told, result) = told(text.as_bytes(), usize::MAX);
        result.unwrap();
        assert_eq!(told.into_iter().map(Option::unwrap).collect::<String>(), text);
    }

    #[test]
    fn an_error_of_the_source_comes_last() {
        let source = b"1\n2\n3\n4\n5\n6\n7\n8\n".chain(Bad { panics: false });
        let (told, result) = told(source, usize::MAX);
        result.unwrap();
        assert_eq!(told, [Some("1\n2\n3\n4\n".to_owned()), Some("5\n6\n7\n8\n".to_owned()), None]);
    }

    #[test]
    fn who_has_heard_enough_is_told_no_more() {
        let (told, result) = told(io::repeat(b'\n'), 100);
        assert_eq!(result.unwrap_err().to_string(), "enough");
        assert_eq!(told.len(), 100);
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_passed_on() {
        let _ = told(b"a\nb\n".chain(Bad { panics: true }), usize::MAX);
    }
}
