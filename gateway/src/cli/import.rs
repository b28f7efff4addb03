//! `sekisho import-consents`: says what is wrong with which row, how far it is, and what came of it.

use super::{block_on, say, say_error};
use crate::import::row::Problem;
use crate::import::{Options, Told, run};

/// Rows after which progress is told again.
const PROGRESS_ROWS: u32 = 5_000;

pub(super) fn consents(options: Options) -> Result<(), String> {
    let mut told = 0;
    let mut tell = |event: Told| match event {
        Told::Problem(problem) => say(&line(&problem)),
        Told::Checked(rows) => progress(&mut told, rows, "checked / 確認"),
        Told::Recorded(rows) => progress(&mut told, rows, "recorded / 登録"),
    };
    let dry_run = options.dry_run;
    let summary = block_on(async { run(&options, &mut tell).await.map_err(|e| e.to_string()) })?;
    if summary.problems > 0 {
        let outcome = if summary.recorded + summary.already > 0 && !dry_run {
            ""
        } else {
            "Nothing was recorded. / 登録していません。"
        };
        return Err(format!(
            "{} rows, {} problems / {} 行、問題 {} 件。{outcome}",
            summary.rows, summary.problems, summary.rows, summary.problems
        ));
    }
    say(&match dry_run {
        true => format!(
            "{} rows are good, {} of them recorded before / {} 行に問題はありません",
            summary.rows, summary.already, summary.rows
        ),
        false => format!(
            "{} consents recorded, {} were there already / {} 件を登録しました（登録済み {} 件）",
            summary.recorded, summary.already, summary.recorded, summary.already
        ),
    });
    Ok(())
}

/// Progress goes where errors go, so that the list of problems can be kept in a file.
fn progress(told: &mut u32, rows: u32, what: &str) {
    if rows < *told {
        *told = 0;
    }
    if rows >= *told + PROGRESS_ROWS {
        *told = rows;
        say_error(&format!("{rows} {what} …"));
    }
}

fn line(problem: &Problem) -> String {
    format!("{}\t{}\t{}\t{}", problem.row, problem.column, problem.ja, problem.en)
}
