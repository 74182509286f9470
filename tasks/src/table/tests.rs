//! What tables promise, and what they say of files that do not fit.

use super::*;
use crate::error::Error;

fn options() -> Options {
    Options::default()
}

fn name(text: &str) -> Option<String> {
    Some(text.to_string())
}

fn try_read(text: &[u8], options: &Options) -> Result<Table> {
    read::table(&Source::new("x.csv".into(), text.to_vec())?, options)
}

fn read_text(text: &str, options: &Options) -> Result<Table, String> {
    try_read(text.as_bytes(), options).map_err(|error: Error| error.to_string())
}

#[test]
fn columns_of_numbers_are_features() {
    let text = "\u{feff}day,\"a, b\",note,c\r\n2010-01-01,1,x,10\r\n\r\n2010-01-02,\"2\",\"y, z\",20\r\n";
    let table = read_text(text, &Options { target: name("c"), time: name("day"), ..options() }).unwrap();
    assert_eq!(table.names, ["a, b", "c"]);
    assert_eq!((table.target, table.features), (1, 2));
    let series = &table.series[0];
    assert_eq!(series.values, [1.0, 10.0, 2.0, 20.0]);
    assert_eq!((series.steps(), series.column(1)), (2, vec![10.0, 20.0]));
    assert_eq!(series.times, ["2010-01-01", "2010-01-02"]);
    assert_eq!(series.lines, [2, 4]);
    assert_eq!(series.mask, [true; 4]);
    let report = &table.report;
    assert_eq!((report.rows, report.blank, report.missing), (2, 1, 0));
    assert_eq!(report.ignored, ["note"]);
    assert_eq!(report.distance.as_deref(), Some("1 day"));
}

#[test]
fn features_and_target_are_as_named() {
    let text = "a,b,c\n1,2,3\n4,5,6\n";
    let features = Some(vec!["c".to_string(), "a".to_string()]);
    let table = read_text(text, &Options { target: name("b"), features: features.clone(), ..options() }).unwrap();
    assert_eq!((table.names.join(" "), table.target, table.features), ("c a b".into(), 2, 2));
    assert_eq!(table.series[0].values, [3.0, 1.0, 2.0, 6.0, 4.0, 5.0]);
    assert_eq!(table.series[0].times, ["1", "2"]);
    let table = read_text(text, &Options { target: name("a"), features, ..options() }).unwrap();
    assert_eq!((table.names.len(), table.target, table.features), (2, 1, 2));
    let one = read_text("a,n\n1,x\n", &options()).unwrap();
    assert_eq!((one.target, one.series[0].steps()), (0, 1), "one column of numbers needs no name; one row is a series");
}

#[test]
fn groups_are_series() {
    let text = "shop,t,y\nb,1,10\na,1,1\nb,2,20\na,3,2\na,4,3\n";
    let options = Options { target: name("y"), time: name("t"), group: name("shop"), ..options() };
    let table = read_text(text, &options).unwrap();
    assert_eq!(table.series.iter().map(|series| series.group.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(table.series[1].values, [1.0, 2.0, 3.0]);
    assert_eq!(table.series[1].lines, [3, 5, 6]);
    let gap = Gap { group: "a".into(), line: 5, from: "1".into(), to: "3".into(), distance: "2".into() };
    assert_eq!(table.report.gaps, [gap]);
}

#[test]
fn gaps_and_duplicates_are_told() {
    let text = "t,y\n2010-01-01,1\n2010-01-02,2\n2010-01-02,2\n2010-01-03,3\n2010-01-06,4\n";
    let table = read_text(text, &Options { time: name("t"), ..options() }).unwrap();
    assert_eq!(table.series[0].steps(), 5, "nothing is left out");
    let told = |gaps: &[Gap]| gaps.iter().map(|gap| (gap.line, gap.distance.clone())).collect::<Vec<_>>();
    assert_eq!(told(&table.report.gaps), [(6, "3 days".to_string())]);
    assert_eq!(told(&table.report.duplicates), [(4, "0 days".to_string())]);
    let months = "t,y\n1749-01,1\n1749-02,1\n1749-03,1\n1749-05,1\n";
    let report = read_text(months, &Options { time: name("t"), ..options() }).unwrap().report;
    assert_eq!((report.distance.as_deref(), report.gaps.len()), (Some("1 month"), 1));
    let tenths = "t,y\n0.1,1\n0.2,1\n0.3,1\n0.4,1\n";
    let report = read_text(tenths, &Options { time: name("t"), ..options() }).unwrap().report;
    assert_eq!((report.distance.as_deref(), report.gaps.len()), (Some("0.1"), 0));
}

#[test]
fn missing_cells_are_refused_filled_or_masked() {
    let text = "y,z\n1,5\nNA,6\n,nan\n4,N/A\n";
    let with = |missing| Options { target: name("y"), missing, ..options() };
    let refused = read_text(text, &with(Missing::Refuse)).unwrap_err();
    assert_eq!(refused, "x.csv: line 3, column 'y': expected a number, as missing cells are refused, got 'NA'");
    let filled = read_text(text, &with(Missing::FillLast)).unwrap();
    assert_eq!(filled.series[0].values, [1.0, 5.0, 1.0, 6.0, 1.0, 6.0, 4.0, 6.0]);
    assert_eq!(filled.series[0].mask, [true, true, false, true, false, false, true, false]);
    assert_eq!(filled.report.missing, 4);
    let masked = read_text(text, &with(Missing::Mask)).unwrap();
    assert_eq!(masked.series[0].values, [1.0, 5.0, 0.0, 6.0, 0.0, 0.0, 4.0, 0.0]);
    assert_eq!(masked.series[0].mask, filled.series[0].mask);
    // Another series' number does not stand in.
    let grouped = Options { group: name("g"), target: name("y"), missing: Missing::FillLast, ..options() };
    let error = read_text("g,y\na,1\nb,\n", &grouped).unwrap_err();
    assert!(
        error.starts_with("x.csv: line 3, column 'y': expected a number, as the series has none before"),
        "{error}"
    );
}

#[test]
fn wrong_files_are_told() {
    let time = || Options { time: name("t"), ..options() };
    let cases = [
        ("", options(), "expected rows, got an empty file"),
        ("a,b\n", Options { target: name("a"), ..options() }, "expected rows of numbers, got a header alone"),
        ("a\n1\nx\n", options(), "line 3, column 'a': expected a number, got 'x'"),
        ("a\n1\n1e999\n", options(), "line 3, column 'a': expected a finite number, got '1e999'"),
        ("a\ninf\n", options(), "line 2, column 'a': expected a finite number, got 'inf'"),
        ("a,b\n1,x\n2\n", options(), "line 3: expected 2 fields, as the header has, got 1 field"),
        ("a,b\nx,y\n", options(), "expected a column of numbers, got the columns 'a', 'b'"),
        ("a,b\n1,2\n", options(), "expected the name of a target, got none, and the columns 'a', 'b'"),
        ("a,b\n1,2\n", Options { target: name("c"), ..options() }, "expected a column 'c', got the columns 'a', 'b'"),
        (
            "a,b\n1,2\n",
            Options { target: name("a"), time: name("a"), ..options() },
            "expected a column each for time and target, got 'a' for both",
        ),
        (
            "a,b\n1,2\n",
            Options { features: Some(vec!["a".into(), "a".into()]), ..options() },
            "expected each feature once, got 'a' twice",
        ),
        (
            "t,y\n2,1\n1,1\n",
            time(),
            "line 3, column 't': expected a time not before '2', the last, got '1': sort the rows, or name the column \
             that tells series apart",
        ),
        (
            "t,y\n2010-01-01,1\n2011,1\n",
            time(),
            "line 3, column 't': expected a date, as on line 2, got a number, '2011'",
        ),
        (
            "t,y\nsoon,1\n",
            time(),
            "line 2, column 't': expected a time, a number or a date such as 2010-01-31, 2010/01/31 18:00 or 2010-01, \
             got 'soon'",
        ),
        ("g,y\n,1\n", Options { group: name("g"), ..options() }, "line 2, column 'g': expected a group, got nothing"),
    ];
    for (text, options, expected) in cases {
        assert_eq!(read_text(text, &options).unwrap_err(), format!("x.csv: {expected}"), "{text:?}");
    }
    let error = try_read(b"a\n1\n\xff\n", &options()).unwrap_err();
    assert_eq!((error.line(), error.file()), (Some(3), Some("x.csv")));
}

#[test]
fn a_line_of_ten_megabytes_is_read_or_told() {
    let long = "7".repeat(10_000_000);
    let table = read_text(&format!("note,y\n\"{}\",1\n", "x,".repeat(5_000_000)), &options()).unwrap();
    assert_eq!(table.series[0].values, [1.0]);
    let error = read_text(&format!("y\n{long}\n"), &options()).unwrap_err();
    assert!(error.contains("line 2, column 'y': expected a finite number") && error.len() < 200, "{error}");
    let wide = read_text(&format!("a,b\n{}\n", "1,".repeat(5_000_000)), &options()).unwrap_err();
    assert_eq!(wide, "x.csv: line 2: expected 2 fields, as the header has, got 5000001 fields");
}

proptest::proptest! {
    /// No text makes it panic, and every row that stands in the file is in the table or the error.
    #[test]
    fn any_text_is_read_or_told(text in "[a-c0-3,;\"\\r\\n .NA-]{0,80}") {
        for missing in [Missing::Refuse, Missing::FillLast, Missing::Mask] {
            if let Ok(table) = read_text(&text, &Options { missing, ..options() }) {
                proptest::prop_assert_eq!(table.report.rows, table.series.iter().map(Series::steps).sum::<usize>());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_told(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
        let _ = try_read(&bytes, &options());
    }
}

#[test]
fn files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.csv");
    std::fs::write(&path, "y\n1\n2\n").unwrap();
    assert_eq!(read(&path, &options()).unwrap().series[0].values, [1.0, 2.0]);
    assert!(read(folder.path(), &options()).unwrap_err().to_string().contains("cannot be read"));
}
