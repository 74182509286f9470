//! What `elman run` is asked for.

use std::path::{Path, PathBuf};

use elman::Threads;

use super::place::{Sink, Source};
use crate::verbs::Failure;
use crate::verbs::common::{same_file, threads};
use crate::verbs::model::ModelArgs;

#[derive(clap::Args)]
#[command(override_usage = "elman run [OPTIONS] <MODEL> <INPUT>")]
pub(crate) struct Args {
    /// The model: a safetensors file with the state dict of a torch.nn.RNN, GRU or LSTM, or of a module that has one
    #[arg(value_name = "MODEL", required_unless_present = "weights")]
    model: Option<PathBuf>,
    /// The data: a safetensors file with input (T, B, I) or (T, I), of a model that begins with an embedding whole numbers
    /// (T, B) or (T), and where wanted h_0, c_0, lengths (B), resets (T, B); or a CSV file, one row a step, columns are
    /// features, or one column of indices; - is the standard input, as CSV
    #[arg(value_name = "INPUT", required_unless_present = "data")]
    input: Option<PathBuf>,
    /// Where output, h_n and c_n go, in PyTorch's shapes: a safetensors file; the output alone, if it is a CSV file. Without
    /// it, the output of one sequence is printed as CSV
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// INPUT and OUT are CSV files, unless they end in .safetensors; what ends in .csv is one without it
    #[arg(long)]
    csv: bool,
    /// The first name of MODEL.
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "model", requires = "data")]
    weights: Option<PathBuf>,
    /// The first name of INPUT.
    #[arg(
        long = "input",
        id = "data",
        value_name = "FILE",
        hide = true,
        conflicts_with = "input",
        requires = "weights"
    )]
    data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) reading: ModelArgs,
    /// The input is (B, T, I), and so is the output
    #[arg(long)]
    pub(super) batch_first: bool,
    /// Threads that may be used; one for each core unless set
    #[arg(long, value_name = "N", value_parser = threads, allow_hyphen_values = true)]
    pub(super) threads: Option<Threads>,
    /// Print one JSON object and nothing else, the notes in it
    #[arg(long)]
    pub(super) json: bool,
}

impl Args {
    pub(super) fn model(&self) -> &Path {
        self.model.as_deref().or(self.weights.as_deref()).expect("clap asks for one of the two")
    }

    pub(super) fn source(&self) -> Source<'_> {
        let path = self.input.as_deref().or(self.data.as_deref()).expect("clap asks for one of the two");
        if path.as_os_str() == "-" || self.is_csv(path) { Source::Csv(path) } else { Source::Tensors(path) }
    }

    pub(super) fn sink(&self) -> Sink<'_> {
        match self.output.as_deref() {
            Some(path) if self.is_csv(path) => Sink::Csv(path),
            Some(path) => Sink::Tensors(path),
            None if self.json => Sink::Nowhere,
            None => Sink::Printed,
        }
    }

    fn is_csv(&self, path: &Path) -> bool {
        let is = |name| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(name));
        is("csv") || self.csv && !is("safetensors")
    }

    /// That the output replaces none of the files that are read.
    pub(super) fn check_files(&self) -> Result<(), Failure> {
        let Some(output) = self.output.as_deref() else { return Ok(()) };
        let (Source::Tensors(input) | Source::Csv(input)) = self.source();
        for (what, path) in [("the model", self.model()), ("the input", input)] {
            if same_file(path, output) {
                let got = output.display();
                return Err(Failure::Usage(format!("--output: expected another file than {what}, got {got} for both")));
            }
        }
        Ok(())
    }
}
