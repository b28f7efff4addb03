//! Campaigns of crashes and failing disks: the process is killed, the power goes, the disk fails, fills up or turns
//! read-only, the index is damaged. Whatever was acknowledged before must be there afterwards, and hold.
//!
//! Short with `cargo test`; in full with `make chaos`. What each does, and what it needs: `docs/chaos.md`.

mod books;
mod disk;
mod faults;
mod gateway;
mod index;
mod kill;
mod load;
mod plan;
mod power;
