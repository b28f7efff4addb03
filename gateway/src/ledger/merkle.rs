//! The writer's Merkle tree of RFC 6962 §2.1: only the right edge, so that appending is cheap and the root is at hand.
//!
//! Pure. The verifier does not use it: it computes roots with another implementation (`verify`).

use aws_lc_rs::digest::{Context, SHA256};

/// A node or leaf of the tree.
pub type Hash = [u8; 32];

/// SHA-256(0x00 ‖ entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    hash(&[&[0], entry])
}

pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// SHA-256 of some bytes, for digests that are not tree nodes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    hash(&[bytes])
}

/// Leaves in a row under one root that is kept, as a power of two.
pub const WINDOW_LEVEL: u32 = 12;
/// Leaves in a row under one root that is kept.
pub const WINDOW: u64 = 1 << WINDOW_LEVEL;

/// The tree so far: its size, the roots of its perfect subtrees, largest first, and the root of every whole window of
/// leaves, from which one leaf can be proven without reading all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
    windows: Vec<Hash>,
}

impl Frontier {
    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each trailing one bit of the old size is a perfect subtree that the new leaf completes.
        for level in 1..=self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = node_hash(&left, &node);
            }
            if level == WINDOW_LEVEL {
                self.windows.push(node);
            }
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// The roots of the whole windows, oldest first.
    #[must_use]
    pub fn windows(&self) -> &[Hash] {
        &self.windows
    }

    /// The root: SHA-256 of nothing for the empty tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut right_to_left = self.roots.iter().rev();
        let Some(last) = right_to_left.next() else { return sha256(&[]) };
        right_to_left.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// The leaves and roots of RFC 6962's reference tests (certificate-transparency, `merkle_tree_test`).
    #[test]
    fn roots_of_the_reference_tree() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut tree = Frontier::default();
        assert_eq!(HEXLOWER.encode(&tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        leaves.iter().for_each(|leaf| tree.push(leaf_hash(leaf)));
        assert_eq!(HEXLOWER.encode(&tree.root()), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }
}
