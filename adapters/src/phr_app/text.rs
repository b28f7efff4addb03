//! What free text may contain. It stays text: markup is not looked for, since whoever shows it escapes it.

/// A text without what doesn't show and can deceive, and whether something was taken out.
pub(crate) struct Cleaned {
    pub text: String,
    pub changed: bool,
}

/// Takes out control characters and those that turn or hide what follows. Spaces at both ends go without a word. Line
/// breaks and tabs stay in `lines`; elsewhere a space stands for them, so that two words don't become one.
pub(crate) fn clean(raw: &str, lines: bool) -> Cleaned {
    let (mut text, mut changed) = (String::with_capacity(raw.len()), false);
    for c in raw.trim().replace("\r\n", "\n").chars() {
        match c {
            '\n' | '\t' if lines => text.push(c),
            '\n' | '\t' | '\r' | '\u{2028}' | '\u{2029}' => {
                text.push(' ');
                changed = true;
            }
            _ if deceives(c) => changed = true,
            _ => text.push(c),
        }
    }
    // What was taken out may have stood around spaces.
    let trimmed = text.trim();
    Cleaned { text: trimmed.to_owned(), changed }
}

/// Controls, marks that change the direction of writing, and letters without width or look. What joins (`U+200D`) and what
/// chooses the shape of a letter stay: names and emoji are written with them.
#[must_use]
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_stays_and_what_deceives_goes() {
        for (raw, lines, text, changed) in [
            ("<script>alert(1)</script> & \"x\"", false, "<script>alert(1)</script> & \"x\"", false),
            (" \u{3000}体重 ", false, "体重", false),
            (
                "葛\u{e0100}城 👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}",
                false,
                "葛\u{e0100}城 👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}",
                false,
            ),
            ("a\u{202e}b\u{2066}c\u{200f}d", false, "abcd", true),
            ("a\0b\u{1b}[31mc\u{7f}\u{85}", false, "ab[31mc", true),
            ("朝\n夕", true, "朝\n夕", false),
            ("朝\r\n夕", true, "朝\n夕", false),
            ("朝\r夕", true, "朝 夕", true),
            ("朝\n夕", false, "朝 夕", true),
            ("1\u{200b}2\u{feff}3", false, "123", true),
            ("\u{202e}", false, "", true),
            ("x \u{200b}", false, "x", true),
        ] {
            let cleaned = clean(raw, lines);
            assert_eq!((cleaned.text.as_str(), cleaned.changed), (text, changed), "{raw:?}");
            assert!(!clean(&cleaned.text, lines).changed, "once is enough");
        }
    }
}
