//! An answer that is ready to be released: its bytes, what is recorded of them, and the tag by which its receiver can ask
//! whether it is still the same.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use http::header::IF_NONE_MATCH;

use super::classify::Asked;
use super::narrow::Narrowed;
use super::paging::NoPage;
use super::releases::Contents;
use super::respond::Reply;
use super::{next_link, self_link};
use crate::app::App;
use crate::config::Form;
use crate::ledger::merkle::sha256;
use crate::store::state::Pairwise;

/// Bytes of a tag.
const TAG_BYTES: usize = 16;

/// An answer, and what is recorded of it.
pub(super) struct Prepared {
    pub reply: Reply,
    pub contents: Contents,
    pub id_at_source: String,
}

impl Prepared {
    /// Of what may pass, for this receiver.
    ///
    /// # Errors
    /// When there is no such page.
    pub(super) fn of(
        app: &App,
        asked: &Asked<'_>,
        pairwise: &Pairwise,
        narrowed: Narrowed,
        withheld: u32,
    ) -> Result<(Reply, Contents), NoPage> {
        if asked.route.form != Form::Searchset {
            let items = narrowed.items;
            let reply = Reply::ok(narrowed.json.into());
            let digest = sha256(&reply.body);
            return Ok((tagged(reply, pairwise, &[&digest]), Contents { items, withheld, digest }));
        }
        let sheet = asked.page.of(app, &narrowed)?;
        let next = sheet.next.as_deref().map(|place| next_link(app, asked, place));
        let reply = Reply::searchset(sheet.json, narrowed.items, &self_link(app, asked), next.as_deref());
        let contents = Contents { items: sheet.items, withheld, digest: sha256(&reply.body) };
        // An empty one looks like a denial, which has no tag.
        let reply = match asked.page.count() {
            _ if narrowed.items == 0 => reply,
            None => tagged(reply, pairwise, &[&contents.digest]),
            // The link to the next page is sealed anew each time: what it leads to is in the whole.
            Some(_) => tagged(reply, pairwise, &[&sha256(&narrowed.json), &asked.page.place()]),
        };
        Ok((reply, contents))
    }

    /// The same without its body, where the caller has it already.
    pub(super) fn unless_held(mut self, headers: &HeaderMap) -> Self {
        if self.reply.etag.as_deref().is_some_and(|tag| names(headers, tag)) {
            self.reply = Reply::not_modified(self.reply.etag);
        }
        self
    }
}

/// A tag is made under the secret of this person at this party: two parties' tags of one thing have nothing in common, and
/// nobody can make one of what they did not receive.
fn tagged(mut reply: Reply, pairwise: &Pairwise, parts: &[&[u8]]) -> Reply {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &pairwise.secret));
    // Ids of records are made under the same secret, from texts that begin with a source's code.
    context.update(b"\0etag\0");
    parts.iter().for_each(|part| context.update(part));
    let tag = context.sign();
    let bytes = tag.as_ref().first_chunk::<TAG_BYTES>().copied().unwrap_or_default();
    reply.etag = Some(format!("\"{}\"", BASE64URL_NOPAD.encode(&bytes)));
    reply
}

/// Whether `If-None-Match` names this tag (RFC 9110 §13.1.2), weak or not.
fn names(headers: &HeaderMap, tag: &str) -> bool {
    let texts = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut named = texts.flat_map(|text| text.split(',')).map(str::trim);
    named.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PairwiseId;

    fn pair(secret: u8) -> Pairwise {
        Pairwise { party: "x".to_owned(), id: PairwiseId::from_bytes([0; 16]), secret: [secret; 32] }
    }

    fn tag(pairwise: &Pairwise, parts: &[&[u8]]) -> String {
        tagged(Reply::ok(bytes::Bytes::new()), pairwise, parts).etag.unwrap()
    }

    #[test]
    fn two_parties_tags_of_one_thing_have_nothing_in_common() {
        assert_eq!(tag(&pair(1), &[b"a"]), tag(&pair(1), &[b"a"]));
        assert_ne!(tag(&pair(1), &[b"a"]), tag(&pair(2), &[b"a"]));
        assert_ne!(tag(&pair(1), &[b"a"]), tag(&pair(1), &[b"b"]));
    }

    #[test]
    fn a_tag_is_found_however_it_is_listed() {
        let mut headers = HeaderMap::new();
        assert!(!names(&headers, "\"t\""));
        for held in ["\"t\"", "W/\"t\"", "\"a\", \"t\"", "*"] {
            headers.insert(IF_NONE_MATCH, held.parse().unwrap());
            assert!(names(&headers, "\"t\""), "{held}");
        }
        for other in ["\"T\"", "t", "\"tt\"", ""] {
            headers.insert(IF_NONE_MATCH, other.parse().unwrap());
            assert!(!names(&headers, "\"t\""), "{other}");
        }
    }
}
