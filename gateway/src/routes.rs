//! Finding a route in a table by the whole of a path. What is not in a table is not there.

/// The segment that stands for `{id}` in this pattern, empty where there is none; `None` when the path is another.
pub(crate) fn matched<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    matched_all(pattern, path).map(|[first, _]| first)
}

/// The segments that stand for up to two `{id}` in this pattern, empty where there are fewer.
pub(crate) fn matched_all<'a>(pattern: &str, path: &'a str) -> Option<[&'a str; 2]> {
    let (mut wanted, mut segments) = (pattern.split('/'), path.split('/'));
    let (mut ids, mut found) = ([""; 2], 0);
    loop {
        match (wanted.next(), segments.next()) {
            (None, None) => return Some(ids),
            (Some("{id}"), Some(segment)) if !segment.is_empty() => {
                *ids.get_mut(found)? = segment;
                found += 1;
            }
            (Some(one), Some(other)) if one == other => {}
            _ => return None,
        }
    }
}
