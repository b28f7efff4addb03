//! Bringing in consents that a party kept in a table of its own (CSV out of Excel), through the operators' socket.
//!
//! Two passes: the first checks every row and names every problem; only when there is none does the second record. Each row
//! has a key of its own made of what it says, so running it again records nothing twice and goes on where it broke off.
//! What it never does: send columns that it does not know, or repeat what stands in a cell.

pub mod cell;
pub mod file;
pub mod row;

use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

use crate::admin::client::{SocketError, ask};
use file::{FileError, Table};
use row::{Problem, Row};

/// Rows of a file, at most.
pub const ROWS_MAX: u32 = 100_000;
/// Rows that go to the gateway at once, at most.
pub const CHUNK_ROWS_MAX: usize = 500;

/// What to import.
pub struct Options {
    /// The table.
    pub file: PathBuf,
    /// The party that attests: its code.
    pub party: String,
    /// Operators' socket.
    pub socket: PathBuf,
    /// Only check.
    pub dry_run: bool,
}

/// What is told while it goes on.
pub enum Told {
    /// A row can't be taken.
    Problem(Problem),
    /// So many rows are checked.
    Checked(u32),
    /// So many rows are recorded, those of an earlier run included.
    Recorded(u32),
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows of the file, without its header.
    pub rows: u32,
    /// Problems told.
    pub problems: u32,
    /// Consents recorded now.
    pub recorded: u32,
    /// Consents that were there already.
    pub already: u32,
}

/// Why nothing came of it, or not all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The gateway.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The gateway's answer is not one.
    #[error("the gateway's answer is not understood; is it of the same version?")]
    Answer,
}

/// Checks the file, and unless there is a problem or it is a dry run, records it.
///
/// # Errors
/// When the file can't be read as a table, or the gateway can't be asked. What was recorded by then stays; running it again
/// goes on.
pub async fn run(options: &Options, tell: &mut (dyn FnMut(Told) + Send)) -> Result<Summary, ImportError> {
    let mut summary = Summary::default();
    pass(options, true, &mut summary, tell).await?;
    if summary.problems == 0 && !options.dry_run {
        summary = Summary::default();
        pass(options, false, &mut summary, tell).await?;
    }
    Ok(summary)
}

async fn pass(
    options: &Options,
    dry_run: bool,
    summary: &mut Summary,
    tell: &mut (dyn FnMut(Told) + Send),
) -> Result<(), ImportError> {
    let mut table = Table::open(&options.file)?;
    let mut chunk: Vec<Row> = Vec::with_capacity(CHUNK_ROWS_MAX);
    loop {
        let next = table.next_row()?;
        let over = next.is_none();
        match next {
            Some(Ok(row)) => chunk.push(row),
            Some(Err(problem)) => {
                summary.problems += 1;
                tell(Told::Problem(problem));
            }
            None => {}
        }
        if chunk.len() == CHUNK_ROWS_MAX || (over && !chunk.is_empty()) {
            send(&options.socket, &options.party, dry_run, &mut chunk, summary, tell).await?;
            let done = summary.recorded + summary.already;
            tell(if dry_run { Told::Checked(table.rows()) } else { Told::Recorded(done) });
        }
        if over {
            summary.rows = table.rows();
            return Ok(());
        }
    }
}

async fn send(
    socket: &Path,
    party: &str,
    dry_run: bool,
    chunk: &mut Vec<Row>,
    summary: &mut Summary,
    tell: &mut (dyn FnMut(Told) + Send),
) -> Result<(), ImportError> {
    let rows = std::mem::take(chunk);
    let body = json!({"party": party, "dry_run": dry_run, "rows": rows});
    let answer = ask(socket, Method::POST, "/imports/consents", &body).await?;
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let problems = answer.get("problems").cloned().ok_or(ImportError::Answer)?;
    let problems: Vec<Problem> = serde_json::from_value(problems).map_err(|_| ImportError::Answer)?;
    summary.problems += u32::try_from(problems.len()).unwrap_or(u32::MAX);
    summary.recorded += number("recorded").ok_or(ImportError::Answer)?;
    summary.already += number("already").ok_or(ImportError::Answer)?;
    problems.into_iter().for_each(|problem| tell(Told::Problem(problem)));
    Ok(())
}
