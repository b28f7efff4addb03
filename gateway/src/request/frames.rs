//! Follows the HTTP/2 frames that go out (RFC 9113 §4.1), and tells how many payload bytes of DATA each stream got; of an
//! answer that is all head, how many of HEADERS.

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// Where in the sequence of frames the bytes are that were seen so far.
#[derive(Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    have: usize,
    payload: usize,
    /// The stream of the frame that is going out, if its bytes count.
    data_of: Option<u32>,
}

impl Frames {
    /// Goes on with these bytes; `data` gets a stream, and how many bytes that count they hold.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut data: impl FnMut(u32, usize)) {
        while let Some(first) = bytes.first() {
            if self.payload > 0 {
                let part = self.payload.min(bytes.len());
                self.payload -= part;
                if let Some(stream) = self.data_of {
                    data(stream, part);
                }
                bytes = bytes.get(part..).unwrap_or_default();
                continue;
            }
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = *first;
            }
            self.have += 1;
            bytes = bytes.get(1..).unwrap_or_default();
            if self.have == HEADER {
                self.have = 0;
                let [a, b, c, kind, flags, s @ ..] = self.header;
                self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                let counts = kind == DATA || (kind == HEADERS && flags & END_STREAM != 0);
                // The first bit is reserved.
                self.data_of = counts.then_some(u32::from_be_bytes(s) & 0x7fff_ffff);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_bytes_are_counted_by_stream_however_the_frames_are_cut() {
        // SETTINGS of 6 bytes, DATA of 5 bytes, DATA of 0 bytes, HEADERS of 3 bytes, DATA of 300 bytes, DATA; HEADERS of 40
        // bytes that end their stream.
        let mut wire = Vec::new();
        let frames = [(4u8, 6usize, 0u8), (0, 5, 1), (0, 0, 1), (1, 3, 3), (0, 300, 3), (0, 7, 1), (1, 40, 2)];
        for (kind, length, stream) in frames {
            let flags = u8::from(stream == 2);
            wire.extend_from_slice(&[0, (length >> 8) as u8, length as u8, kind, flags, 0, 0, 0, stream]);
            wire.extend(std::iter::repeat_n(0xaa, length));
        }
        for step in [1, 2, 7, 9, 10, 1000] {
            let (mut frames, mut of) = (Frames::default(), [0; 4]);
            for part in wire.chunks(step) {
                frames.feed(part, |stream, bytes| of[stream as usize] += bytes);
            }
            assert_eq!(of, [0, 12, 40, 300], "step {step}");
        }
    }
}
