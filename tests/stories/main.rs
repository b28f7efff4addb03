//! The stories: what users and attackers do, told against a running gateway over real TLS.

mod callers;
mod consents;
mod denials;
mod family;
mod paths;
mod revocation;
mod time;
