//! `sekisho import-consents` of a table of 100,000 rows that are about few people: how long it takes, and whether a row takes
//! longer the more consents there are about its person already.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use jiff::civil::date;
use sekisho::ids::TextId as _;
use sekisho::import::{Options, Told, run};
use sekisho::ledger::event::LinkTarget;
use sekisho::store::conformance::world;
use sekisho_adapters::people::{Family, People};
use sekisho_policy::PersonId;

use crate::Failure;
use crate::report::Bar;
use crate::served::{Bench, Work, linked, stop, write};

/// Rows of the table, unless asked otherwise: as many as one may have.
pub const ROWS: usize = 100_000;
/// Consents about one person, at most (`consent/give.rs`).
const OF_ONE: usize = 10_000;
const SECONDS_MAX: f64 = 120.0;
/// A row among a person's last thousand may take so many times one among the first thousand.
const GROWTH_MAX: f64 = 2.0;

const HEADER: &str = "id,grantor_id,recipient,purpose,categories,from,last_day,text_version,way,evidence,checked_by\n";

/// Measures; gives the bars.
pub async fn measure(target: &Path, rows: usize) -> Result<Vec<Bar>, Failure> {
    let work = Work(target.join("bench").join(format!("import-{}", std::process::id())));
    let families: Vec<Family> = People::new(11, date(2026, 6, 1)).families().take(1).collect();
    let bench = Bench::make(target, &work, families, |text| text).await?;
    let people = rows.div_ceil(OF_ONE);
    let store = bench.open().await?;
    let adult = |number: usize| {
        let (person, id) = (PersonId::mint(), format!("resident-{number}"));
        let to = LinkTarget::Source { party: "fuchu-city".to_owned(), id };
        (person, vec![world::enrolled(person), linked(person, to)])
    };
    write(&store, (0..people).map(adult).collect()).await?;
    store.stop().await?;
    drop(store);
    let running = bench.start().await?;
    let file = work.0.join("table.csv");
    std::fs::write(&file, table(rows)?)?;

    let began = Instant::now();
    let mut recorded: Vec<(usize, f64)> = Vec::new();
    let (mut checked, mut problem) = (0.0, None);
    let mut tell = |told: Told| match told {
        Told::Checked(_) => checked = began.elapsed().as_secs_f64(),
        Told::Recorded(rows) => recorded.push((rows as usize, began.elapsed().as_secs_f64())),
        Told::Problem(found) => problem = Some(found.en),
    };
    let options = Options { file, party: "fuchu-city".to_owned(), socket: bench.around.socket(), dry_run: false };
    let summary = run(&options, &mut tell).await?;
    let took = began.elapsed().as_secs_f64() - checked;
    if let Some(problem) = problem {
        return Err(format!("a row was not taken: {problem}").into());
    }
    if summary.recorded as usize != rows {
        return Err(format!("{} of {rows} rows were recorded", summary.recorded).into());
    }
    stop(running).await?;
    let growth = growth(&recorded, checked);
    println!("import: {rows} rows about {people} people: checked in {checked:.1} s, recorded in {took:.1} s");
    Ok(vec![
        Bar::stated("import: checking 100,000 rows about 10 people", checked, "s"),
        Bar::at_most("import: recording them", took, "s", SECONDS_MAX),
        Bar::at_most("a row among a person's last 1,000 consents, by one among the first", growth, "×", GROWTH_MAX),
    ])
}

/// A table sorted by person, as such tables are.
fn table(rows: usize) -> Result<String, Failure> {
    let mut text = HEADER.to_owned();
    for row in 0..rows {
        let person = row / OF_ONE;
        writeln!(
            text,
            "resident-{person},,yotsuba-phr,phr-view,vaccination@1,2026-04-01,2027-03-31,2026-04,paper,R8-{row},Yamada"
        )?;
    }
    Ok(text)
}

/// The median over people of the time that their last thousand rows took, by that of their first.
fn growth(recorded: &[(usize, f64)], checked: f64) -> f64 {
    let at = |rows: usize| recorded.iter().find(|(done, _)| *done >= rows).map(|(_, at)| *at);
    let whole = recorded.last().map_or(0, |(rows, _)| *rows);
    let of = |person: usize| {
        let (first, last) = (person * OF_ONE, ((person + 1) * OF_ONE).min(whole));
        let begins = if first == 0 { Some(checked) } else { at(first) }?;
        Some((at(last)? - at(last.checked_sub(1_000)?)?) / (at(first + 1_000)? - begins))
    };
    let mut all: Vec<f64> = (0..whole.div_ceil(OF_ONE)).filter_map(of).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
