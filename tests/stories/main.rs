//! The stories: what users and attackers do, told against a running gateway over real TLS.

mod adoption;
mod backup;
mod callers;
mod configuration;
mod consents;
mod counter;
mod denials;
mod erasure;
mod family;
mod import;
mod management;
mod officials;
mod operators;
mod pages;
mod paths;
mod portal;
mod reload;
mod revocation;
mod sign_in;
mod sources;
mod time;
