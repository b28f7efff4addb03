//! Packages: sealed, opened, refused, and written as an office can use them.

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use jiff::civil::date;
use sekisho::ledger::checkpoint::LedgerKey;
use sekisho::package::csv::{COLUMNS, Encoding, harmless};
use sekisho::package::print::Printed;
use sekisho::package::write::{Options, Written, write};
use sekisho::package::{BANNER, Checked, KeyPair, OpenError, SealError, Sealer, open, seal};
use sekisho::week::row::{Contact, Ground, Head, Reach, Reason, Row, RowKind, Who, Withdrawn, Words};
use sekisho::week::triage::Urgency;

fn signer() -> LedgerKey {
    LedgerKey::new("sekisho.example/ledger", [9; 32]).unwrap()
}

fn now() -> Timestamp {
    "2026-11-24T09:00:00+09:00".parse().unwrap()
}

fn head(rows: u32) -> Head {
    Head {
        package: "pkg-1".to_owned(),
        week: "2026-W47".to_owned(),
        municipality: "132063".to_owned(),
        municipality_ja: "府中市".to_owned(),
        municipality_en: "Fuchu City".to_owned(),
        from: "https://gateway.example".to_owned(),
        built: "2026-11-23T09:00:00+09:00".to_owned(),
        valid_until: "2026-11-30T09:00:00+09:00".to_owned(),
        copy: 2,
        rows,
        withdrawn: vec![Withdrawn { case: "C-0007".to_owned(), since: "2026-11-22T09:00:00+09:00".to_owned() }],
    }
}

fn row(number: u32, district: &str) -> Row {
    let who = |name: &str| Who { name: name.to_owned(), kana: "ミホン".to_owned(), birth: date(1994, 3, 2) };
    Row {
        case: format!("C-{number:04}"),
        kind: RowKind::Full,
        ground: Ground::Consent,
        urgency: Urgency::Raised,
        reasons: vec![Reason {
            code: "epds-sum".to_owned(),
            ja: "EPDS合計12点".to_owned(),
            en: "EPDS sum 12".to_owned(),
        }],
        consulted: date(2026, 11, 17),
        asker: who("見本 花子"),
        child: None,
        address: "府中市見本町1-2".to_owned(),
        postal: Some("0600055".to_owned()),
        district: district.to_owned(),
        present: None,
        contact: Contact {
            by: vec![Reach { means: "telephone".to_owned(), at: "03-0000-0042".to_owned() }],
            hours: "平日 10:00-15:00".to_owned(),
            voicemail: false,
            hidden_from_family: true,
        },
        valid_until: "2026-12-31T00:00:00+09:00".to_owned(),
        content: Some(Words {
            judgement: None,
            epds: Some([Some(1), None, Some(3), Some(0), Some(0), Some(0), Some(0), Some(0), Some(0), Some(0)]),
            consultation: "眠れません\n夜中に起きます".to_owned(),
            advice: "=HYPERLINK(\"http://x\")".to_owned(),
            course: vec![(date(2026, 10, 20), 6)],
        }),
    }
}

fn identity_only(number: u32) -> Row {
    Row { kind: RowKind::IdentityOnly, content: None, ..row(number, "東") }
}

fn sealed(rows: &[Row], to: &KeyPair) -> Vec<u8> {
    let head = head(u32::try_from(rows.len()).unwrap());
    seal(&head, &rows.iter().collect::<Vec<_>>(), to.public(), &signer()).unwrap()
}

fn check(package: &[u8], key: &KeyPair) -> Result<Checked, OpenError> {
    open::check(&mut Cursor::new(package), key, &signer().verifier_key(), now())
}

fn written(package: &[u8], key: &KeyPair, out: &Path, encoding: Encoding, reasons: bool) -> Written {
    let checked = check(package, key).unwrap();
    let printed = Printed { by: "nurse1".to_owned(), at: "2026-11-24 09:00".to_owned() };
    write(&mut Cursor::new(package), key, &checked, out, &Options { encoding, reasons, printed }).unwrap()
}

#[test]
fn what_is_sealed_is_opened_by_its_key() {
    let key = KeyPair::generate();
    let rows = [row(1, "東"), identity_only(2)];
    let package = sealed(&rows, &key);
    let again = KeyPair::read(&key.file()).unwrap();
    let checked = check(&package, &again).unwrap();
    assert_eq!(checked.head, head(2));
    let mut read = Vec::new();
    open::rows(&mut Cursor::new(&package), &again, &checked, |row| {
        read.push(row);
        Ok(())
    })
    .unwrap();
    assert!(read == rows);
    // Empty weeks have packages too: what is recalled has to arrive.
    assert_eq!(check(&sealed(&[], &key), &key).unwrap().head.withdrawn.len(), 1);
    // Its length tells nothing but how many pieces it takes.
    assert_eq!(sealed(&[], &key).len() / 65_552, sealed(&rows, &key).len() / 65_552);
}

#[test]
fn a_row_too_many_or_too_few_is_not_sealed() {
    let key = KeyPair::generate();
    let signer = signer();
    let mut sealer = Sealer::new(Vec::new(), head(2), key.public(), &signer).unwrap();
    sealer.row(&row(1, "東")).unwrap();
    assert!(matches!(sealer.finish(), Err(SealError::Rows { said: 2, were: 1 })));
    let mut wrong = head(0);
    wrong.package = "pkg\nrecipient other".to_owned();
    assert!(matches!(seal(&wrong, &[], key.public(), &signer), Err(SealError::Line("head"))));
    assert!(matches!(seal(&head(0), &[], "age1nobody", &signer), Err(SealError::Recipient)));
}

#[test]
fn what_was_altered_or_cut_off_is_refused() {
    let key = KeyPair::generate();
    let rows: Vec<Row> = (0..400).map(|number| row(number, "東")).collect();
    let package = sealed(&rows, &key);
    let payload = package.len() % 65_552;
    for cut in [0, 10, payload, payload + 1, package.len() - 65_552, package.len() - 1] {
        let found = check(&package[..cut], &key).unwrap_err();
        assert!(matches!(found, OpenError::Truncated | OpenError::NotAPackage), "{cut}: {found}");
        assert_eq!(matches!(found, OpenError::NotAPackage), cut < 22);
    }
    let longer = [package.as_slice(), b"x"].concat();
    assert!(matches!(check(&longer, &key), Err(OpenError::Truncated)));
    for at in (payload + 1..package.len()).step_by(9_973).chain([package.len() - 1]) {
        let mut changed = package.clone();
        changed[at] ^= 1;
        assert!(matches!(check(&changed, &key), Err(OpenError::Altered)), "{at}");
    }
    // Two whole pieces in each other's place.
    let mut swapped = package.clone();
    let (first, second) = swapped[payload..].split_at_mut(65_552);
    first.swap_with_slice(&mut second[..65_552]);
    assert!(matches!(check(&swapped, &key), Err(OpenError::Altered)));
    assert!(matches!(check(b"PK\x03\x04 something else", &key), Err(OpenError::NotAPackage)));
}

/// Seals any text to a key, as anybody can: the key is public.
fn forged(text: &str, to: &KeyPair) -> Vec<u8> {
    let to: age::x25519::Recipient = to.public().parse().unwrap();
    let mut text = text.to_owned().into_bytes();
    text.resize(text.len().next_multiple_of(65_536), b'\n');
    age::encrypt(&to, &text).unwrap()
}

/// The text of a package, without what it is filled up with.
fn plain(package: &[u8], key: &KeyPair) -> String {
    let file = key.file();
    let identity: age::x25519::Identity = file.lines().last().unwrap().parse().unwrap();
    String::from_utf8(age::decrypt(&identity, package).unwrap()).unwrap().trim_end_matches('\n').to_owned() + "\n"
}

#[test]
fn another_party_another_signer_and_what_is_over_are_refused() {
    let (key, other) = (KeyPair::generate(), KeyPair::generate());
    let package = sealed(&[row(1, "東")], &key);
    assert!(matches!(check(&package, &other), Err(OpenError::OtherKey)));
    // Whoever it was for seals it again to somebody else.
    let passed_on = forged(&plain(&package, &key), &other);
    assert!(matches!(check(&passed_on, &other), Err(OpenError::OtherParty)));
    // The same name and another key; another name.
    for stranger in [LedgerKey::new("sekisho.example/ledger", [8; 32]), LedgerKey::new("other.example", [9; 32])] {
        let signed = seal(&head(0), &[], key.public(), &stranger.unwrap()).unwrap();
        assert!(matches!(check(&signed, &key), Err(OpenError::OtherSigner)));
    }
    let at = |time: &str, signer: &str| open::check(&mut Cursor::new(&package), &key, signer, time.parse().unwrap());
    assert!(at("2026-11-30T09:00:00+09:00", &signer().verifier_key()).is_ok());
    assert!(matches!(at("2026-11-30T09:00:01+09:00", &signer().verifier_key()), Err(OpenError::Expired { .. })));
    assert!(matches!(at("2026-11-24T09:00:00+09:00", "no key"), Err(OpenError::SignerKey)));
}

#[test]
fn what_was_signed_binds_head_and_rows() {
    let key = KeyPair::generate();
    let package = sealed(&[row(1, "東"), row(2, "西")], &key);
    let text = plain(&package, &key);
    assert!(check(&forged(&text, &key), &key).is_ok());
    let lines: Vec<&str> = text.lines().collect();
    let without_a_row = text.replacen(&format!("{}\n", lines[1]), "", 1);
    for changed in [
        text.replace("C-0001", "C-0009"),
        without_a_row,
        text.replacen("\"copy\":2", "\"copy\":1", 1),
        text.replacen("valid_until\":\"2026-11-30", "valid_until\":\"2036-11-30", 1),
        text.replacen("C-0007", "C-0008", 1),
        text.replacen("府中市", "三鷹市", 1),
    ] {
        assert!(matches!(check(&forged(&changed, &key), &key), Err(OpenError::Altered)), "{changed}");
    }
    let unsigned = text.replace("rows 2\n", "rows 3\n");
    assert!(matches!(check(&forged(&unsigned, &key), &key), Err(OpenError::OtherSigner)));
    let bare = format!("{}\n{}\n", lines[0], lines[1]);
    assert!(matches!(check(&forged(&bare, &key), &key), Err(OpenError::Altered)));
    let newer = text.replace("{\"package\"", "{\"new\":1,\"package\"");
    assert!(matches!(check(&forged(&newer, &key), &key), Err(OpenError::Version)));
}

/// Byte for byte what `docs/packages.md` describes: encrypted it differs each time, beneath it doesn't.
#[test]
fn golden_package() {
    let key = KeyPair::generate();
    let text = plain(&sealed(&[], &key), &key);
    let (body, note) = text.split_once('\n').unwrap();
    assert_eq!(body, serde_json::to_string(&head(0)).unwrap());
    let digest = data_encoding::BASE64
        .encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{body}\n").as_bytes()).as_ref());
    let expected = format!(
        "sekisho-package/1\npackage pkg-1\nmunicipality 132063\nweek 2026-W47\ncopy 2\nrecipient {}\nbuilt 2026-11-23T09:00:00+09:00\n\
         valid-until 2026-11-30T09:00:00+09:00\nrows 0\nsha256 {digest}\n\n\u{2014} sekisho.example/ledger ",
        key.public()
    );
    assert!(note.starts_with(&expected), "{note}\n{expected}");
}

#[test]
fn a_list_opens_in_excel_and_no_cell_is_a_formula() {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate();
    let mut one = row(1, "東");
    one.asker.name = "＝SUM(A1)".to_owned();
    one.address = "  @x".to_owned();
    one.contact.by[0].at = "+81-3-0000".to_owned();
    let package = sealed(&[one, identity_only(2)], &key);
    let out = directory.path().join("out");
    let said = written(&package, &key, &out, Encoding::Utf8, false);
    assert_eq!((said.rows, said.districts, said.missing.1), (2, 1, 0));
    let bytes = std::fs::read(out.join("list.csv")).unwrap();
    let text = std::str::from_utf8(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap()).unwrap();
    assert!(text.contains("\r\n") && text.contains("\"眠れません\n夜中に起きます\""));
    let mut table = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(table.headers().unwrap().iter().collect::<Vec<_>>(), COLUMNS);
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let cell = |row: usize, column: &str| &rows[row][COLUMNS.iter().position(|name| *name == column).unwrap()];
    assert_eq!((cell(0, "氏名"), cell(0, "住所"), cell(0, "連絡先")), ("'＝SUM(A1)", "'  @x", "'+81-3-0000"));
    assert_eq!((cell(0, "助言"), cell(0, "郵便番号")), ("'=HYPERLINK(\"http://x\")", "060-0055"));
    assert_eq!((cell(0, "注意"), cell(1, "注意"), cell(1, "相談内容")), ("", BANNER, ""));
    for (column, value) in [("提供先", "府中市 (132063)"), ("作成日時", "2026-11-23T09:00:00+09:00"), ("写し番号", "2")]
    {
        assert_eq!(cell(1, column), value);
    }
    let recalled = std::fs::read_to_string(out.join("recalled.csv")).unwrap();
    assert!(recalled.contains("C-0007,2026-11-22T09:00:00+09:00,府中市 (132063)"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("list.json")).unwrap()).unwrap();
    assert_eq!((json["rows"].as_array().unwrap().len(), &json["head"]["copy"]), (2, &serde_json::json!(2)));
    for begins in [
        "=1",
        "+1",
        "-1",
        "@a",
        "\t=1",
        "\r1",
        "\n1",
        " =1",
        "　＝1",
        "＋1",
        "－1",
        "＠a",
        "\u{200b}=1",
        "−1",
        "\u{feff}=1",
    ] {
        assert_eq!(harmless(begins), format!("'{begins}"));
    }
    for harmless_already in ["", "見本", "1", "a=b", "03-0000", "'="] {
        assert_eq!(harmless(harmless_already), harmless_already);
    }
}

#[test]
fn the_nurses_pages_open_without_a_network() {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate();
    let mut one = row(1, "東");
    one.asker.name = "<b>見本</b>".to_owned();
    let package = sealed(&[one.clone(), identity_only(2)], &key);
    let out = directory.path().join("out");
    written(&package, &key, &out, Encoding::Utf8, false);
    let read = |path: &str| std::fs::read_to_string(out.join("pages").join(path)).unwrap();
    let list = read("index.html");
    assert!(list.contains("&#60;b&#62;見本") && list.contains(&format!("cases/{}.html", one.case)), "{list}");
    assert!(list.contains("写し番号: 2") && list.contains("C-0007") && list.contains(BANNER));
    assert!(!list.contains("眠れません"), "a list has no words");
    let case = read(&format!("cases/{}.html", one.case));
    assert!(case.contains("眠れません") && case.contains("<svg") && case.contains("安全な連絡方法"), "{case}");
    for page in [list, case] {
        assert!(!page.contains("=\"http") && !page.contains("<script") && !page.contains("<form"), "{page}");
    }
    let bare = read(&format!("cases/{}.html", identity_only(2).case));
    assert!(bare.contains(BANNER) && !bare.contains("眠れません") && !bare.contains("<svg"));
    assert!(read("style.css").contains(".cases"));
}

#[test]
fn letters_that_shift_jis_lacks_are_named_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate();
    let mut one = row(1, "東");
    one.asker.name = "𠮷田 髙子".to_owned();
    one.address = "見本町1〜2".to_owned();
    let package = sealed(&[row(0, "東"), one], &key);
    let out = directory.path().join("out");
    let said = written(&package, &key, &out, Encoding::ShiftJis, false);
    let (missing, count) = said.missing;
    assert_eq!((missing.len(), count), (1, 1));
    assert_eq!((missing[0].row, missing[0].column, missing[0].letter), (3, "氏名", '𠮷'));
    let bytes = std::fs::read(out.join("list.csv")).unwrap();
    let (text, _, wrong) = encoding_rs::SHIFT_JIS.decode(&bytes);
    assert!(!wrong && text.contains("〓田 髙子") && text.contains("見本町1～2") && text.starts_with("事例番号"));
}

#[test]
fn what_is_printed_says_how_to_reach_them_and_reasons_only_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate();
    let mut one = row(1, "東");
    one.asker.name = "<script>alert(1)</script>".to_owned();
    let package = sealed(&[one, identity_only(2), row(3, "../西")], &key);
    let list = |name: &str, reasons: bool| {
        let out = directory.path().join(name);
        assert_eq!(written(&package, &key, &out, Encoding::Utf8, reasons).districts, 2);
        std::fs::read_to_string(out.join("print/001-_.html")).unwrap()
    };
    let without = list("without", false);
    for said in [
        "C-0001",
        "見本 花子",
        "電話",
        "03-0000-0042",
        "家族に知られたくない",
        BANNER,
        "府中市",
        "2026-11-30T09:00:00+09:00",
        "写し / Copy: 2",
        "nurse1",
        "size: A4",
        "本人の同意",
    ] {
        assert!(without.contains(said), "{said}");
    }
    assert_eq!(without.matches(BANNER).count(), 1);
    for unsaid in ["EPDS", "眠れません", "<script>", "C-0003", "府中市見本町"] {
        assert!(!without.contains(unsaid), "{unsaid}");
    }
    assert!(list("with", true).contains("EPDS合計12点"));
    let names: Vec<String> = std::fs::read_dir(directory.path().join("with/print"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let recalled = std::fs::read_to_string(directory.path().join("with/print/recalled.html")).unwrap();
    assert!(recalled.contains("C-0007") && recalled.contains("nurse1"));
}

fn command(arguments: &[&std::ffi::OsStr]) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("package").args(arguments).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_command_opens_a_package_and_writes_nothing_of_an_unsound_one() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let key_file = at("key");
    let (made, public) = command(&["key".as_ref(), "--out".as_ref(), key_file.as_ref()]);
    assert!(made && !command(&["key".as_ref(), "--out".as_ref(), key_file.as_ref()]).0, "a key is never written over");
    let mut head = head(1);
    head.valid_until = "2099-01-01T00:00:00+09:00".to_owned();
    let package = seal(&head, &[&row(1, "東")], public.trim(), &signer()).unwrap();
    std::fs::write(at("package"), &package).unwrap();
    std::fs::write(at("cut"), &package[..package.len() - 7]).unwrap();
    let (vkey, other) =
        (signer().verifier_key(), LedgerKey::new("sekisho.example/ledger", [1; 32]).unwrap().verifier_key());
    std::fs::write(at("vkey"), format!("{vkey}\n")).unwrap();
    let open = |package: &str, signer: &std::ffi::OsStr, out: &str| {
        let (package, out) = (at(package), at(out));
        command(&[
            "open".as_ref(),
            package.as_ref(),
            "--key".as_ref(),
            key_file.as_ref(),
            "--signer".as_ref(),
            signer,
            "--out".as_ref(),
            out.as_ref(),
        ])
    };
    let vkey_file = at("vkey");
    for (package, signer, said) in [
        ("cut", vkey.as_ref(), "途中で切れている"),
        ("package", other.as_ref(), "署名が"),
        ("key", vkey.as_ref(), "パッケージではありません"),
    ] {
        let (opened, answer) = open(package, signer, "out");
        assert!(!opened && answer.contains(said), "{answer}");
    }
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .filter(|n| n.to_string_lossy().starts_with("out"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let (opened, answer) = open("package", vkey_file.as_ref(), "out");
    assert!(opened && answer.contains("1 件"), "{answer}");
    assert!(!answer.contains("見本 花子"), "nothing personal on the terminal");
    let (again, answer) = open("package", vkey.as_ref(), "out");
    assert!(!again && answer.contains("すでにあります"), "{answer}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(at("out/list.csv")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// Sealing and opening 100,000 rows takes no more memory than 1,000: the process's peak, in kilobytes.
#[test]
#[ignore = "a measurement: cargo test --release -p sekisho --test it flat -- --ignored --nocapture"]
fn memory_is_flat_in_the_number_of_rows() {
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let (directory, key, signer) = (tempfile::tempdir().unwrap(), KeyPair::generate(), signer());
    let run = |count: u32, name: &str| {
        let path = directory.path().join(name);
        let started = std::time::Instant::now();
        let file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        let mut sealer = Sealer::new(file, head(count), key.public(), &signer).unwrap();
        for number in 0..count {
            sealer.row(&row(number, ["東", "西", "南"][number as usize % 3])).unwrap();
        }
        std::io::Write::flush(&mut sealer.finish().unwrap()).unwrap();
        let sealed = started.elapsed();
        let mut file = std::fs::File::open(&path).unwrap();
        let checked = open::check(&mut file, &key, &signer.verifier_key(), now()).unwrap();
        let printed = Printed { by: "nurse1".to_owned(), at: "2026-11-24 09:00".to_owned() };
        let options = Options { encoding: Encoding::Utf8, reasons: true, printed };
        let written =
            write(&mut file, &key, &checked, &directory.path().join(format!("{name}-out")), &options).unwrap();
        assert_eq!(written.rows, count);
        println!("{count} rows: sealed in {sealed:?}, all in {:?}, peak {} kB", started.elapsed(), peak());
        peak()
    };
    let few = run(1_000, "few");
    let many = run(100_000, "many");
    assert!(many - few < 8 << 10, "{few} kB, then {many} kB");
}
