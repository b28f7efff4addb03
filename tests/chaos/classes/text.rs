//! The text of a token: its letters, its parts, its signature, its form.

use data_encoding::BASE64URL;

use super::{Attempt, now};
use crate::dice::Dice;
use crate::forge::{Forge, negated, order, segment};

pub fn bytes_changed(forge: &Forge, dice: &mut Dice) -> Attempt {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = forge.goods[dice.below(forge.goods.len())].token.clone().into_bytes();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        let letter = LETTERS[dice.below(LETTERS.len())];
        match dice.below(6) {
            0 | 1 => bytes[at] = letter,
            2 => bytes.insert(at, letter),
            3 => drop(bytes.remove(at)),
            4 => {
                let other = dice.below(bytes.len());
                bytes.swap(at, other);
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.is_empty() {
            bytes.push(letter);
        }
    }
    now(String::from_utf8(bytes).unwrap())
}

pub fn swapped(forge: &Forge, dice: &mut Dice) -> Attempt {
    let own = forge.own("ES256", &forge.header(), &forge.claims(dice));
    let own: Vec<&str> = own.split('.').collect();
    let of = |dice: &mut Dice, part: usize| match dice.below(4) {
        0 => own[part].to_owned(),
        _ => forge.goods[dice.below(forge.goods.len())].parts[dice.below(3).max(part)].clone(),
    };
    let parts = [of(dice, 0), of(dice, 1), of(dice, 2)];
    now(parts.join("."))
}

pub fn signature_numbers(forge: &Forge, dice: &mut Dice) -> Attempt {
    let good = &forge.goods[dice.below(forge.goods.len())];
    let message = format!("{}.{}", good.parts[0], good.parts[1]);
    let (r, s) = good.signature.split_at(32);
    let (zero, n) = (vec![0; 32], order());
    let one = [vec![0; 31], vec![1]].concat();
    let signature = match dice.below(16) {
        0 => forge.der_signature(&message),
        1 => [negated(r), s.to_vec()].concat(),
        2 => [negated(r), negated(s)].concat(),
        3 => [s, r].concat(),
        4 => [&zero[..], s].concat(),
        5 => [r, &zero].concat(),
        6 => [&zero[..], &zero].concat(),
        7 => [n.clone(), n].concat(),
        8 => [r, &n].concat(),
        9 => [vec![0xff; 32], vec![0xff; 32]].concat(),
        10 => [&[0], r, &[0], s].concat(),
        11 => [r, s, &[0]].concat(),
        12 => [&[0], r, s].concat(),
        13 => [r, &s[..dice.below(32)]].concat(),
        14 => [one.clone(), one].concat(),
        _ => dice.bytes(64),
    };
    now(format!("{message}.{}", segment(signature)))
}

/// The same bytes in another spelling of base64: the content is the issuer's, but there is one spelling only.
pub fn encoding(forge: &Forge, dice: &mut Dice) -> Attempt {
    let good = &forge.goods[dice.below(forge.goods.len())];
    let at = dice.below(3);
    let part = good.parts[at].clone();
    let bent = match dice.below(8) {
        0 => format!("{part}="),
        1 => format!("{part}=="),
        2 => trailing_bits(&part, dice),
        3 => part.replace('-', "+").replace('_', "/"),
        4 => insert(&part, dice.pick(&[" ", "\n", "\t", "\r\n", "=", "\0"]), dice),
        5 => format!("{part}{}", dice.pick(&["\n", " ", "A", "%3D", "\0"])),
        6 => format!("{}{part}", dice.pick(&["\n", " ", "\u{feff}", "="])),
        _ => part.replacen('e', "%65", 1),
    };
    let bent = if bent == part { format!("{part}{}", &BASE64URL.encode(&[0])[2..]) } else { bent };
    let mut parts = good.parts.clone();
    parts[at] = bent;
    now(parts.join("."))
}

/// Sets bits of the last letter that carry nothing.
fn trailing_bits(part: &str, dice: &mut Dice) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let unused = match part.len() % 4 {
        2 => 16,
        3 => 4,
        _ => return part.to_owned(),
    };
    let mut bytes = part.as_bytes().to_vec();
    let last = bytes.pop().unwrap();
    let value = LETTERS.iter().position(|l| *l == last).unwrap();
    bytes.push(LETTERS[value + 1 + dice.below(unused - 1)]);
    String::from_utf8(bytes).unwrap()
}

fn insert(part: &str, what: &str, dice: &mut Dice) -> String {
    let at = 1 + dice.below(part.len() - 1);
    format!("{}{what}{}", &part[..at], &part[at..])
}

pub fn form(forge: &Forge, dice: &mut Dice) -> Attempt {
    let good = &forge.goods[dice.below(forge.goods.len())];
    let [header, payload, signature] = &good.parts;
    let letters = 1 + dice.below(30);
    let word = dice.word(letters);
    now(match dice.below(14) {
        0 => format!("{header}.{payload}"),
        1 => format!("{header}.{payload}."),
        2 => format!("{header}..{signature}"),
        3 => format!(".{payload}.{signature}"),
        4 => format!("{}.", good.token),
        5 => format!(".{}", good.token),
        6 => format!("{}.{word}", good.token),
        7 => format!("{header}.{word}.{payload}.{signature}"),
        8 => format!("{{\"protected\":\"{header}\",\"payload\":\"{payload}\",\"signature\":\"{signature}\"}}"),
        9 => format!("{},{}", good.token, good.token),
        10 => good.token.replace('.', "%2e"),
        11 => good.token.to_lowercase(),
        12 => ".".repeat(1 + dice.below(40)),
        _ => word.repeat(7),
    })
}
