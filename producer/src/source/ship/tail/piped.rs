//! An input whose reading may block, such as standard input, read on a thread of its own.

use super::{CHUNK, Progress, Sink, Stream};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// Chunks that may wait. Behind them the writer of the pipe waits.
const CHUNKS: usize = 4;

type Chunk = io::Result<Vec<u8>>;

/// The receiving end of the thread. The thread ends with its input, at the latest with the process.
#[derive(Debug)]
pub(super) struct Piped {
    path: PathBuf,
    stream: Stream,
    chunks: Receiver<Chunk>,
    /// What came while waiting.
    arrived: Option<Chunk>,
}

impl Piped {
    pub(super) fn start(path: &Path, from: impl Read + Send + 'static, stream: Stream) -> io::Result<Piped> {
        let (sender, chunks) = sync_channel(CHUNKS);
        std::thread::Builder::new().name("pipe".into()).spawn(move || forward(from, &sender))?;
        Ok(Piped { path: path.to_owned(), stream, chunks, arrived: None })
    }

    pub(super) fn poll(&mut self, sink: &mut Sink<'_>) -> Progress {
        match self.arrived.take().map_or_else(|| self.chunks.try_recv(), Ok) {
            Ok(Ok(chunk)) => {
                sink.push(&mut self.stream, &chunk);
                Progress::Read
            }
            Ok(Err(error)) => {
                sink.read_error(&self.path, &error);
                self.end(sink)
            }
            Err(TryRecvError::Empty) => {
                sink.release_idle(&mut self.stream);
                Progress::Waiting
            }
            Err(TryRecvError::Disconnected) => self.end(sink),
        }
    }

    /// Waits for the next chunk, at most that long.
    pub(super) fn wait(&mut self, at_most: Duration) {
        if self.arrived.is_none() {
            match self.chunks.recv_timeout(at_most) {
                Ok(chunk) => self.arrived = Some(chunk),
                // The next poll sees the end.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Takes what has arrived already; what the pipe's writer has not been read of stays unread.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        while self.poll(sink) == Progress::Read {}
        sink.finish(&mut self.stream);
    }

    fn end(&mut self, sink: &mut Sink<'_>) -> Progress {
        sink.finish(&mut self.stream);
        Progress::Ended
    }
}

fn forward(mut from: impl Read, chunks: &SyncSender<Chunk>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => Ok(buffer[..length].to_vec()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        // Nobody listens any more: the run is over.
        if chunks.send(chunk).is_err() || failed {
            return;
        }
    }
}
