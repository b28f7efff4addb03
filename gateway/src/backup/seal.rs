//! A backup's sealing (`docs/formats.md` §12): chunks of 64 KiB under a key derived from the master key, each bound to the
//! backup, its number, and whether it is the last. A chunk that is changed, moved, left out or taken from another backup does
//! not open, and a backup that was cut off is noticed.

use std::io::{self, ErrorKind, Read, Write};

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::ids::random;
use crate::ledger::seal::{KEY_BYTES, SealKey};

/// The first bytes of a backup.
pub const MAGIC: &[u8] = b"SEKISHO-BACKUP-1\n";
const ID_BYTES: usize = 16;
const CHUNK_BYTES: usize = 64 << 10;
/// Nonce and tag.
const SEAL_BYTES: usize = 12 + 16;

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// The key for one backup (RFC 5869): the id is the salt.
fn key(master: &[u8; 32], id: &[u8; ID_BYTES]) -> io::Result<SealKey> {
    let failed = |_| io::Error::other("the backup's key could not be derived");
    let extracted = Salt::new(HKDF_SHA256, id).extract(master);
    let expanded = extracted.expand(&[b"sekisho backup 1"], KeyBytes).map_err(failed)?;
    let mut bytes = [0; KEY_BYTES];
    expanded.fill(&mut bytes).map_err(failed)?;
    Ok(SealKey::new(bytes))
}

fn aad(number: u64, last: bool) -> [u8; 9] {
    let mut aad = [u8::from(last); 9];
    if let Some(first) = aad.first_chunk_mut::<8>() {
        *first = number.to_le_bytes();
    }
    aad
}

/// Seals what is written to it.
pub struct Sealing<W> {
    out: W,
    key: SealKey,
    number: u64,
    plain: Vec<u8>,
}

impl<W: Write> Sealing<W> {
    /// Begins a backup.
    ///
    /// # Errors
    /// When `out` can't be written.
    pub fn new(master: &[u8; 32], mut out: W) -> io::Result<Self> {
        let id: [u8; ID_BYTES] = random();
        out.write_all(MAGIC)?;
        out.write_all(&id)?;
        Ok(Self { out, key: key(master, &id)?, number: 0, plain: Vec::with_capacity(CHUNK_BYTES) })
    }

    fn chunk(&mut self, last: bool) -> io::Result<()> {
        let sealed = self.key.seal(&aad(self.number, last), &self.plain);
        let length = u32::try_from(sealed.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&sealed)?;
        self.number += 1;
        self.plain.clear();
        Ok(())
    }

    /// Ends it. Without this it is one that was cut off.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.chunk(true)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.plain.len());
        self.plain.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        if self.plain.len() == CHUNK_BYTES {
            self.chunk(false)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens what [`Sealing`] wrote.
pub struct Opening<R> {
    input: R,
    key: SealKey,
    number: u64,
    plain: io::Cursor<Vec<u8>>,
    ended: bool,
}

fn not_one(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

impl<R: Read> Opening<R> {
    /// Begins to read a backup.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn new(master: &[u8; 32], mut input: R) -> io::Result<Self> {
        let (mut magic, mut id) = ([0; MAGIC.len()], [0; ID_BYTES]);
        let begun = input.read_exact(&mut magic).and_then(|()| input.read_exact(&mut id));
        if begun.is_err() || magic != *MAGIC {
            return Err(not_one("this is not a backup of this version of Sekisho"));
        }
        Ok(Self { key: key(master, &id)?, input, number: 0, plain: io::Cursor::default(), ended: false })
    }

    fn next(&mut self) -> io::Result<()> {
        let cut_off = |_| not_one("the backup is cut off: it is not whole. Take another one");
        let mut length = [0; 4];
        self.input.read_exact(&mut length).map_err(cut_off)?;
        let length = u32::from_le_bytes(length) as usize;
        if !(SEAL_BYTES..=CHUNK_BYTES + SEAL_BYTES).contains(&length) {
            return Err(not_one("the backup is damaged. Take another one"));
        }
        let mut sealed = vec![0; length];
        self.input.read_exact(&mut sealed).map_err(cut_off)?;
        self.ended = length < CHUNK_BYTES + SEAL_BYTES;
        let plain = self.key.open(&aad(self.number, self.ended), &sealed);
        let plain = plain.map_err(|_| not_one("the backup does not open: another master key, or it was changed"))?;
        self.plain = io::Cursor::new(plain);
        self.number += 1;
        if self.ended && self.input.read(&mut [0])? != 0 {
            return Err(not_one("something stands behind the backup's end. Take another one"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Opening<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.plain.read(out)?;
            if read > 0 || out.is_empty() || self.ended {
                return Ok(read);
            }
            self.next()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(master: &[u8; 32], plain: &[u8]) -> Vec<u8> {
        let mut sealing = Sealing::new(master, Vec::new()).unwrap();
        sealing.write_all(plain).unwrap();
        sealing.finish().unwrap()
    }

    fn opened(master: &[u8; 32], sealed: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Opening::new(master, sealed)?.read_to_end(&mut plain).map(|_| plain)
    }

    #[test]
    fn what_was_sealed_comes_back() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7] {
            let plain: Vec<u8> = (0..length).map(|at| at as u8).collect();
            assert_eq!(opened(&[1; 32], &sealed(&[1; 32], &plain)).unwrap(), plain, "{length}");
        }
    }

    #[test]
    fn what_was_changed_cut_or_moved_does_not() {
        let plain = vec![7; 2 * CHUNK_BYTES + 9];
        let whole = sealed(&[1; 32], &plain);
        assert!(opened(&[2; 32], &whole).is_err(), "another master key");
        // Each byte would take too long; every part of the format is met.
        for at in (0..200).chain((200..whole.len()).step_by(997)).chain(whole.len() - 60..whole.len()) {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            assert!(opened(&[1; 32], &bent).is_err(), "byte {at}");
            assert!(opened(&[1; 32], &whole[..at]).is_err(), "cut at {at}");
        }
        let head = MAGIC.len() + ID_BYTES;
        let chunk = 4 + CHUNK_BYTES + SEAL_BYTES;
        let swapped = [
            &whole[..head],
            &whole[head + chunk..head + 2 * chunk],
            &whole[head..head + chunk],
            &whole[head + 2 * chunk..],
        ]
        .concat();
        assert!(opened(&[1; 32], &swapped).is_err());
        let without = [&whole[..head + chunk], &whole[head + 2 * chunk..]].concat();
        assert!(opened(&[1; 32], &without).is_err());
        let ended_early = &whole[..head + 2 * chunk];
        assert!(opened(&[1; 32], ended_early).is_err());
        assert!(opened(&[1; 32], &[whole.as_slice(), b"x"].concat()).is_err());
    }
}
