//! CSV in and out.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::files::{f32s, folder, read, write};
use crate::{Ran, elman, run, told};

const ROWS: [f32; 12] = [0.5, -1.0, 2.0, 0.1, 1e-3, -3.5, 0.0, 7.0, 1.0, 1.0, 2.0, 3.0];

fn text(header: &str) -> String {
    let row = |row: &[f32]| format!("{},{},{}\n", row[0], row[1], row[2]);
    header.to_string() + &ROWS.chunks(3).map(row).collect::<String>()
}

/// What PyTorch's form of the file gives.
fn expected(folder: &Path) -> Vec<f32> {
    write(&folder.join("t.safetensors"), &[f32s("input", &[4, 3], &ROWS)]);
    run(folder, &["run", "gru.safetensors", "t.safetensors", "-o", "t.out"]).ok();
    read(&folder.join("t.out"), "output").1
}

fn numbers(csv: &str) -> Vec<f32> {
    csv.lines().flat_map(|line| line.split(',')).map(|field| field.parse().unwrap()).collect()
}

#[test]
fn a_csv_is_one_sequence_in_and_out() {
    let folder = folder();
    let expected = expected(folder.path());
    let at = |name: &str| folder.path().join(name);
    fs::write(at("x.csv"), text("")).unwrap();
    fs::write(at("named.csv"), text("a,b,c\n")).unwrap();
    fs::write(at("x.txt"), text("")).unwrap();

    let out = run(folder.path(), &["run", "gru.safetensors", "x.csv", "-o", "y.csv"]).ok();
    assert_eq!(told(&out, "input"), "input       [4, 3]: 4 steps");
    let y = fs::read_to_string(at("y.csv")).unwrap();
    assert_eq!((numbers(&y), y.lines().count()), (expected.clone(), 4));

    // Names give names.
    run(folder.path(), &["run", "gru.safetensors", "named.csv", "-o", "Y.CSV"]).ok();
    assert_eq!(fs::read_to_string(at("Y.CSV")).unwrap(), format!("output_0,output_1,output_2,output_3\n{y}"));

    // Any name, if the option says what it is; a tensor file stays one.
    run(folder.path(), &["run", "gru.safetensors", "x.txt", "--csv", "-o", "y.txt"]).ok();
    assert_eq!(fs::read_to_string(at("y.txt")).unwrap(), y);
    run(folder.path(), &["run", "gru.safetensors", "x.txt", "--csv", "-o", "y.safetensors"]).ok();
    assert_eq!(read(&at("y.safetensors"), "output"), (vec![4, 4], expected.clone()));
    assert_eq!(read(&at("y.safetensors"), "h_n").0, [1, 4]);
    run(folder.path(), &["run", "gru.safetensors", "t.safetensors", "-o", "z.csv"]).ok();
    assert_eq!(fs::read_to_string(at("z.csv")).unwrap(), y);
}

#[test]
fn without_a_file_the_output_is_printed_and_nothing_else() {
    let folder = folder();
    let expected = expected(folder.path());
    fs::write(folder.path().join("x.csv"), text("")).unwrap();
    assert_eq!(numbers(&run(folder.path(), &["run", "gru.safetensors", "x.csv"]).ok()), expected);
    let ran = run(folder.path(), &["run", "rnn.safetensors", "x.csv"]);
    assert_eq!(ran.noted().1.len(), 1);

    let mut command = elman(folder.path(), &["run", "gru.safetensors", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text("a,b,c\n").as_bytes()).unwrap();
    let out = Ran::of(child.wait_with_output().unwrap()).ok();
    let rows = out.strip_prefix("output_0,output_1,output_2,output_3\n").unwrap();
    assert_eq!(numbers(rows), expected);
}

#[test]
fn what_is_no_sequence_is_refused() {
    let folder = folder();
    let refused = |contents: &str, expected: &str| {
        fs::write(folder.path().join("x.csv"), contents).unwrap();
        let line = run(folder.path(), &["run", "gru.safetensors", "x.csv", "-o", "y.csv"]).refused(1, &[]);
        assert_eq!(line, format!("error: x.csv: {expected}"));
        assert!(!folder.path().join("y.csv").exists());
    };
    refused("1,2\n3,4\n", "expected 3 columns, one for each feature, got 2");
    refused("a,b,c\n1,2,x\u{202e}\n", r"row 2, column 3 ('c'): expected a number, got 'x\u{202e}'");
    refused("", "expected rows of numbers, got an empty file");
    run(folder.path(), &["run", "gru.safetensors", "none.csv"]).refused(1, &["error: cannot read none.csv: "]);

    let one = "error: --output: expected a safetensors file, as the input has 2 sequences and CSV holds one, got ";
    let batch = |more: &[&str]| run(folder.path(), &[&["run", "gru.safetensors", "x.safetensors"], more].concat());
    assert_eq!(batch(&["-o", "y.csv"]).refused(2, &[]), format!("{one}y.csv"));
    assert_eq!(batch(&[]).refused(2, &[]), format!("{one}none"));
}
