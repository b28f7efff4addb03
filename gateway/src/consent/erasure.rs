//! Erasing a person, and destroying what the law no longer asks to be kept (個人情報保護法 29・30条).

use jiff::{ToSpan, tz::TimeZone};
use sekisho_policy::{PersonId, Timestamp};

use super::people::ActError;
use crate::app::App;
use crate::ledger::entry::Cause;

/// Erases a person's content, and stops everything under way about the person. Consents, decisions and outcomes stay,
/// sealed, until [`destroy_old_records`].
///
/// # Errors
/// When there is no such person, or it could not be done; doing it again goes on.
pub async fn erase(app: &App, person: PersonId, cause: Cause) -> Result<u32, ActError> {
    let known = app.store.has_records_of(person)? && person != app.store.nobody();
    if !known {
        return Err(ActError::Unknown("person"));
    }
    app.store.erase(person, cause).await?;
    Ok(app.barrier.everything_about(person).await?)
}

/// Destroys what is still kept of people who were erased, where the newest of it is older than the configured years. Tells
/// of how many people.
///
/// # Errors
/// When it could not be done; doing it again goes on.
pub async fn destroy_old_records(app: &App, cause: Cause) -> Result<u32, ActError> {
    let now = app.store.clock().now().map_err(crate::store::StoreError::from)?;
    let years = i64::from(app.config.server.records_kept_years);
    let now = jiff::Timestamp::from_millisecond(now.millis()).map(|now| now.to_zoned(TimeZone::UTC));
    let before = now.and_then(|now| now.checked_sub(years.years()));
    let before = before.map_err(|_| ActError::Conflict("the clock shows no date that years can be counted from"))?;
    let before = Timestamp::from_millis(before.timestamp().as_millisecond());
    Ok(app.store.destroy_old_records(before, cause).await?)
}
