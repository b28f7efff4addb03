//! Forged, bent and confused tokens: none is accepted.

use sekisho::request::token::{Shown, TokenError};
use sekisho_tests::town::{Town, history, standing_clock};

use crate::classes::{Attempt, CLASSES, Certificate};
use crate::dice::{Campaign, Dice, long};
use crate::forge::{Forge, negated, segment};
use crate::http1::{self, Http1};
use crate::http2::{self, End, Http2};

/// Tokens of the short form.
const SHORT: usize = 2_000;
/// Of so many tokens, one also goes over the wire, by each protocol in turn.
const ON_THE_WIRE: usize = 5;

struct Trial {
    town: Town,
    forge: Forge,
    target: String,
    http1: Option<Http1>,
    http2: Option<Http2>,
    sent: usize,
}

impl Trial {
    /// Closes the connections, which the gateway would wait for, and stops it.
    async fn close(self) {
        drop((self.http1, self.http2));
        self.town.gateway.stop().await;
    }

    async fn open() -> Self {
        let town = Town::open_with(standing_clock(), |text| text).await;
        let (_, patient) = town.consent().await;
        let forge = Forge::open(&town);
        Self { forge, target: history(&patient), http1: None, http2: None, sent: 0, town }
    }

    /// What the gateway's own check says, without a connection in between.
    async fn checked(&self, attempt: &Attempt) -> Result<(), TokenError> {
        let thumbprint = match attempt.certificate {
            Certificate::Bound => Some(&self.forge.thumbprint),
            Certificate::Other => Some(&self.forge.other_thumbprint),
            Certificate::None => None,
        };
        let certificate = thumbprint.map(|text| {
            let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
            <[u8; 32]>::try_from(bytes).unwrap()
        });
        let now = self.town.clock.now().unwrap().plus_millis(attempt.later_s.saturating_mul(1_000));
        self.town.gateway.app().tokens.check(&attempt.token, Shown::Certificate(certificate), now).await.map(|_| ())
    }

    /// The status that the token gets over a kept connection; none when the connection is closed instead.
    async fn asked(&mut self, token: &str) -> Option<u16> {
        self.sent += 1;
        if self.sent.is_multiple_of(2) { self.over_http2(token).await } else { self.over_http1(token).await }
    }

    async fn over_http1(&mut self, token: &str) -> Option<u16> {
        let mut open = match self.http1.take() {
            Some(open) => open,
            None => Http1::open(&self.town.world).await,
        };
        let host = http1::authority(&self.town.world);
        let head = format!("GET {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n", self.target);
        open.send(head.as_bytes()).await;
        let answer = open.answer().await?;
        self.http1 = Some(open);
        Some(answer.status)
    }

    async fn over_http2(&mut self, token: &str) -> Option<u16> {
        let mut open = match self.http2.take() {
            Some(open) => open,
            None => Http2::open(&self.town.world).await,
        };
        let host = http1::authority(&self.town.world);
        let bearer = format!("Bearer {token}");
        let block = http2::block(&http2::get(&self.target, &host, &[("authorization", &bearer)]));
        let end = open.ask(&block).await;
        if !matches!(end, End::Gone) {
            self.http2 = Some(open);
        }
        match end {
            End::Answer { status, .. } => Some(status),
            End::Reset | End::Gone => None,
        }
    }

    /// A good token passes: in process, and over both protocols.
    async fn good_passes(&mut self, at: usize) {
        let token = self.forge.goods[at % self.forge.goods.len()].token.clone();
        let attempt = Attempt { token: token.clone(), certificate: Certificate::Bound, later_s: 0 };
        assert_eq!(self.checked(&attempt).await, Ok(()), "a good token passes");
        assert_eq!(self.over_http1(&token).await, Some(200), "a good token passes over HTTP/1.1");
        assert_eq!(self.over_http2(&token).await, Some(200), "a good token passes over HTTP/2");
    }

    /// Whether the attempt is a good token after all, letter by letter.
    fn is_good(&self, attempt: &Attempt) -> bool {
        attempt.certificate == Certificate::Bound
            && attempt.later_s == 0
            && self.forge.goods.iter().any(|good| good.token == attempt.token)
    }
}

fn can_stand_in_a_header(token: &str) -> bool {
    token.len() < 12_000 && token.bytes().all(|b| b.is_ascii_graphic())
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_refused() {
    let planned = long().unwrap_or(SHORT);
    let mut campaign = Campaign::new("tokens", planned);
    let mut trial = Trial::open().await;
    let mut dice = campaign.dice();
    let mut over_the_wire = 0;
    trial.good_passes(0).await;
    let asked_before = trial.town.world.city.requests();
    for at in 0..planned {
        let (class, make) = CLASSES[at % CLASSES.len()];
        let mut attempt = make(&trial.forge, &mut dice);
        while trial.is_good(&attempt) {
            attempt = make(&trial.forge, &mut dice);
        }
        if trial.checked(&attempt).await.is_ok() {
            campaign.finding(format!("{class}: accepted: {attempt:?}"));
        }
        let plain = attempt.certificate == Certificate::Bound && attempt.later_s == 0;
        if (at / CLASSES.len()).is_multiple_of(ON_THE_WIRE) && plain && can_stand_in_a_header(&attempt.token) {
            let status = trial.asked(&attempt.token).await;
            if status != Some(401) {
                campaign.finding(format!("{class}: {status:?} over the wire: {attempt:?}"));
            }
            over_the_wire += 1;
        }
        campaign.step();
    }
    assert_eq!(trial.town.world.city.requests(), asked_before, "no source is asked for any of them");
    trial.good_passes(1).await;
    trial.close().await;
    campaign.end(&format!("0 accepted in process, and 0 of {over_the_wire} over the wire"));
}

/// ECDSA lets anybody turn `(r, s)` into `(r, n - s)`: another token with the very content that the issuer signed. Half
/// of what issuers sign has the larger `s`, so it can't be refused; what matters is that it says nothing new and that
/// every other check holds for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_signatures_twin_says_what_was_signed_and_no_more() {
    let planned = long().map_or(100, |n| n / 100);
    let mut campaign = Campaign::new("twins", planned);
    let trial = Trial::open().await;
    let mut dice: Dice = campaign.dice();
    let mut accepted = 0;
    for at in 0..planned {
        let good = &trial.forge.goods[at % trial.forge.goods.len()];
        let (r, s) = good.signature.split_at(32);
        let twin = segment([r, &negated(s)].concat());
        let token = format!("{}.{}.{twin}", good.parts[0], good.parts[1]);
        assert_ne!(token, good.token);
        let with = |certificate, later_s| Attempt { token: token.clone(), certificate, later_s };
        accepted += usize::from(trial.checked(&with(Certificate::Bound, 0)).await.is_ok());
        let later_s = 3_600 + dice.below(1_000_000) as i64;
        assert_eq!(trial.checked(&with(Certificate::Other, 0)).await, Err(TokenError::Binding));
        assert_eq!(trial.checked(&with(Certificate::None, 0)).await, Err(TokenError::Binding));
        assert_eq!(trial.checked(&with(Certificate::Bound, later_s)).await, Err(TokenError::Expired));
        let other = &trial.forge.goods[(at + 1) % trial.forge.goods.len()];
        let moved = format!("{}.{}.{twin}", other.parts[0], other.parts[1]);
        let moved = Attempt { token: moved, certificate: Certificate::Bound, later_s: 0 };
        assert_eq!(trial.checked(&moved).await, Err(TokenError::Signature), "a twin signs nothing else");
        campaign.step();
    }
    trial.close().await;
    campaign.end(&format!("{accepted} taken for the token that they repeat, 0 for anything else"));
}
