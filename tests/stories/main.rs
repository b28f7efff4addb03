//! The stories: what users and attackers do, told against a running gateway over real TLS.

mod revocation;
