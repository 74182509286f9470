//! The verbs whose words are taken and that are not there yet: each says what serves until then.

use std::ffi::OsString;

use super::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    #[command(hide = true)]
    Convert(Rest),
    #[command(hide = true)]
    Compare(Rest),
}

/// Whatever else was given.
#[derive(clap::Args)]
pub(crate) struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<OsString>,
}

impl Verb {
    pub(crate) fn refusal(&self) -> Failure {
        let (verb, instead) = match self {
            Verb::Convert(_) => ("convert", "the library's Model::open and Model::save read and write model files"),
            Verb::Compare(_) => {
                ("compare", "'elman run MODEL INPUT -o OUT' writes each model's output, to be compared")
            }
        };
        Failure::Usage(format!("{verb} is not there yet; for now {instead}"))
    }
}
