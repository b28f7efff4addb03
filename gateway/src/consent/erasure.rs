//! Erasing a person, and destroying what the law no longer asks to be kept (個人情報保護法 29・30条).

use sekisho_policy::PersonId;

use super::people::ActError;
use crate::app::App;
use crate::clock::years_before;
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
    // Before the key goes: what municipalities hold is to be recalled, and that nobody could tell afterwards.
    crate::week::package::forget(app, person).await?;
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
    let before = years_before(now, app.config.server.records_kept_years);
    let before = before.ok_or(ActError::Conflict("the clock shows no date that years can be counted from"))?;
    Ok(app.store.destroy_old_records(before, cause).await?)
}
