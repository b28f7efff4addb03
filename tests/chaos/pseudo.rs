//! Requests for a known path whose host, absolute form or HTTP/2 fields are not as they must be. Each must come to nothing.

use crate::http2::{Field, get};

/// Hosts that resemble ours.
fn hosts(ours: &str) -> Vec<String> {
    let port = ours.rsplit(':').next().unwrap_or_default();
    let mut all: Vec<String> = [
        "forger.example",
        "localhost",
        "LOCALHOST:{port}",
        "localhost.:{port}",
        "localhost:{port}.",
        "localhost:0{port}",
        "localhost:",
        "localhost:80",
        "localhost:443",
        "127.0.0.1:{port}",
        "[::1]:{port}",
        "forger@localhost:{port}",
        "localhost:{port}@forger.example",
        "localhost:{port},forger.example",
        "localhost:{port} forger.example",
        "localhost:{port}/",
        "localhost:{port}/fhir",
        "localhost:{port}#",
        "localhost:{port}?",
        "https://localhost:{port}",
        "localhost%00:{port}",
        "localhost%2e:{port}",
        "x.localhost:{port}",
        "localhost:{port}\\forger.example",
        "localhost:{port};",
        "\"localhost:{port}\"",
        "loc%61lhost:{port}",
        "localhost:+{port}",
        "localhost:{port}:{port}",
    ]
    .iter()
    .map(|host| host.replace("{port}", port))
    .collect();
    all.push(String::new());
    all
}

/// HTTP/1.1 heads, whole.
pub fn heads(ours: &str, token: &str, patient: &str) -> Vec<Vec<u8>> {
    let path = format!("/fhir/Immunization?patient={patient}");
    let with =
        |line: String, fields: String| format!("{line}\r\n{fields}Authorization: Bearer {token}\r\n\r\n").into_bytes();
    let plain = format!("GET {path} HTTP/1.1");
    let mut out = Vec::new();
    for host in hosts(ours) {
        out.push(with(plain.clone(), format!("Host: {host}\r\n")));
        out.push(with(plain.clone(), format!("Host: {ours}\r\nHost: {host}\r\n")));
        out.push(with(plain.clone(), format!("Host: {host}\r\nHost: {ours}\r\n")));
        for scheme in ["https", "http", "ftp"] {
            out.push(with(format!("GET {scheme}://{host}{path} HTTP/1.1"), format!("Host: {ours}\r\n")));
            out.push(with(format!("GET {scheme}://{host}{path} HTTP/1.1"), format!("Host: {host}\r\n")));
        }
        out.push(with(format!("GET https://{ours}{path} HTTP/1.1"), format!("Host: {host}\r\n")));
    }
    out.push(with(plain.clone(), String::new()));
    out.push(with(plain.clone(), format!("Host : {ours}\r\n")));
    out.push(with(plain.clone(), format!("Host: {ours}\r\nHost: {ours}\r\n")));
    out.push(with(plain, format!("Host:\r\n {ours}\r\n")));
    for line in [
        format!("GET http://{ours}{path} HTTP/1.1"),
        format!("GET ftp://{ours}{path} HTTP/1.1"),
        format!("GET //{ours}{path} HTTP/1.1"),
        format!("GET {ours}{path} HTTP/1.1"),
        format!("GET https:{path} HTTP/1.1"),
        format!("GET https:/{path} HTTP/1.1"),
        format!("GET https:///{ours}{path} HTTP/1.1"),
        format!("GET https://{ours}/..{path} HTTP/1.1"),
        format!("GET https://{ours}/{path} HTTP/1.1"),
        format!("GET https://{ours}\\{path} HTTP/1.1"),
        format!("CONNECT {ours} HTTP/1.1"),
        "OPTIONS * HTTP/1.1".to_owned(),
        "GET * HTTP/1.1".to_owned(),
        format!("get {path} HTTP/1.1"),
        format!("GET\u{a0}{path} HTTP/1.1"),
        format!("HEAD {path} HTTP/1.1"),
        format!("POST {path} HTTP/1.1"),
        format!("PROPFIND {path} HTTP/1.1"),
    ] {
        out.push(with(line, format!("Host: {ours}\r\n")));
    }
    // Fields by which some servers let a client name another path, method or host than it sent.
    for field in [
        format!("X-Original-URL: {path}"),
        format!("X-Rewrite-URL: {path}"),
        format!("X-Forwarded-Host: {ours}\r\nX-Forwarded-Prefix: /fhir"),
        format!("X-HTTP-Method-Override: GET\r\nForwarded: host={ours};proto=https"),
    ] {
        out.push(with(format!("GET /nothing?patient={patient} HTTP/1.1"), format!("Host: {ours}\r\n{field}\r\n")));
    }
    out
}

/// HTTP/2 field lists.
pub fn field_lists(ours: &str, token: &str, patient: &str) -> Vec<Vec<Field>> {
    let path = format!("/fhir/Immunization?patient={patient}");
    let bearer = format!("Bearer {token}");
    let good = get(&path, ours, &[("authorization", &bearer)]);
    let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let put = |at: usize, name: &str, value: &str| {
        let mut fields = good.clone();
        fields.insert(at.min(fields.len()), field(name, value));
        fields
    };
    let instead = |name: &str, value: &str| {
        let mut fields = good.clone();
        fields.iter_mut().filter(|f| f.0 == name.as_bytes()).for_each(|f| f.1 = value.as_bytes().to_vec());
        fields
    };
    let mut out = Vec::new();
    for host in hosts(ours) {
        out.push(instead(":authority", &host));
        out.push(put(9, "host", &host));
        out.push([instead(":authority", &host), vec![field("host", ours)]].concat());
    }
    for (name, value) in [
        (":path", path.as_str()),
        (":path", "/nothing"),
        (":authority", ours),
        (":method", "GET"),
        (":method", "POST"),
        (":scheme", "https"),
        (":status", "200"),
        (":protocol", "websocket"),
        (":forger", "x"),
        (":", "x"),
        ("", "x"),
    ] {
        out.push(put(0, name, value));
        out.push(put(4, name, value));
        out.push(put(9, name, value));
    }
    for name in [":path", ":method", ":scheme"] {
        out.push(good.iter().filter(|f| f.0 != name.as_bytes()).cloned().collect());
        out.push(instead(name, ""));
    }
    out.push(good.iter().filter(|f| f.0 != b":authority").cloned().collect());
    for method in ["get", "POST", "HEAD", "CONNECT", "GET ", "GET /x HTTP/1.1", "GET\r\n", "G\0T"] {
        out.push(instead(":method", method));
    }
    for scheme in ["http", "ftp", "HTTPS ", "https://", "https:", "x", "javascript", "https\r\n"] {
        out.push(instead(":scheme", scheme));
    }
    let bent = [
        format!("{path} HTTP/1.1\r\nHost: {ours}\r\n\r\nGET {path}"),
        format!("{path}\r\nx: y"),
        format!("{path}\n"),
        format!("{path}\0"),
        format!(" {path}"),
        format!("{path} "),
        format!("/{path}"),
        path[1..].to_owned(),
        format!("https://{ours}{path}"),
        format!("//{ours}{path}"),
        "*".to_owned(),
        format!("{ours}{path}"),
    ];
    out.extend(bent.iter().map(|path| instead(":path", path)));
    out
}
