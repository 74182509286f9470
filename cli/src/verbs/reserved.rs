//! The verbs whose words are taken and that are not there yet: each says what serves until then.

use std::ffi::OsString;

use super::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    #[command(hide = true)]
    Convert(Rest),
    #[command(hide = true)]
    Compare(Rest),
    #[command(hide = true)]
    Train(Rest),
    #[command(hide = true)]
    Test(Rest),
    #[command(hide = true)]
    Predict(Rest),
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
            Verb::Train(_) => ("train", "the library trains, as its examples classify and forecast show"),
            Verb::Test(_) => {
                ("test", "'elman run MODEL INPUT -o OUT' writes what a model gives, to be compared with what it should")
            }
            Verb::Predict(_) => ("predict", "'elman run MODEL INPUT' runs a model"),
        };
        Failure::Usage(format!("{verb} is not there yet; for now {instead}"))
    }
}
