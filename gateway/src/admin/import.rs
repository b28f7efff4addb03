//! `POST /imports/consents`: rows of a party's own table, checked, and recorded as that party's attested consents.
//!
//! Each row is judged as a word given at the party's counter would be (`consent::attested`). Its key is made of what it says,
//! with people and dates resolved, so the same row counts once however the file is sorted or saved.

use std::collections::HashMap;
use std::sync::Arc;

use sekisho_policy::{Code, PersonId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Acting, AdminError};
use crate::app::App;
use crate::consent::attested::{self, Word, has_counter, way};
use crate::consent::give::GiveError;
use crate::import::CHUNK_ROWS_MAX;
use crate::import::cell::{begins_ms, day, list};
use crate::import::row::{Column, Problem, Row};
use crate::ledger::entry::{Bytes32, Cause, Idempotency, encode};
use crate::ledger::event::{Attestation, Terms, Way};
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::StoreError;
use crate::store::state::{Global, category_version};

/// Rows, or people, that are looked at or recorded at once: they share a sync.
const AT_ONCE: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    party: String,
    dry_run: bool,
    rows: Vec<Row>,
}

/// A row that holds together.
struct Ready {
    row: u32,
    of: attested::Row,
}

enum Done {
    Recorded,
    Already,
    Problem(Problem),
}

pub(super) async fn consents(app: &Arc<App>, acting: &Acting, import: Import) -> Result<Value, AdminError> {
    if import.rows.len() > CHUNK_ROWS_MAX {
        return Err(AdminError::Body(format!("there are more than {CHUNK_ROWS_MAX} rows")));
    }
    let global = app.store.registry().await?;
    if !has_counter(&global, &import.party) {
        return Err(AdminError::Body("`party` must be a registered municipality or clinic".to_owned()));
    }
    // Which people are known, and what they gave, shows in the answer.
    acting.records_look(app, "import", None).await?;
    let party: Arc<str> = Arc::from(import.party);
    let of_row = |row: Row| {
        let (app, global, party, by) = (Arc::clone(app), Arc::clone(&global), Arc::clone(&party), acting.name.clone());
        async move { ready(&app, &global, &party, &by, &row).await }
    };
    let (mut found, mut people): (Vec<Done>, HashMap<PersonId, Vec<Ready>>) = (Vec::new(), HashMap::new());
    for ready in at_once(import.rows.into_iter().map(of_row)).await? {
        match ready {
            Ok(ready) => people.entry(ready.of.word.subject).or_default().push(ready),
            Err(problems) => found.extend(problems.into_iter().map(Done::Problem)),
        }
    }
    // Rows about one person are one task: they would only get into each other's way.
    let of_person = |(person, mut rows): (PersonId, Vec<Ready>)| {
        let (app, cause, dry_run) = (Arc::clone(app), acting.cause(), import.dry_run);
        rows.sort_by_key(|ready| ready.row);
        async move { if dry_run { checked(&app, rows).await } else { recorded(&app, person, rows, cause).await } }
    };
    found.extend(at_once(people.into_iter().map(of_person)).await?.into_iter().flatten());
    let (mut problems, mut recorded, mut already) = (Vec::new(), 0, 0);
    for done in found {
        match done {
            Done::Recorded => recorded += 1,
            Done::Already => already += 1,
            Done::Problem(problem) => problems.push(problem),
        }
    }
    problems.sort_by_key(|problem: &Problem| problem.row);
    Ok(json!({"problems": problems, "recorded": recorded, "already": already}))
}

/// Runs these, [`AT_ONCE`] at a time, and gives what each gave.
async fn at_once<T: Send + 'static>(
    tasks: impl Iterator<Item = impl Future<Output = Result<T, StoreError>> + Send + 'static>,
) -> Result<Vec<T>, StoreError> {
    let (mut tasks, mut running, mut all) = (tasks, JoinSet::new(), Vec::new());
    loop {
        while running.len() < AT_ONCE
            && let Some(task) = tasks.next()
        {
            running.spawn(task);
        }
        let Some(done) = running.join_next().await else { return Ok(all) };
        all.push(done.map_err(|_| StoreError::Stopped)??);
    }
}

/// What recording these rows would come to.
async fn checked(app: &App, rows: Vec<Ready>) -> Result<Vec<Done>, StoreError> {
    let mut all = Vec::with_capacity(rows.len());
    for Ready { row, of } in rows {
        let there = match &of.key {
            Some(key) => app.store.by_idempotency(key.key.0)?.is_some(),
            None => false,
        };
        all.push(match attested::check(app, &of.word, &of.terms).await {
            _ if there => Done::Already,
            Ok(()) => Done::Recorded,
            Err(error) => problem(row, error)?,
        });
    }
    Ok(all)
}

/// Records the rows about one person.
async fn recorded(app: &App, person: PersonId, rows: Vec<Ready>, cause: Cause) -> Result<Vec<Done>, StoreError> {
    let (numbers, rows): (Vec<u32>, Vec<attested::Row>) = rows.into_iter().map(|Ready { row, of }| (row, of)).unzip();
    let done = attested::grant_rows(app, person, &rows, cause).await?;
    let outcome = |(row, done)| match done {
        Ok(true) => Ok(Done::Recorded),
        Ok(false) => Ok(Done::Already),
        Err(error) => problem(row, error),
    };
    numbers.into_iter().zip(done).map(outcome).collect()
}

/// What stands against a row that holds together, for the one who keeps the table.
fn problem(row: u32, error: GiveError) -> Result<Done, StoreError> {
    let of = |column, why| Ok(Done::Problem(Problem::of(row, column, why)));
    match error {
        GiveError::Store(error) => Err(error),
        GiveError::NeverCounts => of(
            Column::Recipient,
            (
                "自らや同じ種類の事業者への同意は登録できません。本人に直接同意してもらってください。",
                "A party can't attest in favour of itself or of its own kind. Have the person give it at the gateway.",
            ),
        ),
        GiveError::NoAuthority => of(
            Column::GrantorId,
            (
                "この方は、この情報について決められません（親権などの登録、年齢を確かめてください）。",
                "This person may not decide about it. Check the recorded authority and the subject's age.",
            ),
        ),
        GiveError::RefusalStands(_) => of(
            Column::Purpose,
            (
                "「同意しない」が登録されています。この行を除いてください。",
                "A refusal stands against it. Leave the row out.",
            ),
        ),
        GiveError::OutdatedText(_) => of(Column::TextVersion, OTHER_TEXT),
        GiveError::TooMany(_) => of(
            Column::Id,
            ("この方の同意の件数が上限に達しています。", "There are too many consents about this person."),
        ),
        GiveError::Field { field, why } => {
            let column = match field {
                "purpose" => Column::Purpose,
                "categories" => Column::Categories,
                "source" => Column::Source,
                "until" => Column::LastDay,
                "evidence" => Column::Evidence,
                "checked_by" => Column::CheckedBy,
                "given_at" => Column::GivenOn,
                _ => Column::Recipient,
            };
            let ja = "ほかの列や登録内容と合いません。確かめてください。";
            of(column, (ja, &format!("It {why}.")))
        }
        GiveError::Unknown(_) | GiveError::Changed | GiveError::SeveralPeople | GiveError::Barrier(_) => of(
            Column::Id,
            ("その間に内容が変わりました。もう一度実行してください。", "It has changed meanwhile. Run it again."),
        ),
    }
}

const OTHER_TEXT: (&str, &str) = (
    "現在の文面の版ではありません。新しい文面で同意を取り直し、この行を除いてください。",
    "Not the version of the text in force. Ask anew with that text, and leave the row out.",
);
const UNKNOWN_ID: (&str, &str) = (
    "この番号の方がひも付けられていません。先に登録・ひも付けをしてください。",
    "Nobody is linked to this id. Enrol and link the person first.",
);
const NO_DAY: (&str, &str) =
    ("日付を読めません。2026-04-01 の形にしてください。", "Not a date. Write it as 2026-04-01.");

/// The row with people, registered things and dates found; or everything that is wrong with it.
async fn ready(
    app: &App,
    global: &Global,
    party: &str,
    by: &str,
    row: &Row,
) -> Result<Result<Ready, Vec<Problem>>, StoreError> {
    let mut found = Vec::new();
    let mut wrong = |column, why| found.push(Problem::of(row.row, column, why));
    let subject = app.store.person_of_source(party, row.cell(Column::Id)).await?;
    if subject.is_none() {
        wrong(Column::Id, UNKNOWN_ID);
    }
    let grantor = match row.cell(Column::GrantorId) {
        "" => subject,
        id => app.store.person_of_source(party, id).await?,
    };
    if grantor.is_none() && subject.is_some() {
        wrong(Column::GrantorId, UNKNOWN_ID);
    }
    let way = way_of(row.cell(Column::Way));
    if way.is_none() {
        let why = ("「書面」「対面」「電話」のどれかにしてください。", "Must be paper, in-person or telephone.");
        wrong(Column::Way, why);
    }
    let given = match row.cell(Column::GivenOn) {
        "" => row.cell(Column::From),
        text => text,
    };
    let given = day(given).and_then(begins_ms);
    if given.is_none() && !row.cell(Column::GivenOn).is_empty() {
        wrong(Column::GivenOn, NO_DAY);
    }
    let terms = terms(app, global, row, &mut wrong);
    let (Some(subject), Some(person), Some(way), Some(given_ms), Some(terms)) = (subject, grantor, way, given, terms)
    else {
        return Ok(Err(found));
    };
    let attestation = Attestation {
        party: party.to_owned(),
        way,
        evidence: row.cell(Column::Evidence).to_owned(),
        checked_by: row.cell(Column::CheckedBy).to_owned(),
        recorded_by: by.to_owned(),
        given_ms,
    };
    let word = Word { subject, person, attestation };
    let key = (!sabotage::off(Check::ImportOnce)).then(|| key(&word, &terms));
    if found.is_empty() {
        Ok(Ok(Ready { row: row.row, of: attested::Row { word, terms, key } }))
    } else {
        Ok(Err(found))
    }
}

fn way_of(cell: &str) -> Option<Way> {
    way(match cell {
        "書面" | "紙" => "paper",
        "対面" | "窓口" => "in-person",
        "電話" => "telephone",
        other => other,
    })
}

/// What the row says of the consent; what is wrong is told.
fn terms(
    app: &App,
    global: &Global,
    row: &Row,
    wrong: &mut impl FnMut(Column, (&'static str, &'static str)),
) -> Option<Terms> {
    let text = &global.text;
    let party = |cell: &str| text.parties.iter().find(|p| [&p.code, &p.name_ja, &p.name_en].iter().any(|n| *n == cell));
    let recipient = party(row.cell(Column::Recipient)).map(|p| p.code.clone());
    if recipient.is_none() {
        wrong(
            Column::Recipient,
            ("登録された提供先のコードか名称ではありません。", "Not a registered party's code or name."),
        );
    }
    let source = Some(row.cell(Column::Source)).filter(|cell| !cell.is_empty());
    let source = source.map(|cell| party(cell).map(|p| p.code.clone()));
    if source == Some(None) {
        wrong(
            Column::Source,
            ("登録された提供元のコードか名称ではありません。", "Not a registered party's code or name."),
        );
    }
    let named = |p: &&crate::store::registry::PurposeText| {
        [&p.code, &p.label_ja, &p.label_en].iter().any(|name| *name == row.cell(Column::Purpose))
    };
    let purpose = text.purposes.iter().find(named).map(|p| p.code.clone());
    if purpose.is_none() {
        wrong(
            Column::Purpose,
            ("登録された利用目的のコードか名称ではありません。", "Not a registered purpose's code or label."),
        );
    }
    let categories = categories(global, row.cell(Column::Categories));
    if categories.is_none() {
        wrong(
            Column::Categories,
            (
                "登録された情報の版（vaccination@1 など）を、「、」で区切って並べてください。",
                "List registered versions such as vaccination@1, with `;` between.",
            ),
        );
    }
    let from = day(row.cell(Column::From)).and_then(begins_ms);
    let last = day(row.cell(Column::LastDay)).and_then(|d| d.tomorrow().ok()).and_then(begins_ms);
    for (column, missing) in [(Column::From, from.is_none()), (Column::LastDay, last.is_none())] {
        if missing {
            wrong(column, NO_DAY);
        }
    }
    let agreed = purpose.as_ref().and_then(|p| app.config.texts.get(p));
    let agreed = agreed.filter(|text| text.text.version == row.cell(Column::TextVersion));
    if agreed.is_none() && purpose.is_some() {
        wrong(Column::TextVersion, OTHER_TEXT);
    }
    Some(Terms {
        recipient: recipient?,
        purpose: purpose?,
        categories: categories?,
        source: source.flatten(),
        from_ms: from?,
        until_ms: last?,
        data_from: None,
        data_until: None,
        text_hash: Bytes32(agreed?.hash),
        booking: None,
    })
}

/// Registered versions, sorted; a bare code stands for its only version.
fn categories(global: &Global, cell: &str) -> Option<Vec<String>> {
    let registered = &global.text.categories;
    let one = |item: &str| {
        if category_version(item).is_some() {
            return registered.iter().find(|c| c.version == item).map(|c| c.version.clone());
        }
        let named = |version: &str| version.split_once('@').is_some_and(|(code, _)| code == item);
        let bare = Code::parse(item).is_ok();
        let mut all = registered.iter().filter(|c| if bare { named(&c.version) } else { c.label_ja == item });
        all.next().filter(|_| all.next().is_none()).map(|c| c.version.clone())
    };
    let mut all: Vec<String> = list(cell).map(one).collect::<Option<_>>()?;
    all.sort_unstable();
    all.dedup();
    (!all.is_empty()).then_some(all)
}

/// The key of a row: SHA-256 over what it says, each part preceded by its length.
fn key(word: &Word, terms: &Terms) -> Idempotency {
    let (party, evidence) = (word.attestation.party.as_bytes(), word.attestation.evidence.as_bytes());
    let terms = encode(terms);
    let way = attested::way_word(word.attestation.way).as_bytes();
    let parts = [b"import consents", party, word.subject.bytes(), word.person.bytes(), &terms, way, evidence];
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_le_bytes());
        all.extend_from_slice(part);
    }
    let hash = Bytes32(sha256(&all));
    Idempotency { key: hash, body: hash }
}
