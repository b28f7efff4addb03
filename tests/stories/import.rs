//! Tables that a city kept in Excel come in: every problem by row and column, nothing by halves, nothing twice.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::Method;
use sekisho::import::row::Problem;
use sekisho::import::{ImportError, Options, ROWS_MAX, Summary, Told, run};
use sekisho_tests::town::Town;
use serde_json::json;

const HEADER: &str =
    "宛名番号,保護者の宛名番号,氏名,提供先,利用目的,提供する情報,開始日,終了日,文面の版,取得方法,証拠,本人確認者";

async fn town() -> Town {
    let town = Town::open().await;
    let link = json!({"to": {"party": "fuchu-city", "id": "resident-m"}, "evidence": "e", "verified_by": "v"});
    town.act(&format!("/people/{}/links", town.people.parents[0]), link).await;
    town
}

/// A row as a city's clerk wrote it, with a name that is nobody's business here.
fn row(town: &Town, number: usize) -> String {
    format!(
        "{},resident-m,府中 花子,よつば母子手帳アプリ,phr-view,予防接種の記録,R8.4.1,2027/3/31,2026-04,書面,同意書 R8-{number},窓口 山田",
        town.child_at_city()
    )
}

fn table(town: &Town, rows: usize) -> String {
    let mut text = format!("{HEADER}\r\n");
    (0..rows).for_each(|number| writeln!(text, "{}\r", row(town, number)).unwrap());
    text
}

fn put(town: &Town, bytes: &[u8]) -> PathBuf {
    let path = town.directory.path().join("table.csv");
    std::fs::write(&path, bytes).unwrap();
    path
}

async fn import(town: &Town, bytes: &[u8], dry_run: bool) -> (Result<Summary, ImportError>, Vec<Problem>) {
    let (file, socket) = (put(town, bytes), town.world.socket());
    let options = Options { file, party: "fuchu-city".to_owned(), socket, dry_run };
    let mut problems = Vec::new();
    let mut tell = |told: Told| {
        if let Told::Problem(problem) = told {
            problems.push(problem);
        }
    };
    let summary = run(&options, &mut tell).await;
    (summary, problems)
}

fn shift_jis(text: &str) -> Vec<u8> {
    let (bytes, _, unmappable) = encoding_rs::SHIFT_JIS.encode(text);
    assert!(!unmappable);
    bytes.into_owned()
}

async fn consents(town: &Town) -> usize {
    use sekisho::ids::TextId;
    let subject = TextId::parse(town.child()).unwrap();
    town.gateway.app().store.snapshot(subject).await.unwrap().subject.records.consents.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_comes_in_once_however_often_and_in_whatever_form_it_is_read() {
    let town = town().await;
    let text = table(&town, 140);
    let (checked, problems) = import(&town, text.as_bytes(), true).await;
    assert_eq!(problems, []);
    assert_eq!(checked.unwrap(), Summary { rows: 140, problems: 0, recorded: 140, already: 0 });
    assert_eq!(consents(&town).await, 0, "a dry run records nothing");

    // It broke off after the first half; then the whole.
    let (half, _) = import(&town, table(&town, 70).as_bytes(), false).await;
    assert_eq!((half.unwrap().recorded, consents(&town).await), (70, 70));
    let (whole, _) = import(&town, text.as_bytes(), false).await;
    assert_eq!(whole.unwrap(), Summary { rows: 140, problems: 0, recorded: 70, already: 70 });
    // Sorted otherwise, in another encoding, with dates written otherwise and rows twice: the same ones.
    let mut rows: Vec<&str> = text.lines().collect();
    rows[1..].reverse();
    rows.push(rows[7]);
    let other = rows.join("\r\n").replace("R8.4.1", "2026年4月1日").replace("よつば母子手帳アプリ", "yotsuba-phr");
    for bytes in [shift_jis(&other), [&[0xef, 0xbb, 0xbf], other.as_bytes()].concat()] {
        let (again, problems) = import(&town, &bytes, false).await;
        assert_eq!(problems, []);
        assert_eq!(again.unwrap(), Summary { rows: 141, problems: 0, recorded: 0, already: 141 });
    }
    assert_eq!(consents(&town).await, 140);

    let (_, list) = town.person(Method::GET, "/v1/consents?limit=1", town.mother(), None).await;
    let first = &list["items"][0];
    assert_eq!((&first["attested_by"], &first["how"]), (&json!("fuchu-city"), &json!("paper")));
    assert_eq!(
        (&first["from"], &first["until"]),
        (&json!("2026-03-31T15:00:00.000Z"), &json!("2027-03-31T15:00:00.000Z"))
    );
    let app = town.world.app_token(town.mother()).unwrap();
    let path = format!("/v1/consents/{}", first["id"].as_str().unwrap());
    let (_, seen) = town.call(&town.world.app_http, Method::GET, &path, &app, None).await;
    assert!(town.items(seen["patient"].as_str().unwrap()).await > 0, "and it counts");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_named_by_row_and_column_and_nothing_is_recorded() {
    let town = town().await;
    let good = row(&town, 1);
    let bend = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let child = town.child_at_city();
    let cases: [(String, &[&str]); 18] = [
        (good.clone(), &[]),
        (bend(child, "nobody-0001"), &["id"]),
        (bend("resident-m", "nobody-0002"), &["grantor_id"]),
        (bend("resident-m", ""), &["grantor_id"]),
        (bend("よつば母子手帳アプリ", "よつばアプリ"), &["recipient"]),
        (bend("phr-view", "spying"), &["purpose"]),
        (bend("phr-view", "first-visit"), &["purpose"]),
        (bend("予防接種の記録", "vaccination@9"), &["categories"]),
        (bend("R8.4.1", "46113"), &["from"]),
        (bend("2027/3/31", "2027/2/30"), &["last_day"]),
        (bend("2027/3/31", "2126/3/31"), &["last_day"]),
        (bend("2027/3/31", "2026/4/30"), &["last_day"]),
        (bend("2026-04,", "2020-01,"), &["text_version"]),
        (bend("書面", "以心伝心"), &["way"]),
        (bend("窓口 山田", "1111-1111-1118"), &["checked_by"]),
        (bend("同意書 R8-1", ""), &["evidence"]),
        (bend("R8.4.1,2027/3/31,2026-04,書面", "来年,再来年,2020-01,?"), &["from", "last_day", "text_version", "way"]),
        (format!("{good},one more"), &[""]),
    ];
    let text: Vec<&str> = std::iter::once(HEADER).chain(cases.iter().map(|(row, _)| row.as_str())).collect();
    let (summary, problems) = import(&town, text.join("\n").as_bytes(), false).await;
    for (at, (_, expected)) in cases.iter().enumerate() {
        let mut found: Vec<&str> = problems
            .iter()
            .filter(|p| p.row as usize == at + 2)
            .map(|p| p.column.rsplit_once('(').map_or("", |(_, name)| name.trim_end_matches(')')))
            .collect();
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "row {}", at + 2);
    }
    assert!(problems.iter().all(|p| !p.ja.is_empty() && !p.en.is_empty()));
    let said = format!("{problems:?}");
    assert!(!said.contains("1118") && !said.contains("nobody-") && !said.contains(child), "no cell is repeated");
    assert_eq!(summary.unwrap().recorded, 1, "only the good row passed the check");
    assert_eq!(consents(&town).await, 0, "nothing by halves");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_such_table_is_refused_with_what_to_do() {
    let town = town().await;
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(HEADER.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for (bytes, said) in [
        (utf16, "UTF-16"),
        (table(&town, 1).replace("提供先", "送り先").into_bytes(), "recipient"),
        (table(&town, 1).replace("氏名", "証拠").into_bytes(), "twice"),
        (Vec::new(), "missing"),
    ] {
        let (refused, _) = import(&town, &bytes, true).await;
        let why = refused.unwrap_err().to_string();
        assert!(why.contains(said), "{why}");
    }
    let options = Options {
        file: put(&town, table(&town, 1).as_bytes()),
        party: "yotsuba-phr".to_owned(),
        socket: town.world.socket(),
        dry_run: true,
    };
    let why = run(&options, &mut |_| {}).await.unwrap_err().to_string();
    assert!(why.contains("municipality or clinic"), "an app attests nothing: {why}");
    town.gateway.stop().await;
}

/// The bar of the issue: 100,000 rows with mixed encodings.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_rows_with_mixed_encodings_are_checked_in_bounded_time() {
    let town = town().await;
    let mut bytes = shift_jis(&format!("{HEADER}\r\n"));
    let mut expected = Vec::new();
    for number in 0..ROWS_MAX {
        let line = format!("{}\r\n", row(&town, number as usize));
        match number % 1_000 {
            // Typed on another machine.
            500 => bytes.extend_from_slice(line.as_bytes()),
            // Broken on the way.
            700 => {
                let mut broken = shift_jis(&line);
                let at = broken.iter().rposition(|b| *b == b',').unwrap() + 1;
                broken[at] = 0xff;
                bytes.extend_from_slice(&broken);
            }
            _ => {
                bytes.extend_from_slice(&shift_jis(&line));
                continue;
            }
        }
        expected.push(number + 2);
    }
    let began = Instant::now();
    let (summary, problems) = import(&town, &bytes, true).await;
    let took = began.elapsed();
    eprintln!("{ROWS_MAX} rows, {} bytes, checked in {took:?}", bytes.len());
    let named: Vec<u32> = problems.iter().map(|p| p.row).collect();
    assert_eq!(named, expected, "just those rows, each once");
    assert!(problems.iter().all(|p| p.en.contains("Shift_JIS")));
    assert_eq!(summary.unwrap().recorded, ROWS_MAX - 200);
    assert!(took < Duration::from_secs(60), "{took:?}");
    bytes.extend_from_slice(&shift_jis(&row(&town, 0)));
    let (refused, _) = import(&town, &bytes, true).await;
    assert!(refused.unwrap_err().to_string().contains("100,000 rows"));
    town.gateway.stop().await;
}
