//! What reads the input file of `elman run`, as it lies in the command line, and as much around it as it asks for.
#![expect(dead_code, reason = "what the target does not call is for the rest of the command line")]

#[path = "../../../cli/src/verbs/csv.rs"]
mod csv;
#[path = "../../../cli/src/verbs/facts.rs"]
mod facts;
pub(crate) mod run;

mod common {
    pub(super) fn count(n: u64, noun: &str) -> String {
        format!("{n} {noun}")
    }
}

#[derive(Debug)]
pub(crate) enum Failure {
    Usage(String),
    Run(String),
}

impl From<elman::Error> for Failure {
    fn from(error: elman::Error) -> Self {
        Failure::Run(error.to_string())
    }
}
