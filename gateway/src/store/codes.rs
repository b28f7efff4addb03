//! Registered codes as events spell them.

use sekisho_policy::{CategoryCode, CategoryVersion, Code, PurposeCode};

pub(super) fn purpose(text: &str, field: &'static str) -> Result<PurposeCode, &'static str> {
    Code::parse(text).map(PurposeCode).map_err(|_| field)
}

pub(super) fn category_code(text: &str, field: &'static str) -> Result<CategoryCode, &'static str> {
    Code::parse(text).map(CategoryCode).map_err(|_| field)
}

/// Parses `vaccination@1`.
#[must_use]
pub fn category_version(text: &str) -> Option<CategoryVersion> {
    let (code, version) = text.split_once('@')?;
    let number: u16 = version.parse().ok()?;
    // One spelling: no sign, no leading zero.
    (number > 0 && number.to_string() == version)
        .then(|| Code::parse(code).ok().map(|c| CategoryVersion { code: CategoryCode(c), version: number }))
        .flatten()
}

pub(super) fn categories(list: &[String], field: &'static str) -> Result<Box<[CategoryVersion]>, &'static str> {
    list.iter().map(|c| category_version(c).ok_or(field)).collect()
}
