//! HTTP/1.1 messages whose end is in dispute (RFC 9112). Each hides a request in what is, strictly read, a body, a field
//! or nothing at all; a reader that is misled answers it.

/// What a case is made of.
pub struct Words<'a> {
    pub host: &'a str,
    pub token: &'a str,
    /// The target of the request that is really made.
    pub open: &'a str,
    /// The target of the hidden one.
    pub hidden: &'a str,
    /// The hidden request stops in the middle of a field, to swallow the head of the next one.
    pub swallows: bool,
    /// `GET` of data, or `POST` to the API, which reads its body.
    pub method: &'a str,
}

/// One message.
pub struct Case {
    pub what: String,
    pub bytes: Vec<u8>,
    /// The message is beyond dispute: so many answers must come, the next request's included.
    pub answers: Option<usize>,
}

impl Words<'_> {
    fn line(&self) -> String {
        format!("{} {} HTTP/1.1", self.method, self.open)
    }

    fn fields(&self) -> String {
        format!("Host: {}\r\nAuthorization: Bearer {}\r\n", self.host, self.token)
    }

    fn hidden(&self) -> String {
        let end = if self.swallows { "X-Swallow: " } else { "\r\n" };
        format!("GET {} HTTP/1.1\r\n{}{end}", self.hidden, self.fields())
    }

    /// The whole message: its head with these further lines, and what follows the head.
    fn case(&self, what: &str, lines: &str, rest: &str) -> Case {
        let text = format!("{}\r\n{}{lines}\r\n{rest}", self.line(), self.fields());
        Case {
            what: format!("{what} ({}, swallows: {})", self.method, self.swallows),
            bytes: text.into(),
            answers: None,
        }
    }

    fn plain(&self, answers: usize, what: &str, lines: &str, rest: &str) -> Case {
        Case { answers: Some(answers), ..self.case(what, lines, rest) }
    }
}

/// Every case with these words.
pub fn cases(words: &Words<'_>) -> Vec<Case> {
    let mut out = vec![
        words.plain(2, "nothing odd", "", ""),
        // Behind chunks the connection ends, so that the next request is not answered.
        words.plain(1, "a body in chunks", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        words.plain(1, "an extension", "Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        words.plain(2, "a body of a length", "Content-Length: 5\r\n", "hello"),
    ];
    out.extend(conflicts(words));
    out.extend(lengths(words));
    out.extend(chunks(words));
    out.extend(heads(words));
    out
}

/// `Transfer-Encoding` in every dress, beside a `Content-Length` or alone; the hidden request stands where one of the two
/// readings has already ended.
fn conflicts(words: &Words<'_>) -> Vec<Case> {
    let hidden = words.hidden();
    let ended = format!("0\r\n\r\n{hidden}");
    let within = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let mut out = Vec::new();
    for field in [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: Chunked",
        "Transfer-Encoding: CHUNKED",
        "Transfer-Encoding:chunked",
        "Transfer-Encoding:  chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: chunked ",
        "Transfer-Encoding: chunked\t",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "\tTransfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding:\n chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\u{b}",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding\0: chunked",
        "Transfer-Encoding: ch\\unked",
        "Transfer-Encoding: c%68unked",
        "Transfer-Encoding: \u{feff}chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked",
    ] {
        for (rest, length) in [(&ended, ended.len()), (&within, within.find('\n').unwrap_or(0) + 1)] {
            let (before, after) = (
                format!("Content-Length: {length}\r\n{field}\r\n"),
                format!("{field}\r\nContent-Length: {length}\r\n"),
            );
            out.push(words.case(&format!("length, then {field:?}"), &before, rest));
            out.push(words.case(&format!("{field:?}, then length"), &after, rest));
        }
        out.push(words.case(&format!("{field:?} alone"), &format!("{field}\r\n"), &within));
    }
    let old = format!("GET {} HTTP/1.0\r\n{}Connection: keep-alive\r\n", words.open, words.fields());
    let text = format!("{old}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{ended}", ended.len());
    out.push(Case { what: "chunks in HTTP/1.0".to_owned(), bytes: text.into(), answers: None });
    out
}

/// `Content-Length` in every dress. The body is the hidden request, so that whoever reads a length of nothing answers it.
fn lengths(words: &Words<'_>) -> Vec<Case> {
    let hidden = words.hidden();
    let n = hidden.len();
    let mut out = vec![
        words.case("a body on a request without use for it", &format!("Content-Length: {n}\r\n"), &hidden),
        words.case("a body that is asked for", &format!("Expect: 100-continue\r\nContent-Length: {n}\r\n"), &hidden),
        words.case("an odd expectation", &format!("Expect: 100-continue, x\r\nContent-Length: {n}\r\n"), &hidden),
        words.case("an upgrade", &format!("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: {n}\r\n"), &hidden),
        words.case(
            "an upgrade",
            &format!("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: {n}\r\n"),
            &hidden,
        ),
        words.case(
            "length named by Connection",
            &format!("Connection: content-length\r\nContent-Length: {n}\r\n"),
            &hidden,
        ),
        words.case(
            "encoding named by Connection",
            &format!("Connection: transfer-encoding\r\nContent-Length: {n}\r\nTransfer-Encoding: chunked\r\n"),
            &format!("0\r\n\r\n{hidden}"),
        ),
    ];
    for value in [
        format!("0\r\nContent-Length: {n}"),
        format!("{n}\r\nContent-Length: 0"),
        format!("{n}\r\nContent-Length: {n}"),
        format!("{n}, {n}"),
        format!("0, {n}"),
        format!("{n}, 0"),
        format!("{n},"),
        format!("+{n}"),
        format!("-{n}"),
        "-0".to_owned(),
        "+0".to_owned(),
        format!("0x{n:x}"),
        format!("0{n}"),
        format!("{n} "),
        format!("\t{n}"),
        format!("{n} {n}"),
        format!("0 {n}"),
        format!("{n};"),
        format!("{n}.0"),
        format!("{n}e0"),
        format!("\"{n}\""),
        format!("{n}\0"),
        format!("{n}\u{b}"),
        format!("{}", (1u128 << 64) + n as u128),
        "18446744073709551615".to_owned(),
        "99999999999999999999999999".to_owned(),
        String::new(),
        "zero".to_owned(),
        "٠".to_owned(),
        format!("\r\n {n}"),
        format!("0\r\n {n}"),
        format!("0\n{n}"),
    ] {
        out.push(words.case(&format!("length {value:?}"), &format!("Content-Length: {value}\r\n"), &hidden));
    }
    for name in ["Content-Length ", "Content-Length\t", " Content-Length", "Content-Length\0", "Content-Length\u{b}"] {
        out.push(words.case(&format!("{name:?}"), &format!("{name}: {n}\r\n"), &hidden));
    }
    out
}

/// Chunks that are not quite, and where a lenient reader sees the last one early.
fn chunks(words: &Words<'_>) -> Vec<Case> {
    let hidden = words.hidden();
    let n = hidden.len();
    let mut out = Vec::new();
    for rest in [
        format!("0\n\n{hidden}"),
        format!("0\r\r{hidden}"),
        format!("0\n\r\n{hidden}"),
        format!("0;\n\n{hidden}"),
        format!("5;a\nhello\n0\n\n{hidden}"),
        format!("5;a=\"\n0\r\n\r\n{hidden}\"\r\nhello\r\n0\r\n\r\n"),
        format!("5;a=\"\r\nhello\r\n0\r\n\r\n{hidden}"),
        format!("{n:x};\n0\n\n\r\n{hidden}\r\n0\r\n\r\n"),
        format!("{n:x} ;x\r\n{hidden}\r\n0\r\n\r\n"),
        format!(" {n:x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("0x{n:x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("+{n:x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("-{n:x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("-0\r\n\r\n{hidden}"),
        format!("0 0\r\n\r\n{hidden}"),
        format!("0_0\r\n\r\n{hidden}"),
        format!("{n:x}g\r\n{hidden}\r\n0\r\n\r\n"),
        format!("{n:x}h\r\n{hidden}\r\n0\r\n\r\n"),
        format!("ffffffffffffffff{n:x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("1{n:016x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("10000000000000000\r\n\r\n{hidden}"),
        format!("{n:x}\r\n{hidden}0\r\n\r\n"),
        format!("5\r\nhelloXX0\r\n\r\n{hidden}"),
        format!("5\r\nhello\n0\r\n\r\n{hidden}"),
        format!("5\r\nhello\r0\r\n\r\n{hidden}"),
        format!("4\r\nhello\r\n0\r\n\r\n{hidden}"),
        format!("\r\n0\r\n\r\n{hidden}"),
        format!("\n0\r\n\r\n{hidden}"),
        format!(";x\r\n\r\n{hidden}"),
        format!("0\r\n{hidden}"),
        format!("0\r\nX: y\n\n{hidden}"),
        format!("0\r\nX y\r\n\r\n{hidden}"),
        format!("0\r\n X: y\r\n\r\n{hidden}"),
        format!("0\r\nX: y\r\n z\r\n\n{hidden}"),
        format!("0\0\r\n\r\n{hidden}"),
        format!("{n:x}\r\n{hidden}\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("{n:x}\r\n{hidden}\r\n0\r\nHost: forger.example\r\nAuthorization: Bearer x\r\n\r\n"),
        format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000)),
        format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(40)),
    ] {
        let short: String = rest.replace(&hidden, "<hidden>").chars().take(60).collect();
        out.push(words.case(&format!("chunks {short:?}"), "Transfer-Encoding: chunked\r\n", &rest));
    }
    out
}

/// Heads whose lines end, fold or begin in odd ways. What is hidden stands in a field, or where a head would be over for
/// a reader of another mind.
fn heads(words: &Words<'_>) -> Vec<Case> {
    let hidden = words.hidden();
    let folded = hidden.trim_end().replace("\r\n", "\r\n ");
    let fields = words.fields();
    let (line, open, method) = (words.line(), words.open, words.method);
    let mut out = vec![
        words.case("folded into a field", &format!("X: y\r\n {folded}\r\n"), ""),
        words.case("folded with a tab", &format!("X: y\r\n\t{}\r\n", folded.replace("\r\n ", "\r\n\t")), ""),
        words.case(
            "in a field after a bare CR",
            &format!("X: y\r\r{}\r\n", hidden.trim_end().replace("\r\n", "\r")),
            "",
        ),
        words.case("in a field after a NUL", &format!("X: y\0{}\r\n", hidden.trim_end().replace("\r\n", "\0")), ""),
        words.case(
            "in a field as escapes",
            &format!("X: y%0d%0a%0d%0a{}\r\n", hidden.trim_end().replace("\r\n", "%0d%0a")),
            "",
        ),
        words.case(
            "in a field as letters that lose their high byte",
            &format!("X: y\u{560d}\u{560a}{}\r\n", hidden.lines().next().unwrap_or_default()),
            "",
        ),
        words.case("a line without colon", "forger\r\n", ""),
        words.case("a name with a space", "X y: z\r\n", ""),
        words.case("an empty name", ": z\r\n", ""),
    ];
    let other =
        |what: &str, text: String| Case { what: format!("{what} ({method})"), bytes: text.into(), answers: None };
    let length = hidden.len();
    for start in [
        format!("{method}  {open} HTTP/1.1"),
        format!("{method}\t{open}\tHTTP/1.1"),
        format!("{method} {open}  HTTP/1.1"),
        format!("{method} {open} HTTP/1.1 "),
        format!("{method} {open} HTTP/1.1 HTTP/1.1"),
        format!("{method} {open} http/1.1"),
        format!("{method} {open} HTTP/1.2"),
        format!("{method} {open} HTTP/2.0"),
        format!("{method} {open} HTTP/0.9"),
        format!("{method} {open} HTTP/1.10"),
        format!("{method} {open} HTTP/11"),
        format!("{method} {open}"),
        format!(" {line}"),
        format!("\0{line}"),
        format!("{line}\r\n "),
        format!("{line}\r\nX: y\r\n\r"),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{line}"),
        "HTTP/1.1 200 OK".to_owned(),
    ] {
        let text = format!("{start}\r\n{fields}Content-Length: {length}\r\n\r\n{hidden}");
        out.push(other(&format!("first line {start:?}"), text));
    }
    out
}
