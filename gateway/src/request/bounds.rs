//! What one client may take of what everybody shares: connections, by its address; and denials, by its party, since each is
//! an entry of the ledger. What narrows is bounded by neither: revocation has slots of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sekisho_policy::{PartyId, Timestamp};

/// Connections by address.
pub(super) struct ByAddress {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place; free again when it is dropped.
pub(super) struct Place {
    of: IpAddr,
    all: Arc<ByAddress>,
}

fn locked<K: Eq + Hash, V>(map: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has one IPv6 address has a /64 of them.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl ByAddress {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for one more connection, if that address has not all of its own.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let of = whole(address);
        let mut open = locked(&self.open);
        let count = open.entry(of).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { of, all: Arc::clone(self) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = locked(&self.all.open);
        if let Some(count) = open.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.of);
            }
        }
    }
}

/// Denials by party, in one-second windows. A party that has had its share is told to wait, whatever it asks, before
/// anything is decided: else what still passes would tell what is permitted.
pub struct Denials {
    most: u32,
    /// The second, and how many in it. As many as there are parties.
    counted: Mutex<HashMap<PartyId, (i64, u32)>>,
}

impl Denials {
    /// So many a second for each party.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { most, counted: Mutex::default() }
    }

    /// Whether the party has had its share of this second.
    pub(super) fn spent(&self, party: PartyId, now: Timestamp) -> bool {
        let second = now.millis().div_euclid(1_000);
        locked(&self.counted).get(&party).is_some_and(|(of, count)| *of == second && *count >= self.most)
    }

    pub(super) fn count(&self, party: PartyId, now: Timestamp) {
        let second = now.millis().div_euclid(1_000);
        let mut counted = locked(&self.counted);
        let (of, count) = counted.entry(party).or_insert((second, 0));
        if *of != second {
            (*of, *count) = (second, 0);
        }
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_gets_them_back() {
        let all = ByAddress::new(2);
        let v6 = |text: &str| IpAddr::V6(text.parse().unwrap());
        let (one, two) = (all.take(v6("2001:db8::1")), all.take(v6("2001:db8::2")));
        assert!(one.is_some() && two.is_some() && all.take(v6("2001:db8::3")).is_none(), "one /64");
        assert!(all.take(v6("2001:db8:0:1::1")).is_some(), "another one");
        drop(one);
        let again = all.take(v6("2001:db8::4"));
        assert!(again.is_some() && all.take(v6("2001:db8::1")).is_none());
        drop((two, again));
        assert!(locked(&all.open).is_empty(), "nothing is kept of who is gone");
    }

    #[test]
    fn a_mapped_address_is_the_address_that_it_maps() {
        let all = ByAddress::new(1);
        let held = all.take(IpAddr::from([192, 0, 2, 1]));
        assert!(held.is_some() && all.take(IpAddr::V6("::ffff:192.0.2.1".parse().unwrap())).is_none());
    }

    #[test]
    fn a_party_has_so_many_denials_a_second() {
        let (one, two) = (crate::ids::party_id("one"), crate::ids::party_id("two"));
        let (denials, at) = (Denials::new(2), Timestamp::from_millis);
        denials.count(one, at(1_000));
        assert!(!denials.spent(one, at(1_999)));
        denials.count(one, at(1_999));
        assert!(denials.spent(one, at(1_999)) && !denials.spent(two, at(1_999)));
        assert!(!denials.spent(one, at(2_000)), "the next second");
    }
}
