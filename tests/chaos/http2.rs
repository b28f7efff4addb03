//! HTTP/2 as frames over real TLS (RFC 9113, RFC 7541), so that header fields can be what no client library sends.

use sekisho::demo::world::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::http1::{PATIENCE, address, connect, tls};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A header field, raw.
pub type Field = (Vec<u8>, Vec<u8>);

/// How a stream ended.
#[derive(Debug)]
pub enum End {
    Answer {
        status: u16,
        body: String,
    },
    Reset,
    /// The whole connection is over.
    Gone,
}

/// The fields of a GET.
pub fn get(path: &str, authority: &str, more: &[(&str, &str)]) -> Vec<Field> {
    let pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", path)];
    pseudo.iter().chain(more).map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
}

/// A header block: literals that need no table and no Huffman code.
pub fn block(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            length(&mut out, text.len());
            out.extend_from_slice(text);
        }
    }
    out
}

fn length(out: &mut Vec<u8>, n: usize) {
    if n < 127 {
        return out.push(n as u8);
    }
    out.push(127);
    let mut rest = n - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

pub struct Http2 {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
    next: u32,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Http2 {
    pub async fn open(world: &World) -> Self {
        let stream = connect(address(world), tls(world, &[b"h2"])).await;
        let mut open = Self { stream, read: Vec::new(), next: 1 };
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // No table for header fields (1), no push (2), the widest windows (4).
        let settings = [[0, 1, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0], [0, 4, 0x7f, 0xff, 0xff, 0xff]].concat();
        hello.extend(frame(SETTINGS, 0, 0, &settings));
        hello.extend(frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes()));
        open.send(&hello).await;
        open
    }

    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Sends a request without a body, and waits for how it ends.
    pub async fn ask(&mut self, block: &[u8]) -> End {
        self.ask_with(block, None).await
    }

    /// Sends a request, with this body if there is one.
    pub async fn ask_with(&mut self, block: &[u8], body: Option<&[u8]>) -> End {
        let id = self.next;
        self.next += 2;
        let end = if body.is_none() { END_STREAM } else { 0 };
        let mut bytes = Vec::new();
        let mut pieces = block.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let flags = last | if kind == HEADERS { end } else { 0 };
            bytes.extend(frame(kind, flags, id, piece));
            kind = CONTINUATION;
        }
        if let Some(body) = body {
            bytes.extend(frame(DATA, END_STREAM, id, body));
        }
        self.send(&bytes).await;
        tokio::time::timeout(PATIENCE, self.end_of(id)).await.expect("an end of the stream or of the connection")
    }

    async fn end_of(&mut self, id: u32) -> End {
        let (mut status, mut body) = (0, Vec::new());
        while let Some(frame) = self.frame().await {
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.send(&self::frame(SETTINGS, ACK, 0, &[])).await,
                PING if frame.flags & ACK == 0 => self.send(&self::frame(PING, ACK, 0, &frame.payload)).await,
                GOAWAY => return End::Gone,
                RST_STREAM if frame.stream == id => return End::Reset,
                HEADERS if frame.stream == id => status = status_of(&frame.payload),
                DATA if frame.stream == id => body.extend_from_slice(&frame.payload),
                _ => {}
            }
            if frame.stream == id && frame.flags & END_STREAM != 0 && matches!(frame.kind, HEADERS | DATA) {
                return End::Answer { status, body: String::from_utf8_lossy(&body).into_owned() };
            }
        }
        End::Gone
    }

    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let [a, b, c, kind, flags, s @ ..] = self.read.as_slice()
                && let Some(id) = s.first_chunk::<4>()
            {
                let size = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                let (kind, flags, stream) = (*kind, *flags, u32::from_be_bytes(*id));
                if self.read.len() >= 9 + size {
                    let payload = self.read[9..9 + size].to_vec();
                    self.read.drain(..9 + size);
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece).await {
                Ok(n) if n > 0 => self.read.extend_from_slice(&piece[..n]),
                _ => return None,
            }
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

/// The status that a header block begins with: by its number in the static table, or as a literal of three digits.
fn status_of(block: &[u8]) -> u16 {
    let rest = match block {
        // Changes of the table's size come first.
        [size, rest @ ..] if size & 0xe0 == 0x20 => return status_of(rest),
        [indexed, ..] if indexed & 0x80 != 0 => {
            return [200, 204, 206, 304, 400, 404, 500][usize::from(indexed & 0x7f) - 8];
        }
        [_, rest @ ..] => rest,
        [] => panic!("an empty header block"),
    };
    let digits: String = match rest {
        [3, digits @ ..] => String::from_utf8_lossy(&digits[..3]).into_owned(),
        [size, code @ ..] => huffman_digits(&code[..usize::from(size & 0x7f)]),
        [] => panic!("a status without a value"),
    };
    digits.parse().expect("three digits")
}

/// Three digits in HPACK's Huffman code: 0, 1, 2 take five bits, the others six.
fn huffman_digits(code: &[u8]) -> String {
    let mut bits = code.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut out = String::new();
    for _ in 0..3 {
        let five = bits.by_ref().take(5).fold(0, |sum, bit| sum * 2 + bit);
        let digit = if five < 3 { five } else { five * 2 + bits.next().unwrap_or(0) - 22 };
        out.push(char::from(b'0' + digit));
    }
    out
}
