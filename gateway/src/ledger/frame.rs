//! How entries lie in a segment file (`docs/formats.md` §4): length, checksum, what was acknowledged before, entry.
//!
//! Shared by writer and verifier, as the design allows: the format, nothing else.

/// Bytes in front of each entry: length `u32`, CRC-32C `u32` over what follows it, acknowledged `u64`; little-endian.
pub const FRAME_HEADER_BYTES: usize = 16;

/// Frames start after these bytes, which name the format and its version.
pub const SEGMENT_MAGIC: &[u8; 16] = b"sekisho-ledger-1";

/// One frame read back.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Entries known durable when this one was written: seeing it proves that they were acknowledged.
    pub acknowledged: u64,
    /// The entry's bytes.
    pub entry: &'a [u8],
    /// Bytes that the frame takes.
    pub length: usize,
}

/// Why the bytes at a place are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// They end before the frame does.
    Cut,
    /// Length out of bounds, or the checksum differs.
    Damaged,
}

/// Appends a frame.
pub fn put(out: &mut Vec<u8>, acknowledged: u64, entry: &[u8]) {
    // Entries are at most ENTRY_BYTES_MAX; a longer one could not be read back and is caught by `get`.
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&acknowledged.to_le_bytes()), entry);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&acknowledged.to_le_bytes());
    out.extend_from_slice(entry);
}

/// The frame at the start of these bytes.
///
/// # Errors
/// When they end too early, or are not what was written.
pub fn get(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(FrameError::Cut)?;
    let (checksum, rest) = rest.split_first_chunk::<4>().ok_or(FrameError::Cut)?;
    let (acknowledged, rest) = rest.split_first_chunk::<8>().ok_or(FrameError::Cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| FrameError::Damaged)?;
    if length == 0 || length > super::entry::ENTRY_BYTES_MAX {
        return Err(FrameError::Damaged);
    }
    let entry = rest.get(..length).ok_or(FrameError::Cut)?;
    let found = crc32c::crc32c_append(crc32c::crc32c(acknowledged), entry);
    if found != u32::from_le_bytes(*checksum) && !crate::sabotage::off(crate::sabotage::Check::FrameChecksum) {
        return Err(FrameError::Damaged);
    }
    let acknowledged = u64::from_le_bytes(*acknowledged);
    Ok(Frame { acknowledged, entry, length: FRAME_HEADER_BYTES + length })
}
