//! A TCP proxy of the tests' own: the network between a client and a server on this machine, to be slowed, silenced,
//! cut and reset.

use anyhow::{Context, Result};
use rustix::net::sockopt::set_socket_linger;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::ports::free_port;

/// How soon a connection notices that its link has changed.
const LOOK: Duration = Duration::from_millis(10);

/// Bytes on their way at once in each direction; a slow link delays so much at a time.
const CHUNK: usize = 64 << 10;

/// What the network does with the connections through a [`Proxy`], those there are and new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It delivers.
    Up,
    /// It delivers at most 64 KiB at a time in each direction, each time so much later.
    Slow(Duration),
    /// Nothing is delivered, and nobody is told: a half-open connection, or a cable that is out.
    Silent,
    /// Connections are closed, and new ones, too.
    Down,
    /// The proxy is gone.
    Gone,
}

/// A port of 127.0.0.1 that leads to another one.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    link: Mutex<Link>,
    target: AtomicU16,
    /// Counts resets: connections of an earlier age are reset.
    age: AtomicU64,
}

impl Proxy {
    /// Listens on a free port; connections go to the port `target`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(target: u16) -> Result<Proxy> {
        let port = free_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot listen on port {port}"))?;
        let shared = Arc::new(Shared {
            link: Mutex::new(Link::Up),
            target: AtomicU16::new(target),
            age: AtomicU64::new(0),
        });
        let for_connections = Arc::clone(&shared);
        thread::Builder::new().name("proxy".into()).spawn(move || {
            for client in listener.incoming().flatten() {
                match for_connections.link() {
                    Link::Gone => return,
                    // Closed at once.
                    Link::Down => {}
                    Link::Up | Link::Slow(_) | Link::Silent => {
                        let shared = Arc::clone(&for_connections);
                        thread::spawn(move || connect(client, &shared));
                    }
                }
            }
        })?;
        Ok(Proxy { port, shared })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what the network does from now on.
    pub fn set(&self, link: Link) {
        *self.shared.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    /// Resets the connections there are; new ones get through.
    pub fn reset(&self) {
        self.shared.age.fetch_add(1, Ordering::Relaxed);
    }

    /// New connections go to another port.
    pub fn lead_to(&self, target: u16) {
        self.shared.target.store(target, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Link::Gone);
        // Wakes the thread that accepts; if it cannot be reached, it has ended.
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
    }
}

impl Shared {
    fn link(&self) -> Link {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the link delivers; then the delay, or none if connections are to be closed.
    fn delay(&self, age: u64) -> Option<Duration> {
        loop {
            if self.age.load(Ordering::Relaxed) != age {
                return None;
            }
            match self.link() {
                Link::Up => return Some(Duration::ZERO),
                Link::Slow(delay) => return Some(delay),
                Link::Silent => thread::park_timeout(LOOK),
                Link::Down | Link::Gone => return None,
            }
        }
    }
}

/// Serves one connection until either side or the link ends it.
fn connect(client: TcpStream, shared: &Arc<Shared>) {
    let age = shared.age.load(Ordering::Relaxed);
    // A server that is down: the client sees its connection closed.
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.target.load(Ordering::Relaxed))) else {
        return;
    };
    let (client, server) = (Arc::new(client), Arc::new(server));
    let back = {
        let (from, to, shared) = (Arc::clone(&server), Arc::clone(&client), Arc::clone(shared));
        thread::spawn(move || pump(&from, &to, &shared, age))
    };
    pump(&client, &server, shared, age);
    back.join().ok();
    if shared.age.load(Ordering::Relaxed) != age {
        // The closing that follows is then a reset (RST) instead of an end (FIN).
        for stream in [&client, &server] {
            set_socket_linger(stream.as_ref(), Some(Duration::ZERO)).ok();
        }
    }
}

/// Moves bytes one way until the end; closes what an error or the link has broken in both directions.
fn pump(from: &TcpStream, to: &TcpStream, shared: &Shared, age: u64) {
    if move_all(from, to, shared, age).is_ok() {
        to.shutdown(Shutdown::Write).ok();
    } else if shared.age.load(Ordering::Relaxed) == age {
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    }
}

fn move_all(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared, age: u64) -> io::Result<()> {
    let broken = || io::Error::from(ErrorKind::ConnectionReset);
    from.set_read_timeout(Some(LOOK))?;
    from.set_nodelay(true)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        shared.delay(age).ok_or_else(broken)?;
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        };
        let until = Instant::now() + shared.delay(age).ok_or_else(broken)?;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            thread::park_timeout(left);
        }
        to.write_all(&chunk[..read])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait_until;

    /// A server that sends back what it gets, and a proxy before it.
    fn echo() -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        Proxy::start(port).unwrap()
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        stream
    }

    /// Sends a byte and waits for it.
    fn says(stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])
    }

    #[test]
    fn a_link_delivers_late_not_at_all_or_breaks() {
        let proxy = echo();
        let mut stream = client(&proxy);
        says(&mut stream).unwrap();

        proxy.set(Link::Slow(Duration::from_millis(60)));
        let begun = Instant::now();
        says(&mut stream).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(120), "{:?}", begun.elapsed());

        proxy.set(Link::Silent);
        assert_eq!(says(&mut stream).unwrap_err().kind(), ErrorKind::WouldBlock);
        proxy.set(Link::Up);
        stream.read_exact(&mut [0]).unwrap();

        proxy.reset();
        let mut kind = None;
        wait_until("the connection to be reset", Duration::from_secs(10), || {
            kind = says(&mut stream).err().map(|error| error.kind());
            kind.is_some_and(|kind| kind != ErrorKind::WouldBlock)
        })
        .unwrap();
        assert_eq!(kind, Some(ErrorKind::ConnectionReset));
        let mut stream = client(&proxy);
        says(&mut stream).unwrap();

        proxy.set(Link::Down);
        wait_until("the connection to be closed", Duration::from_secs(10), || says(&mut stream).is_err())
            .unwrap();
        assert!(says(&mut client(&proxy)).is_err());
        proxy.set(Link::Up);
        says(&mut client(&proxy)).unwrap();
    }
}
