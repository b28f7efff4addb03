//! What a forger writes into the header, and with which key the token is signed.

use data_encoding::BASE64;

use super::{Attempt, now};
use crate::dice::Dice;
use crate::forge::{Forge, hmac, message, object, quoted, segment, set};

/// `none` as somebody might spell it past a comparison.
pub fn none(forge: &Forge, dice: &mut Dice) -> Attempt {
    let mixed: String = "none".chars().map(|c| if dice.coin() { c.to_ascii_uppercase() } else { c }).collect();
    let spellings = [
        quoted(&mixed),
        quoted(&format!("{mixed} ")),
        quoted(&format!(" {mixed}")),
        quoted(&format!("{mixed}\0")),
        quoted(&format!("{mixed}\n")),
        r#""n\u006fne""#.to_owned(),
        r#""\u006eone""#.to_owned(),
        quoted("ｎｏｎｅ"),
        quoted("nοne"),
        quoted(""),
        "null".to_owned(),
        "0".to_owned(),
        "false".to_owned(),
        "[]".to_owned(),
        r#"["none"]"#.to_owned(),
        r#"["ES256","none"]"#.to_owned(),
        "{}".to_owned(),
    ];
    let mut header = forge.header();
    set(&mut header, "alg", spellings[dice.below(spellings.len())].clone());
    if dice.below(4) == 0 {
        header.retain(|(name, _)| name != "alg");
    }
    let message = message(object(&header), object(&forge.claims(dice)));
    let signatures = [String::new(), segment(dice.bytes(64)), forge.goods[0].parts[2].clone(), "none".to_owned()];
    now(format!("{message}.{}", signatures[dice.below(signatures.len())]))
}

pub fn hmac_with_public_key(forge: &Forge, dice: &mut Dice) -> Attempt {
    let algorithm = dice.pick(&["HS256", "HS384", "HS512"]);
    let stated = if dice.below(4) == 0 { "ES256" } else { algorithm };
    let mut header = forge.header();
    set(&mut header, "alg", quoted(stated));
    let message = message(object(&header), object(&forge.claims(dice)));
    let forms = forge.public_forms();
    let signature = hmac(algorithm, &forms[dice.below(forms.len())], &message);
    now(format!("{message}.{}", segment(signature)))
}

pub fn key_id(forge: &Forge, dice: &mut Dice) -> Attempt {
    let steps = "../".repeat(1 + dice.below(8));
    let names = [
        quoted(&format!("{steps}etc/passwd")),
        quoted(&format!("{steps}dev/null")),
        quoted(&format!("..\\..\\{}", dice.word(5))),
        quoted(&format!("{}' OR '1'='1", dice.word(4))),
        quoted("x' UNION SELECT 'key' --"),
        quoted(&format!("|{}", dice.word(4))),
        quoted(&format!("${{jndi:ldap://localhost/{}}}", dice.word(4))),
        quoted(&format!("https://forger.example/{}.json", dice.word(6))),
        quoted(&format!("{}\0", forge.kid)),
        quoted(&format!("{} ", forge.kid)),
        quoted(&format!("{}{}", forge.kid, dice.word(1))),
        quoted(&forge.kid[1..]),
        quoted(&forge.kid.to_lowercase()),
        quoted(""),
        quoted("*"),
        quoted(&dice.word(4_000)),
        "null".to_owned(),
        "0".to_owned(),
        format!("[{}]", quoted(&forge.kid)),
        format!("{{\"kid\":{}}}", quoted(&forge.kid)),
    ];
    let mut header = forge.header();
    set(&mut header, "kid", names[dice.below(names.len())].clone());
    if dice.below(10) == 0 {
        header.retain(|(name, _)| name != "kid");
    }
    let claims = forge.claims(dice);
    let message = message(object(&header), object(&claims));
    now(match dice.below(3) {
        0 => forge.own("ES256", &header, &claims),
        1 => format!("{message}.{}", segment(hmac("HS256", b"", &message))),
        _ => forge.signed(&header, &claims),
    })
}

pub fn key_in_header(forge: &Forge, dice: &mut Dice) -> Attempt {
    let (jwk, url) = (forge.own_jwk(), format!("https://forger.example/{}", dice.word(6)));
    let certificate = BASE64.encode(&dice.bytes(300));
    let ways = [
        ("jwk", jwk.to_string()),
        ("jwk", forge.jwk.to_string()),
        ("jwk", "null".to_owned()),
        ("jku", quoted(&url)),
        ("jku", quoted(&format!("{}/jwks", forge.issuer()))),
        ("x5u", quoted(&url)),
        ("x5u", quoted("file:///dev/null")),
        ("x5c", format!("[{}]", quoted(&certificate))),
        ("x5c", "[]".to_owned()),
        ("zip", quoted("DEF")),
    ];
    let mut header = forge.header();
    for _ in 0..=dice.below(2) {
        let (name, value) = &ways[dice.below(ways.len())];
        header.insert(dice.below(header.len() + 1), ((*name).to_owned(), value.clone()));
    }
    let claims = forge.claims(dice);
    // Even well signed: a header that offers a key is nothing that an issuer of ours writes.
    now(if dice.coin() { forge.own("ES256", &header, &claims) } else { forge.signed(&header, &claims) })
}

pub fn own_key(forge: &Forge, dice: &mut Dice) -> Attempt {
    let algorithm = dice.pick(&["ES256", "EdDSA", "RS256"]);
    let stated = if dice.coin() { algorithm } else { "ES256" };
    let mut header = forge.header();
    set(&mut header, "alg", quoted(stated));
    if dice.below(3) == 0 {
        set(&mut header, "kid", quoted(&dice.word(43)));
    }
    now(forge.own(algorithm, &header, &forge.claims(dice)))
}

pub fn header_twice(forge: &Forge, dice: &mut Dice) -> Attempt {
    let mut header = forge.header();
    let name = dice.pick(&["alg", "typ", "kid"]);
    let good = header.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
    let other = match dice.below(4) {
        0 => good,
        1 => quoted("none"),
        2 => "null".to_owned(),
        _ => quoted(&dice.word(6)),
    };
    header.insert(dice.below(header.len() + 1), (name.to_owned(), other));
    now(forge.signed(&header, &forge.claims(dice)))
}

pub fn wrong_type(forge: &Forge, dice: &mut Dice) -> Attempt {
    let types = [
        "\"JWT\"",
        "\"jwt\"",
        "\"\"",
        "\"at+jwt \"",
        "\" at+jwt\"",
        "\"at jwt\"",
        "\"application/jwt\"",
        "\"dpop+jwt\"",
        "\"logout+jwt\"",
        "\"id+jwt\"",
        "\"JOSE\"",
        "\"at+jwt\\u0000\"",
        "\"token/at+jwt\"",
        "null",
        "1",
        "true",
        "[\"at+jwt\"]",
        "{\"typ\":\"at+jwt\"}",
    ];
    let mut header = forge.header();
    set(&mut header, "typ", dice.pick(&types));
    if dice.below(8) == 0 {
        header.retain(|(name, _)| name != "typ");
    }
    now(forge.signed(&header, &forge.claims(dice)))
}

pub fn wrong_algorithm(forge: &Forge, dice: &mut Dice) -> Attempt {
    let names = [
        "es256",
        "Es256",
        "ES256 ",
        " ES256",
        "ES256\\u0000",
        "ES256K",
        "ES384",
        "ES512",
        "RS256",
        "PS256",
        "EdDSA",
        "Ed25519",
        "HS256",
        "ECDSA",
        "RSA1_5",
        "dir",
        "ES256,none",
    ];
    let mut header = forge.header();
    set(&mut header, "alg", format!("\"{}\"", dice.pick(&names)));
    now(forge.signed(&header, &forge.claims(dice)))
}

pub fn critical(forge: &Forge, dice: &mut Dice) -> Attempt {
    let word = dice.word(5);
    let lists = ["[]", "[\"exp\"]", "[\"b64\"]", "[\"alg\",\"kid\"]", "null", "\"exp\"", "{}"];
    let mut header = forge.header();
    set(&mut header, "crit", dice.pick(&lists));
    if dice.coin() {
        set(&mut header, "crit", format!("[{}]", quoted(&word)));
        set(&mut header, &word, "true");
    }
    if dice.coin() {
        set(&mut header, "b64", "false");
    }
    now(forge.signed(&header, &forge.claims(dice)))
}
