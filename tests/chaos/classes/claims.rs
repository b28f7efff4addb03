//! Claims that say something else, or say it in another way; most of them well signed.

use super::{Attempt, Certificate, now};
use crate::dice::Dice;
use crate::forge::{Forge, object, quoted, segment, set};

pub fn claim_twice(forge: &Forge, dice: &mut Dice) -> Attempt {
    let mut claims = forge.claims(dice);
    let name = dice.pick(&["iss", "aud", "sub", "client_id", "exp", "nbf", "scope", "cnf"]);
    let good = claims.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
    let other = match dice.below(4) {
        0 => good,
        1 => "null".to_owned(),
        2 => (forge.now_s + 9_999).to_string(),
        _ => quoted(&dice.word(6)),
    };
    claims.insert(dice.below(claims.len() + 1), (name.to_owned(), other));
    if dice.below(6) == 0 {
        let thumbprints = [&forge.other_thumbprint, &forge.thumbprint];
        let (first, second) = (dice.below(2), dice.below(2));
        let (a, b) = (quoted(thumbprints[first]), quoted(thumbprints[second]));
        claims = forge.claims(dice);
        set(&mut claims, "cnf", format!("{{\"x5t#S256\":{a},\"x5t#S256\":{b}}}"));
    }
    now(forge.signed(&forge.header(), &claims))
}

pub fn huge(forge: &Forge, dice: &mut Dice) -> Attempt {
    let (mut header, mut claims) = (forge.header(), forge.claims(dice));
    let depth = 200 + dice.below(1_200);
    let (open, close) = if dice.coin() { ("[", "]") } else { ("{\"a\":", "}") };
    let middle = if open == "[" { "" } else { "0" };
    let deep = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
    let letters = 6_200 + (1 << dice.below(14));
    let long = quoted(&dice.word(letters));
    match dice.below(6) {
        0 => set(&mut header, "x", deep),
        1 => set(&mut header, "kid", deep),
        2 => set(&mut claims, "cnf", deep),
        3 => set(&mut header, "x", long),
        4 => set(&mut claims, "x", long),
        _ => {
            // A claim that nobody reads may be as deep as the issuer likes; a forger's must not get so far.
            set(&mut claims, "x", deep);
            return now(forge.own("ES256", &header, &claims));
        }
    }
    now(forge.signed(&header, &claims))
}

pub fn binding(forge: &Forge, dice: &mut Dice) -> Attempt {
    let ours = &forge.thumbprint;
    let ways = [
        format!("{{\"x5t#S256\":{}}}", quoted(&forge.other_thumbprint)),
        format!("{{\"x5t#S256\":{}}}", quoted(&segment(dice.bytes(32)))),
        format!("{{\"x5t#S256\":{}}}", quoted(&format!("{ours}="))),
        format!("{{\"x5t#S256\":{}}}", quoted(&ours[1..])),
        format!("{{\"x5t#S256\":{}}}", quoted(&format!("{ours}A"))),
        format!("{{\"x5t#S256\":{}}}", quoted(&format!(" {ours}"))),
        format!("{{\"x5t#S256\":[{}]}}", quoted(ours)),
        format!("{{\"x5t\":{}}}", quoted(ours)),
        format!("{{\"x5t#s256\":{}}}", quoted(ours)),
        format!("{{\"jkt\":{}}}", quoted(ours)),
        format!("{{\"jwk\":{}}}", forge.own_jwk()),
        format!("[{}]", quoted(ours)),
        quoted(ours),
        "{\"x5t#S256\":null}".to_owned(),
        "{\"x5t#S256\":\"\"}".to_owned(),
        "{\"x5t#S256\":0}".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
    ];
    let at = dice.below(ways.len());
    let mut claims = forge.claims(dice);
    set(&mut claims, "cnf", ways[at].clone());
    // Our own client's tokens need no binding. One that claims a kind that is not known here is not an unbound one.
    if (9..=10).contains(&at) && dice.coin() {
        set(&mut claims, "client_id", quoted(sekisho::demo::world::OWN_CLIENT));
    }
    if dice.below(12) == 0 {
        claims = forge.claims(dice);
        claims.retain(|(name, _)| name != "cnf");
    }
    now(forge.signed(&forge.header(), &claims))
}

pub fn other_certificate(forge: &Forge, dice: &mut Dice) -> Attempt {
    let token = match dice.coin() {
        true => forge.goods[dice.below(forge.goods.len())].token.clone(),
        false => forge.signed(&forge.header(), &forge.claims(dice)),
    };
    let certificate = if dice.coin() { Certificate::Other } else { Certificate::None };
    Attempt { token, certificate, later_s: 0 }
}

pub fn replay(forge: &Forge, dice: &mut Dice) -> Attempt {
    let token = forge.goods[dice.below(forge.goods.len())].token.clone();
    let later_s = 3_600 + (dice.next() % (1 << dice.below(40))) as i64;
    Attempt { token, certificate: Certificate::Bound, later_s }
}

pub fn times(forge: &Forge, dice: &mut Dice) -> Attempt {
    let some = (dice.next() % 1_000_000) as i64;
    let (past, future) = (forge.now_s - some, forge.now_s + 10 + some);
    let ways = [
        ("exp", past.to_string()),
        ("exp", "0".to_owned()),
        ("exp", format!("-{future}")),
        ("exp", quoted(&future.to_string())),
        ("exp", format!("{future}.5")),
        ("exp", format!("{future}e0")),
        ("exp", "1e400".to_owned()),
        ("exp", "9223372036854775808".to_owned()),
        ("exp", "99999999999999999999999999".to_owned()),
        ("exp", "null".to_owned()),
        ("exp", format!("[{future}]")),
        ("exp", "true".to_owned()),
        ("nbf", future.to_string()),
        ("nbf", i64::MAX.to_string()),
        ("nbf", quoted(&past.to_string())),
        ("nbf", format!("{past}.5")),
        ("nbf", "false".to_owned()),
    ];
    let (name, value) = &ways[dice.below(ways.len())];
    let mut claims = forge.claims(dice);
    set(&mut claims, name, value.clone());
    if dice.below(17) == 0 {
        claims.retain(|(name, _)| name != "exp");
    }
    now(forge.signed(&forge.header(), &claims))
}

/// What resembles the one right value of `aud` or `iss`.
fn resembling(right: &str, dice: &mut Dice) -> String {
    let ways = [
        quoted(&format!("{right}/")),
        quoted(&format!("{right}{}", dice.word(1))),
        quoted(&format!("{right} ")),
        quoted(&format!(" {right}")),
        quoted(&format!("{right}\0")),
        quoted(&format!("{right}#{}", dice.word(3))),
        quoted(&format!("{right}?{}", dice.word(3))),
        quoted(&format!("{right}.forger.example")),
        quoted(&right.replace("localhost", "LOCALHOST")),
        quoted(&right.replace("localhost", "forger@localhost")),
        quoted(&right.replace("https:", "http:")),
        quoted(&right[1..]),
        quoted(&right[..right.len() - 1]),
        quoted(&format!("https://{}.example", dice.word(8))),
        quoted("*"),
        quoted(""),
        "null".to_owned(),
        "true".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        format!("[[{}]]", quoted(right)),
        format!("{{\"0\":{}}}", quoted(right)),
    ];
    ways[dice.below(ways.len())].clone()
}

pub fn audience(forge: &Forge, dice: &mut Dice) -> Attempt {
    let mut claims = forge.claims(dice);
    set(&mut claims, "aud", resembling(&forge.audience, dice));
    if dice.below(20) == 0 {
        claims.retain(|(name, _)| name != "aud");
    }
    now(forge.signed(&forge.header(), &claims))
}

pub fn issuer(forge: &Forge, dice: &mut Dice) -> Attempt {
    let mut claims = forge.claims(dice);
    set(&mut claims, "iss", resembling(forge.issuer(), dice));
    if dice.below(20) == 0 {
        set(&mut claims, "iss", format!("[{}]", quoted(forge.issuer())));
    }
    now(forge.signed(&forge.header(), &claims))
}

pub fn shape(forge: &Forge, dice: &mut Dice) -> Attempt {
    let mut claims = forge.claims(dice);
    let name = dice.pick(&["sub", "client_id", "scope"]);
    if dice.below(3) == 0 {
        let values = ["null", "1", "[]", "{}", "true", "[\"a\"]"];
        set(&mut claims, name, dice.pick(&values));
        return now(forge.signed(&forge.header(), &claims));
    }
    let (header, text) = (object(&forge.header()), object(&claims));
    let values: Vec<String> = claims.iter().map(|(_, value)| value.clone()).collect();
    let payloads: Vec<Vec<u8>> = vec![
        format!("[{}]", values.join(",")).into_bytes(),
        format!("[{text}]").into_bytes(),
        quoted(&text).into_bytes(),
        format!("{text}{text}").into_bytes(),
        format!("{text},").into_bytes(),
        format!("{text}\0").into_bytes(),
        format!("\u{feff}{text}").into_bytes(),
        format!("/**/{text}").into_bytes(),
        text.replace('"', "'").into_bytes(),
        text.replacen("\"iss\"", "iss", 1).into_bytes(),
        text.as_bytes()[..text.len() - 1].to_vec(),
        text.replacen('}', ",}", 1).into_bytes(),
        [&text.as_bytes()[..text.len() - 1], b",\"x\":\"\xff\xfe\"}"].concat(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        b"null".to_vec(),
        Vec::new(),
    ];
    let at = dice.below(payloads.len());
    now(match dice.below(4) {
        0 => forge.signed_text(&payloads[at], text),
        1 => forge.signed_text(format!("[{header}]"), text),
        _ => forge.signed_text(header, &payloads[at]),
    })
}
