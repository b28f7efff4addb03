//! The path normaliser: what `request::classify` takes of a path and a query. Input: path, newline, query.
//!
//! Whatever is taken is spelled in the one way that other readers leave as it is: the WHATWG parser of URLs, hyper's, and
//! the form decoder.

use http::Uri;
use sekisho::request::classify::{parameters, segments};
use url::{Url, form_urlencoded};

/// Panics on a finding.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, query) = text.split_once('\n').unwrap_or((text, ""));
    if let Some(segments) = segments(path) {
        taken(path, &segments);
    }
    if let Some(pairs) = parameters(query) {
        passed(query, &pairs);
    }
}

fn taken(path: &str, segments: &[&str]) {
    let again: String = segments.iter().map(|segment| format!("/{segment}")).collect();
    assert_eq!(again, path, "a path that is taken is written again as it was");
    assert!(path.len() <= 2_048 && segments.iter().all(|segment| !segment.is_empty()));
    let uri: Uri = path.parse().expect("hyper reads a path that is taken");
    assert_eq!((uri.path(), uri.query()), (path, None));
    let url = Url::parse(&format!("https://gate.example{path}")).expect("a browser reads a path that is taken");
    assert_eq!((url.path(), url.query(), url.fragment()), (path, None, None), "nobody normalises it");
    assert_eq!(url.host_str(), Some("gate.example"));
}

fn passed(query: &str, pairs: &[(String, String)]) {
    let again: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(again.join("&"), query, "a query that is taken is written again as it was");
    let decoded: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!(decoded, pairs, "decoding changes nothing");
    for (at, (name, _)) in pairs.iter().enumerate() {
        assert!(pairs.iter().skip(at + 1).all(|(other, _)| other != name), "no name stands twice");
    }
}
