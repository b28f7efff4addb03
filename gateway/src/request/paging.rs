//! Pages of a searchset (`_count`): our own, whatever pages the source has.
//!
//! Each page is a question of its own: decided, recorded, fetched and narrowed anew, and then cut to size. The `next` link
//! is sealed for the party, the route and what was asked, and good only while the whole is what it was at the first page: a
//! page of something else would leave out what nobody ever saw.

use data_encoding::BASE64URL_NOPAD;
use sekisho_policy::PartyId;

use super::classify::{Unclassified, take};
use super::narrow::Narrowed;
use crate::app::App;
use crate::config::Route;
use crate::ledger::merkle::sha256;
use crate::ledger::seal::SealKey;
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// Entries of one page, at most.
const COUNT_MAX: u32 = 1_000;
/// Bytes that stand for the whole in a link.
const WHOLE_BYTES: usize = 16;

/// Which part of a searchset is asked for.
#[derive(Debug, Default)]
pub struct Page {
    /// `_count` and `_page` as they were sent.
    sent: Vec<(String, String)>,
    count: Option<u32>,
    from: Option<Place>,
    /// What a link is sealed for.
    bound_to: Vec<u8>,
}

/// Where a page begins, and in what.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u32,
    whole: [u8; WHOLE_BYTES],
}

/// What goes of a searchset.
pub struct Sheet<'a> {
    /// JSON of the entries, a comma between two.
    pub json: &'a [u8],
    /// How many.
    pub items: u32,
    /// What stands for the next page in its link; none after the last.
    pub next: Option<String>,
}

/// Why there is no such page.
#[derive(Debug)]
pub enum NoPage {
    /// The whole is not what it was at the first page.
    Changed,
    /// A link could not be made.
    Store(StoreError),
}

impl Page {
    /// Takes its parameters out of a query.
    ///
    /// # Errors
    /// When they are not what they should be. That depends on what the caller sent, and on nothing else.
    pub(super) fn read(
        app: &App,
        party: PartyId,
        route: &Route,
        named: &str,
        query: &mut Vec<(String, String)>,
    ) -> Result<Self, Unclassified> {
        let (count, place) = (take(query, "_count"), take(query, "_page"));
        let Some(sent) = count else {
            return if place.is_none() { Ok(Self::default()) } else { Err(Unclassified::NoRoute) };
        };
        let count =
            sent.parse().ok().filter(|count: &u32| (1..=COUNT_MAX).contains(count) && count.to_string() == sent);
        let count = count.ok_or(Unclassified::NoRoute)?;
        let mut page = Self { count: Some(count), ..Self::default() };
        page.sent.push(("_count".to_owned(), sent));
        let asked = query.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        for part in [party.bytes().as_slice(), route.name.as_bytes(), named.as_bytes()].into_iter().chain(asked) {
            page.bound_to.extend_from_slice(&(part.len() as u64).to_le_bytes());
            page.bound_to.extend_from_slice(part);
        }
        if let Some(place) = place {
            page.from = Some(page.open(app, &place)?.ok_or(Unclassified::NoRoute)?);
            page.sent.push(("_page".to_owned(), place));
        }
        Ok(page)
    }

    /// As it stands in the link to itself.
    pub(super) fn sent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sent.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `_count`, for the link to the next.
    #[must_use]
    pub(super) const fn count(&self) -> Option<u32> {
        self.count
    }

    /// What a caller's cache may be asked about: the place in the whole. The link to the next page is sealed anew each time.
    pub(super) fn place(&self) -> [u8; 8] {
        let (at, count) = (self.from.map_or(0, |place| place.at), self.count.unwrap_or(0));
        let [a, b, c, d] = at.to_be_bytes();
        let [e, f, g, h] = count.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Cuts the whole to this page.
    ///
    /// # Errors
    /// When there is no such page.
    pub fn of<'a>(&self, app: &App, narrowed: &'a Narrowed) -> Result<Sheet<'a>, NoPage> {
        let Some(count) = self.count else {
            return Ok(Sheet { json: &narrowed.json, items: narrowed.items, next: None });
        };
        let whole = whole(&narrowed.json);
        let at = match self.from {
            Some(place) if place.whole != whole && !sabotage::off(Check::PageOfWhole) => return Err(NoPage::Changed),
            Some(place) => place.at,
            None => 0,
        };
        let end = at.saturating_add(count).min(narrowed.items);
        let next = if end < narrowed.items { Some(self.seal(app, Place { at: end, whole })?) } else { None };
        Ok(Sheet { json: narrowed.entries(at, end), items: end.saturating_sub(at), next })
    }

    fn key(app: &App) -> Result<SealKey, StoreError> {
        Ok(SealKey::new(app.store.vault().secret("page")?))
    }

    fn seal(&self, app: &App, place: Place) -> Result<String, NoPage> {
        let plain = [place.at.to_be_bytes().as_slice(), &place.whole].concat();
        Ok(BASE64URL_NOPAD.encode(&Self::key(app).map_err(NoPage::Store)?.seal(&self.bound_to, &plain)))
    }

    fn open(&self, app: &App, text: &str) -> Result<Option<Place>, StoreError> {
        let key = Self::key(app)?;
        let opened = || {
            let plain = key.open(&self.bound_to, &BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()?;
            let (at, whole) = plain.split_first_chunk::<4>()?;
            Some(Place { at: u32::from_be_bytes(*at), whole: whole.try_into().ok()? })
        };
        Ok(opened())
    }
}

fn whole(json: &[u8]) -> [u8; WHOLE_BYTES] {
    sha256(json).first_chunk().copied().unwrap_or_default()
}
