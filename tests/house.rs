//! The house stands as CONTRIBUTING draws it: imports go down only, without circles, and `unsafe` is where the list says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules of the library from the ground up. A module may import from the rows above its own in this list, and from
/// itself. A file or folder that stands higher or lower than its module is named with its path.
const FLOORS: &[&[&str]] = &[
    &["error"],
    &["float_mode", "memory", "rng"],
    &["simd", "tensor"],
    &["kernel"],
    &["parallel", "params"],
    &["gemm"],
    &["plan"],
    &["layer"],
    &["network"],
    &["loss", "optim"],
    &["model"],
    &["format", "stream"],
    &["reference", "train", "model/file", "model/metadata", "model/state_dict"],
];

/// The library's files by their modules' paths (`kernel/tile`, and `kernel` for `kernel/mod.rs` or `kernel.rs`): their
/// code, without comments and unit tests.
fn sources() -> BTreeMap<String, String> {
    fn collect(folder: &Path, path: &str, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            let stem = entry.file_stem().unwrap().to_str().unwrap();
            let name = if path.is_empty() { stem.into() } else { format!("{path}/{stem}") };
            if entry.is_dir() {
                collect(&entry, &name, all);
            } else if entry.extension().is_some_and(|ending| ending == "rs") {
                let name = name.trim_end_matches("/mod").to_string();
                let text = fs::read_to_string(&entry).unwrap();
                let code = text.split("#[cfg(test)]\nmod").next().unwrap();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                all.insert(name, lines.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut all);
    // The root names everything, and its tests what they like.
    all.retain(|name, _| name != "lib" && !name.ends_with("/tests"));
    all
}

/// Every path that follows `root` in the code, in all of the forms `a::b`, `{a::b, c}` and `a::{b, c::{d}}`.
fn paths(code: &str, root: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (at, _) in code.match_indices(root) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        // The segments that lead to each open brace.
        let mut outer: Vec<Vec<String>> = Vec::new();
        let mut path = vec![String::new()];
        for c in code[at + root.len()..].chars() {
            match c {
                c if c.is_alphanumeric() || c == '_' => path.last_mut().unwrap().push(c),
                ':' if path.last().is_some_and(|segment| segment.is_empty()) => {}
                ':' => path.push(String::new()),
                '{' => {
                    path.pop();
                    outer.push(path.clone());
                    path.push(String::new());
                }
                ',' | '}' if !outer.is_empty() => {
                    all.push(path);
                    path = if c == '}' { Vec::new() } else { outer.last().unwrap().clone() };
                    path.push(String::new());
                    if c == '}' {
                        outer.pop();
                    }
                }
                c if c.is_whitespace() && !outer.is_empty() => {}
                _ => break,
            }
            if outer.is_empty() && c == '}' {
                break;
            }
        }
        all.push(path);
    }
    all.retain_mut(|path| {
        path.retain(|segment| !segment.is_empty());
        !path.is_empty()
    });
    all
}

/// The file that a path from `module` on leads to: as far down as there are files, and from a folder's root on to the
/// file whose item it re-exports.
fn file(sources: &BTreeMap<String, String>, module: &str, path: &[String]) -> Option<String> {
    let mut at = module.to_string();
    let mut rest = path;
    while let [segment, others @ ..] = rest {
        let below = if at.is_empty() { segment.clone() } else { format!("{at}/{segment}") };
        let folder = format!("{below}/");
        if !sources.contains_key(&below) && !sources.keys().any(|name| name.starts_with(&folder)) {
            break;
        }
        (at, rest) = (below, others);
    }
    if let (Some(item), Some(code)) = (rest.first(), sources.get(&at)) {
        for child in sources.keys().filter(|name| name.rsplit_once('/').is_some_and(|(folder, _)| folder == at)) {
            let name = child.rsplit('/').next().unwrap();
            let exported = paths(code, &format!("use {name}::"));
            if exported.iter().any(|path| path.last() == Some(item)) {
                return file(sources, child, std::slice::from_ref(item));
            }
        }
    }
    sources.contains_key(&at).then_some(at)
}

/// From each file to those that it imports from.
fn imports(sources: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for (name, code) in sources {
        let mut to = BTreeSet::new();
        let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
        for (root, module) in [("crate::", ""), ("super::", parent)] {
            for path in paths(code, root) {
                to.extend(file(sources, module, &path));
            }
        }
        to.remove(name);
        // A folder's root and its files belong together: the root declares them, and they may use what it holds.
        to.retain(|other| !name.starts_with(&format!("{other}/")) && !other.starts_with(&format!("{name}/")));
        all.insert(name.clone(), to);
    }
    all
}

/// The row of [`FLOORS`] that a file stands in: that of the longest entry which names it or a folder around it.
fn floor(name: &str) -> usize {
    let entries = FLOORS.iter().enumerate().flat_map(|(row, entries)| entries.iter().map(move |entry| (row, *entry)));
    let around = |entry: &str| name == entry || name.starts_with(&format!("{entry}/"));
    let found = entries.filter(|(_, entry)| around(entry)).max_by_key(|(_, entry)| entry.len());
    found.unwrap_or_else(|| panic!("src/{name}: expected a place on one of the floors of tests/house.rs")).0
}

#[test]
fn imports_go_down() {
    for (from, all) in imports(&sources()) {
        for to in all {
            let module = |name: &str| name.split('/').next().unwrap().to_string();
            let inside = module(&from) == module(&to) && floor(&from) == floor(&to);
            assert!(inside || floor(&to) < floor(&from), "src/{from} imports from src/{to}, which is not below it");
        }
    }
}

#[test]
fn there_is_no_circle() {
    let mut left = imports(&sources());
    // A module that imports from none of those left stands in no circle, nor does one from which none of them imports.
    loop {
        let imported: BTreeSet<_> = left.values().flatten().cloned().collect();
        let names: BTreeSet<_> = left.keys().cloned().collect();
        left.values_mut().for_each(|to| to.retain(|name| names.contains(name)));
        left.retain(|from, to| !to.is_empty() && imported.contains(from));
        if left.len() == names.len() {
            break;
        }
    }
    assert!(left.is_empty(), "a circle of imports: {left:#?}");
}

/// What the other tests stand on.
#[test]
fn imports_are_found() {
    let code = "use crate::a::{b::C, d};\npub(crate) use crate::{e, f::{g, h}};\nlet x: crate::i::J = mycrate::k();";
    let found: Vec<_> = paths(code, "crate::").iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::b::C", "a::d", "e", "f::g", "f::h", "i::J"]);
    let all = imports(&sources());
    assert!(all["tensor/packed"].contains("error") && all["layer/linear"].len() > 3, "{all:?}");
}

#[test]
fn unsafe_is_where_contributing_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let list = text.split("`#![allow(unsafe_code)]`").nth(1).expect("the list").split("\n\n").next().unwrap();
    let told: BTreeSet<_> = list.split('`').filter(|name| name.ends_with(".rs")).collect();
    let sources = sources();
    let marked = |name: &str| {
        let [file, folder] = [format!("src/{name}.rs"), format!("src/{name}/mod.rs")];
        let path = [file, folder].into_iter().find(|path| root.join(path).exists()).expect("a source");
        let inside = fs::read_to_string(root.join(&path)).unwrap().contains("allow(unsafe_code)");
        inside.then(|| path.trim_start_matches("src/").to_string())
    };
    let found: Vec<_> = sources.keys().filter_map(|name| marked(name)).collect();
    assert_eq!(told, found.iter().map(String::as_str).collect());
}

/// A Rust program has no options of a command line to set.
#[test]
fn errors_of_the_library_speak_of_no_command_line() {
    let is_option = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase());
    for (name, code) in sources() {
        let mut after = code.split("--").skip(1);
        let option = after.find(|rest| is_option(rest));
        assert!(option.is_none(), "src/{name}.rs: --{}", option.unwrap().lines().next().unwrap());
    }
}
