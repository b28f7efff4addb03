//! Identity providers: a development stand-in. (Verifying tokens is the gateway's own job.)

pub mod stand_in;
