//! Typed identifiers: 128 random bits each, without time or position, so that an id tells nothing and orders nothing.
//!
//! A text form belongs to each boundary (`docs/formats.md` §1), not here. `Debug` shows the type only: an id of a
//! person in a log is personal data.

use core::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these bytes. Minting takes them from a cryptographic random source.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

ids! {
    /// A person, whatever the role: subject, guardian, staff.
    PersonId;
    /// An organisation (事業者・機関).
    PartyId;
    /// A consent (同意).
    ConsentId;
    /// A refusal (同意しない).
    RefusalId;
    /// A protective block (提供停止措置).
    BlockId;
    /// A guardian's authority over one subject.
    AuthorityId;
    /// A recorded legal basis (法令に基づく提供).
    BasisId;
}
