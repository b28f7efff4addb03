//! Handing over a page that shows something of somebody: under all of its decisions, looked at once more.

use super::super::page::{Answer, Trouble};
use super::super::visit::Visit;
use super::Member;
use crate::request::admission::Admission;
use crate::sabotage::{self, Check};
use crate::week::nurses::{Shown, gone};

/// Registers the page as a release, looks at everything once more, and hands it over. `None` when something changed meanwhile: building it
/// again leaves that out.
pub async fn release(
    visit: &Visit,
    member: &Member,
    mut shown: Shown,
    page: Answer,
) -> Result<Option<Answer>, Trouble> {
    let app = &visit.app;
    let linked = shown.still_linked(app).await;
    let cases = std::mem::take(&mut shown.cases);
    let mut parts = shown.parts(page.digest()).into_iter();
    let Some(first) = parts.next() else { return Ok(Some(page.watched())) };
    let admission = Admission::of_nurse(app, &member.signed_in, &member.to);
    let handle = app.releases.register(first, parts.collect(), admission, &visit.connection);
    let last_look = async {
        let admitted = app.now().is_some_and(|now| handle.is_admitted_by(&now));
        let permitted = handle.still_permitted().await? && !handle.is_expired();
        let still = gone(app, member.week(visit)?, &member.to, &cases).await?.is_empty();
        Ok::<bool, Trouble>(admitted && ((permitted && still) || sabotage::off(Check::DecideAgain)) && linked?)
    };
    match last_look.await {
        Ok(true) => {
            app.releases.time(&handle);
            Ok(Some(page.released(handle).watched()))
        }
        Ok(false) => {
            handle.nothing_sent();
            Ok(None)
        }
        Err(trouble) => {
            handle.nothing_sent();
            Err(trouble)
        }
    }
}
