//! A client that can tell when each byte of an answer reached it: it reads TLS record by record, and notes at which place of
//! the TCP stream the record with the last byte of each answer's body ended. What had arrived at an instant, unread bytes
//! in the kernel included, is a place too; so "not one byte after it" is a comparison of two numbers.
//!
//! HTTP/1.1 with one request, or HTTP/2 with many, as fast, slow or stalled as it is told to be.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::BufMut;
use rustls::{ClientConfig, ClientConnection};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

/// How long anything may take before the test gives up: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(120);
const RECORD_HEADER: usize = 5;
const FRAME_HEADER: usize = 9;

/// How a connection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Whatever comes, at once.
    Fast,
    /// So many bytes, then a pause, behind the first bytes of the answer.
    Slow(usize, Duration),
    /// Nothing behind the first bytes of the answer, until [`Reader::hurry`].
    Stalled,
}

/// What came of one answer.
#[derive(Clone, Debug, Default)]
pub struct Got {
    /// Its status; zero before it came.
    pub status: u16,
    /// Bytes of its body.
    pub bytes: usize,
    /// Where in the TCP stream the record with the last of them ended.
    pub last: u64,
    /// SHA-256 of the body, when it came whole.
    pub digest: Option<Vec<u8>>,
    /// It ended before it was whole.
    pub broken: bool,
}

impl Got {
    /// Nothing more is to be expected.
    pub fn is_over(&self) -> bool {
        self.broken || self.digest.is_some()
    }
}

/// One connection.
pub struct Reader {
    tcp: TcpStream,
    http2: bool,
    state: Mutex<State>,
    writing: tokio::sync::Mutex<()>,
    hurry: AtomicBool,
    changed: watch::Sender<u64>,
}

struct State {
    tls: ClientConnection,
    /// Read, and not yet a whole record.
    raw: Vec<u8>,
    /// Kept for the next record.
    buffer: Vec<u8>,
    /// The place of its first byte.
    place: u64,
    /// Decrypted, and not yet a whole frame's header (HTTP/2) or head (HTTP/1.1).
    plain: Vec<u8>,
    frame: Option<Open>,
    answers: HashMap<u32, Got>,
    digests: HashMap<u32, Context>,
    length: Option<usize>,
    next: u32,
    pings: u64,
    ended: bool,
    reply: Vec<u8>,
}

/// A frame whose payload is coming in.
struct Open {
    kind: u8,
    flags: u8,
    stream: u32,
    left: usize,
    payload: Vec<u8>,
}

impl Reader {
    /// Connects; with HTTP/2 each stream's window is so large at first.
    pub async fn connect(
        address: SocketAddr,
        tls: Arc<ClientConfig>,
        window: Option<u32>,
        receive_buffer: Option<u32>,
    ) -> Arc<Self> {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let tcp = socket.connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let state = State {
            tls: ClientConnection::new(tls, name).unwrap(),
            raw: Vec::new(),
            buffer: Vec::new(),
            place: 0,
            plain: Vec::new(),
            frame: None,
            answers: HashMap::new(),
            digests: HashMap::new(),
            length: None,
            next: 1,
            pings: 0,
            ended: false,
            reply: Vec::new(),
        };
        let reader = Arc::new(Self {
            tcp,
            http2: window.is_some(),
            state: Mutex::new(state),
            writing: tokio::sync::Mutex::new(()),
            hurry: AtomicBool::new(false),
            changed: watch::Sender::new(0),
        });
        reader.send(&[]).await;
        while reader.state.lock().unwrap().tls.is_handshaking() {
            assert!(reader.read_some(64 << 10).await, "the handshake ended early");
        }
        if let Some(window) = window {
            let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            // No table for header fields (1), no push (2), this window (4).
            let w = window.to_be_bytes();
            let settings = [0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, w[0], w[1], w[2], w[3]];
            hello.extend(frame(4, 0, 0, &settings));
            hello.extend(frame(8, 0, 0, &(1u32 << 30).to_be_bytes()));
            reader.send(&hello).await;
        }
        reader
    }

    /// Encrypts and sends; whether it arrives shows in the answers.
    pub async fn send(&self, plain: &[u8]) {
        let _turn = self.writing.lock().await;
        let mut bytes = Vec::new();
        {
            let mut state = self.state.lock().unwrap();
            state.tls.writer().write_all(plain).unwrap();
            while state.tls.wants_write() {
                state.tls.write_tls(&mut bytes).unwrap();
            }
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            if self.tcp.writable().await.is_err() {
                return;
            }
            match self.tcp.try_write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Asks for a path; the number of the stream (HTTP/1.1: 1).
    pub async fn ask(&self, authority: &str, path: &str, token: &str) -> u32 {
        if !self.http2 {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\r\n");
            self.state.lock().unwrap().answers.insert(1, Got::default());
            self.send(head.as_bytes()).await;
            return 1;
        }
        let bearer = format!("Bearer {token}");
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", authority),
            (":path", path),
            ("authorization", &bearer),
        ];
        let id = {
            let mut state = self.state.lock().unwrap();
            let id = state.next;
            state.next += 2;
            state.answers.insert(id, Got::default());
            id
        };
        self.send(&frame(1, 5, id, &block(&fields))).await;
        id
    }

    /// Lets so many bytes more come on a stream.
    pub async fn grant(&self, stream: u32, bytes: u32) {
        if !self.http2 {
            return;
        }
        self.send(&frame(8, 0, stream, &bytes.to_be_bytes())).await;
    }

    /// Resets a stream.
    pub async fn reset(&self, stream: u32) {
        self.state.lock().unwrap().answers.entry(stream).or_default().broken = true;
        self.send(&frame(3, 0, stream, &8u32.to_be_bytes())).await;
    }

    /// Reads to the end of the connection.
    pub async fn read(self: Arc<Self>, pace: Pace) {
        loop {
            let hurry = self.hurry.load(Ordering::Acquire);
            let begun = self.state.lock().unwrap().answers.values().any(|got| got.bytes > 0);
            let most = match pace {
                _ if hurry => 64 << 10,
                Pace::Fast => 64 << 10,
                // Up to the first record of the body.
                _ if !begun => 1 << 10,
                Pace::Slow(most, pause) => {
                    // Not a wait for an event: a slow reader is slow.
                    tokio::time::sleep(pause).await;
                    most
                }
                Pace::Stalled => {
                    let mut changed = self.changed.subscribe();
                    let _ = changed.wait_for(|_| self.hurry.load(Ordering::Acquire)).await;
                    continue;
                }
            };
            if !self.read_some(most).await {
                return;
            }
        }
    }

    /// From now on it is read at once.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Release);
        self.changed.send_modify(|n| *n += 1);
    }

    async fn read_some(&self, most: usize) -> bool {
        let readable = self.tcp.readable().await.is_ok();
        let (reply, goes_on) = {
            let mut state = self.state.lock().unwrap();
            let goes_on = match self.tcp.try_read_buf(&mut (&mut state.raw).limit(most)) {
                Ok(n) if n > 0 && readable => state.absorb(self.http2),
                Err(error) if error.kind() == ErrorKind::WouldBlock => true,
                _ => false,
            };
            if !goes_on {
                state.end();
            }
            (std::mem::take(&mut state.reply), goes_on)
        };
        self.changed.send_modify(|n| *n += 1);
        let answers = !reply.is_empty() || self.state.lock().unwrap().tls.wants_write();
        if answers && goes_on {
            self.send(&reply).await;
        }
        goes_on
    }

    /// The place up to which bytes have arrived: read, or waiting in the kernel.
    pub fn arrived(&self) -> u64 {
        let state = self.state.lock().unwrap();
        state.place + state.raw.len() as u64 + rustix::io::ioctl_fionread(&self.tcp).unwrap_or(0)
    }

    /// What came on a stream so far.
    pub fn got(&self, stream: u32) -> Got {
        self.state.lock().unwrap().answers.get(&stream).cloned().unwrap_or_default()
    }

    /// Whether the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.state.lock().unwrap().ended
    }

    /// Waits until something holds of an answer, or the connection has ended.
    pub async fn until(&self, stream: u32, holds: impl Fn(&Got) -> bool) -> Got {
        let mut changed = self.changed.subscribe();
        let waited = changed.wait_for(|_| {
            let state = self.state.lock().unwrap();
            state.ended || state.answers.get(&stream).is_some_and(&holds)
        });
        let _ = tokio::time::timeout(PATIENCE, waited).await.expect("it comes to that, or the connection ends");
        self.got(stream)
    }

    /// Waits until everything that was sent to us before now has been read (HTTP/2), or the connection has ended.
    pub async fn caught_up(&self) {
        if !self.http2 {
            return;
        }
        let wanted = self.state.lock().unwrap().pings + 1;
        self.send(&frame(6, 0, 0, &[7; 8])).await;
        let mut changed = self.changed.subscribe();
        let waited = changed.wait_for(|_| {
            let state = self.state.lock().unwrap();
            state.ended || state.pings >= wanted
        });
        let _ = tokio::time::timeout(PATIENCE, waited).await.expect("an answer to a ping");
    }
}

impl State {
    /// Takes in the whole records that were read; `false` when the connection is over.
    fn absorb(&mut self, http2: bool) -> bool {
        let (raw, mut at, mut goes_on) = (std::mem::take(&mut self.raw), 0, true);
        while let Some(header) = raw[at..].first_chunk::<RECORD_HEADER>().filter(|_| goes_on) {
            let size = RECORD_HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
            let Some(record) = raw.get(at..at + size) else { break };
            at += size;
            self.place += size as u64;
            goes_on = self.record(record, http2);
        }
        self.raw = raw;
        self.raw.drain(..at);
        goes_on
    }

    fn record(&mut self, mut rest: &[u8], http2: bool) -> bool {
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).unwrap();
        }
        let Ok(state) = self.tls.process_new_packets() else { return false };
        let mut plain = std::mem::take(&mut self.buffer);
        plain.clear();
        self.tls.reader().take(state.plaintext_bytes_to_read() as u64).read_to_end(&mut plain).unwrap();
        if http2 {
            self.frames(&plain)
        } else {
            self.message(&plain)
        }
        self.buffer = plain;
        !state.peer_has_closed()
    }

    fn body(&mut self, stream: u32, bytes: &[u8]) {
        let place = self.place;
        let got = self.answers.entry(stream).or_default();
        got.bytes += bytes.len();
        got.last = place;
        self.digests.entry(stream).or_insert_with(|| Context::new(&SHA256)).update(bytes);
    }

    fn whole(&mut self, stream: u32) {
        let digest = self.digests.remove(&stream).unwrap_or_else(|| Context::new(&SHA256)).finish();
        self.answers.entry(stream).or_default().digest = Some(digest.as_ref().to_vec());
    }

    fn end(&mut self) {
        self.ended = true;
        self.answers.values_mut().filter(|got| got.digest.is_none()).for_each(|got| got.broken = true);
    }

    fn message(&mut self, bytes: &[u8]) {
        if self.length.is_none() {
            self.plain.extend_from_slice(bytes);
            let Some(at) = self.plain.windows(4).position(|w| w == b"\r\n\r\n") else { return };
            let head = String::from_utf8_lossy(&self.plain[..at]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
            self.length = Some(length.trim().parse().unwrap());
            self.answers.entry(1).or_default().status = head[9..12].parse().unwrap();
            let rest = self.plain.split_off(at + 4);
            self.plain = rest;
            let rest = std::mem::take(&mut self.plain);
            return self.message(&rest);
        }
        if !bytes.is_empty() {
            self.body(1, bytes);
        }
        if self.answers.get(&1).map(|got| got.bytes) == self.length {
            self.whole(1);
        }
    }

    fn frames(&mut self, mut bytes: &[u8]) {
        loop {
            let Some(open) = &mut self.frame else {
                let take = (FRAME_HEADER - self.plain.len()).min(bytes.len());
                self.plain.extend_from_slice(&bytes[..take]);
                bytes = &bytes[take..];
                let [a, b, c, kind, flags, s @ ..] = self.plain.as_slice() else { return };
                let Some(s) = s.first_chunk::<4>() else { return };
                let left = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                let stream = u32::from_be_bytes(*s);
                self.frame = Some(Open { kind: *kind, flags: *flags, stream, left, payload: Vec::new() });
                self.plain.clear();
                continue;
            };
            let take = open.left.min(bytes.len());
            open.left -= take;
            let (piece, rest) = bytes.split_at(take);
            bytes = rest;
            let (kind, stream, done) = (open.kind, open.stream, open.left == 0);
            if kind == 0 && !piece.is_empty() {
                self.body(stream, piece);
            } else if kind != 0 {
                open.payload.extend_from_slice(piece);
            }
            if !done {
                return;
            }
            if let Some(open) = self.frame.take() {
                self.done(&open);
            }
        }
    }

    fn done(&mut self, open: &Open) {
        let (stream, acknowledges) = (open.stream, open.flags & 1 != 0);
        match open.kind {
            // A status by its number in the static table: 200 is the one that matters. That there is no table comes first.
            1 => {
                let first = open.payload.iter().find(|byte| **byte != 0x20);
                self.answers.entry(stream).or_default().status = if first == Some(&0x88) { 200 } else { 1 }
            }
            3 => self.answers.entry(stream).or_default().broken = true,
            4 if !acknowledges => self.reply.extend(frame(4, 1, 0, &[])),
            6 if acknowledges => self.pings += 1,
            6 => self.reply.extend(frame(6, 1, 0, &open.payload)),
            _ => {}
        }
        if matches!(open.kind, 0 | 1) && acknowledges {
            self.whole(stream);
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![size[1], size[2], size[3], kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A header block: literals that need no table and no Huffman code.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            let mut rest = text.len();
            if rest < 127 {
                out.push(rest as u8);
            } else {
                out.push(127);
                rest -= 127;
                while rest >= 128 {
                    out.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                out.push(rest as u8);
            }
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}
