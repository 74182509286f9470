//! The benches without criterion tell what there is, and refuse what they do not know.

#[path = "../benches/common/arguments.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod arguments;

use arguments::{Asked, parse};

fn read(words: &[&str]) -> Result<Asked, String> {
    parse(words.iter().map(|word| word.to_string()), "a cell", &["Elman", "GRU", "LSTM"])
}

#[test]
fn a_list_runs_nothing() {
    assert_eq!(read(&["--list"]), Ok(Asked::List));
    assert_eq!(read(&["--bench", "--list", "gru"]), Ok(Asked::List));
}

#[test]
fn words_choose_and_options_of_criterion_do_not() {
    let run = |smoke, words: &[&str]| Ok(Asked::Run { smoke, words: words.iter().map(|w| w.to_string()).collect() });
    assert_eq!(read(&["--bench"]), run(false, &[]));
    assert_eq!(read(&["--test", "--noplot"]), run(true, &[]));
    assert_eq!(read(&["lstm", "--bench", "Elman"]), run(false, &["LSTM", "Elman"]));
}

#[test]
fn an_unknown_word_is_an_error_that_names_the_known() {
    assert_eq!(read(&["lstmm"]), Err("lstmm: expected a cell, one of Elman, GRU, LSTM".into()));
    assert_eq!(parse(["x".to_string()], "", &[]), Err("x: this bench takes no words".into()));
}
