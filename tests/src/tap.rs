//! A tap directly before the client: a TCP relay that counts every byte that the gateway sends on one connection, and
//! can tell exactly how many had arrived at an instant, what lies unread in its own kernel buffer included.
//!
//! It always reads, unless it is told to stall: then it is the slow reader itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// One tapped connection.
pub struct Tap {
    /// Where the client connects.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    gateway: Mutex<Option<TcpStream>>,
    read: Mutex<u64>,
    grew: Condvar,
    stall_after: AtomicU64,
    ended: AtomicBool,
}

impl Tap {
    /// A tap for one connection to `gateway` that stalls after so many bytes; `u64::MAX` never.
    pub fn new(gateway: SocketAddr, stall_after: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            gateway: Mutex::new(None),
            read: Mutex::new(0),
            grew: Condvar::new(),
            stall_after: AtomicU64::new(stall_after),
            ended: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || relay(&listener, gateway, &for_thread));
        Self { address, shared }
    }

    /// Waits until so many bytes have been read, or the connection has ended.
    pub fn wait_for(&self, bytes: u64) {
        let mut read = self.shared.read.lock().unwrap();
        while *read < bytes && !self.shared.ended.load(Ordering::Acquire) {
            (read, _) = self.shared.grew.wait_timeout(read, Duration::from_millis(50)).unwrap();
        }
    }

    /// Bytes that have arrived up to now: read, or waiting in this end's kernel buffer.
    pub fn arrived(&self) -> u64 {
        let read = self.shared.read.lock().unwrap();
        let gateway = self.shared.gateway.lock().unwrap();
        let waiting = gateway.as_ref().map_or(0, |tcp| rustix::io::ioctl_fionread(tcp).unwrap_or(0));
        *read + waiting
    }

    /// Reads on after a stall, to the end of the connection: all bytes that ever arrived.
    pub fn drain(&self) -> u64 {
        self.shared.stall_after.store(u64::MAX, Ordering::Release);
        let mut read = self.shared.read.lock().unwrap();
        while !self.shared.ended.load(Ordering::Acquire) {
            (read, _) = self.shared.grew.wait_timeout(read, Duration::from_millis(50)).unwrap();
        }
        *read
    }
}

fn relay(listener: &TcpListener, gateway: SocketAddr, shared: &Shared) {
    let (client, _) = listener.accept().unwrap();
    let upstream = TcpStream::connect(gateway).unwrap();
    upstream.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    *shared.gateway.lock().unwrap() = Some(upstream.try_clone().unwrap());
    let (mut up, mut from_client) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut up);
    });
    // What arrives is passed on by a thread of its own, so that a client that doesn't read never keeps the tap from
    // reading.
    let (sender, receiver) = std::sync::mpsc::channel::<Vec<u8>>();
    let mut to_client = client.try_clone().unwrap();
    std::thread::spawn(move || {
        while let Ok(bytes) = receiver.recv() {
            if to_client.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    });
    upstream.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if *shared.read.lock().unwrap() >= shared.stall_after.load(Ordering::Acquire) {
            // Not a wait for an event of the gateway: a stalled reader does nothing until it is told to go on.
            std::thread::park_timeout(Duration::from_millis(1));
            continue;
        }
        let mut fds = [PollFd::new(&upstream, PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 20_000_000 }));
        let mut read = shared.read.lock().unwrap();
        match (&upstream).read(&mut buffer) {
            Ok(0) => break,
            Ok(more) => {
                *read += more as u64;
                let _ = sender.send(buffer[..more].to_vec());
                shared.grew.notify_all();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    shared.ended.store(true, Ordering::Release);
    *shared.gateway.lock().unwrap() = None;
    shared.grew.notify_all();
}
