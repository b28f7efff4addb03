//! Tests of the gateway's parts on real files.

#[cfg(test)]
mod aged;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod package;
#[cfg(test)]
mod process;
#[cfg(test)]
mod prune;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod store;
#[cfg(test)]
mod summary;
#[cfg(test)]
mod thousand;
#[cfg(test)]
mod windows;
