//! What a caller keeps between two steps: each a type of its own, never shown by `Debug`.

use std::fmt;

macro_rules! kept {
    ($(#[$doc:meta])* $name:ident, $reader:ident, $(#[$reader_doc:meta])*) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// One that was kept.
            #[must_use]
            pub fn from_kept(text: String) -> Self {
                Self(text)
            }

            $(#[$reader_doc])*
            #[must_use]
            pub fn $reader(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

kept! {
    /// A secret of one sign-in: proves that who redeems the code is who asked for it.
    Verifier, secret, /// The secret, to be kept with the browser's session.
}

kept! {
    /// A token of the portal.
    PortalToken, secret, /// The secret.
}

kept! {
    /// The portal's own identifier of an account: to be compared with the linked one before anything is asked.
    PortalAccount, as_str, /// The identifier: personal.
}

kept! {
    /// A question that the portal is working on.
    ProcessId, as_str, /// The identifier.
}
