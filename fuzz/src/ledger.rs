//! The ledger's records, as the start and the verifier read them from disk: frame, entry, event. Input: any bytes, read as
//! each of the three; for an event the first byte is its type.
//!
//! What is read is written again as the very same bytes: one encoding each, at every layer.

use sekisho::ids::{EntryId, TextId as _};
use sekisho::ledger::entry::{Cause, Entry, EntryType, Header};
use sekisho::ledger::event::Event;
use sekisho::ledger::frame::{self, FRAME_HEADER_BYTES, FrameError, Stored};
use sekisho_policy::Timestamp;

/// Panics on a finding.
pub fn check(data: &[u8]) {
    match frame::get(data) {
        Ok(frame) => {
            let mut again = Vec::new();
            match frame.stored {
                Stored::Whole(entry) => frame::put(&mut again, frame.acknowledged, frame.more, entry),
                Stored::Pruned(leaf) => frame::put_pruned(&mut again, frame.acknowledged, frame.more, leaf),
            }
            assert_eq!(Some(again.as_slice()), data.get(..frame.length), "a frame has one encoding");
        }
        Err(FrameError::Cut) => assert!(could_go_on(data), "cut only where more bytes could help"),
        Err(FrameError::Damaged) => {}
    }
    if let Ok(entry) = Entry::decode(data) {
        entry_read(&entry, data);
    }
    if let Some((number, body)) = data.split_first()
        && let Some(entry_type) = EntryType::from_number(*number)
        && let Ok(event) = Event::decode(entry_type, body)
    {
        event_read(&event, body);
    }
}

/// Whether these bytes may be the beginning of a frame.
fn could_go_on(data: &[u8]) -> bool {
    let Some(head) = data.first_chunk::<4>() else { return true };
    data.len() < FRAME_HEADER_BYTES || data.len() - FRAME_HEADER_BYTES < frame::entry_length(*head)
}

fn entry_read(entry: &Entry, bytes: &[u8]) {
    assert_eq!(entry.encode(), bytes, "an entry has one encoding");
    let entry_type = entry.header.entry_type().expect("the type of an entry that was read is known");
    if let Ok(event) = Event::decode(entry_type, &entry.body) {
        assert_eq!((event.entry_type(), event.encode()), (entry_type, entry.body.clone()));
    }
    framed(bytes);
}

fn event_read(event: &Event, body: &[u8]) {
    assert_eq!(event.encode(), body, "an event has one encoding");
    let at = Timestamp::from_millis(1);
    let header = Header::new(event.entry_type(), EntryId::of([3; 16]), at, None, Cause::Gateway);
    let entry = Entry { header, body: body.to_vec() };
    let bytes = entry.encode();
    assert_eq!(Entry::decode(&bytes).as_ref(), Ok(&entry), "what was written is read");
    framed(&bytes);
}

/// A frame around it gives it back; cut short, or with any one byte changed, it gives nothing.
fn framed(entry: &[u8]) {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, 9, true, entry);
    let read = frame::get(&bytes).expect("a frame that was written is read");
    assert_eq!((read.acknowledged, read.more, read.stored, read.length), (9, true, Stored::Whole(entry), bytes.len()));
    assert_eq!(frame::get(&bytes[..bytes.len() - 1]), Err(FrameError::Cut));
    // Which byte and which bit: by the content, so that they differ from run to run.
    let sum = entry.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let at = sum % bytes.len();
    bytes[at] ^= 1 << (sum / bytes.len() % 8);
    assert!(frame::get(&bytes).is_err(), "a changed bit shows");
}
