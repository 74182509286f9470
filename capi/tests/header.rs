//! `include/elman.h` is what cbindgen makes of the sources, and tells of every call on which thread it may be made.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

/// In the order in which the header tells of them.
const SOURCES: [&str; 6] = ["version", "status", "last_error", "model", "stream", "run"];

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_header_is_that_of_the_sources() {
    let config = cbindgen::Config::from_file(here("cbindgen.toml")).unwrap();
    let builder = SOURCES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, source| {
        builder.with_src(here(&format!("src/{source}.rs")))
    });
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = here("include/elman.h");
    if env::var_os("ELMAN_RENEW_HEADER").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == committed,
        "include/elman.h is not what cbindgen makes of src/: renew it by ELMAN_RENEW_HEADER=1 cargo test -p elman-capi \
         --test header"
    );
}

#[test]
fn every_call_has_a_row_in_the_table_of_threads() {
    let header = fs::read_to_string(here("include/elman.h")).unwrap();
    let (opening, rest) = header.split_once("*/").unwrap();
    let words = |text: &str| -> BTreeSet<String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.split(|c| !is_name(c)).filter(|word| word.starts_with("elman_")).map(String::from).collect()
    };
    let code: Vec<_> = rest.lines().filter(|line| !line.trim_start().starts_with(['*', '/'])).collect();
    let declared: BTreeSet<_> =
        code.iter().flat_map(|line| line.split_once('(')).flat_map(|(head, _)| words(head)).collect();
    let table = opening.lines().filter_map(|line| line.strip_prefix(" *     elman_"));
    let rows: Vec<_> =
        table.filter(|row| row.split_whitespace().nth(1).is_some_and(|w| w == "yes" || w == "no")).collect();
    let told: BTreeSet<_> =
        rows.iter().map(|row| format!("elman_{}", row.split_whitespace().next().unwrap())).collect();
    assert_eq!(told, declared);
    assert_eq!(rows.len(), told.len(), "one row for each");
    assert!(declared.len() > 25);
}

/// The sources that the header is made of are all that export something.
#[test]
fn no_exported_function_is_left_out() {
    for entry in fs::read_dir(here("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let exports = fs::read_to_string(&path).unwrap().contains("no_mangle");
        assert_eq!(exports, SOURCES.contains(&name), "{}", path.display());
    }
}
